//! Stores
