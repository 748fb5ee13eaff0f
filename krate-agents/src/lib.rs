//! Agents that work on forge objects under permissions that a person can check. It holds nothing yet; what it will do stands on `krate-policy`,
//! whose decisions it asks for, and on the kinds of `krate-model`.
//!
//! Pure: no I/O, no task, no clock, no randomness.
