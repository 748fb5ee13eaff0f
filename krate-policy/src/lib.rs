//! krate-policy
