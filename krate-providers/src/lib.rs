//! krate-providers
