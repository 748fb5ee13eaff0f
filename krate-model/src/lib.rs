//! krate-model
