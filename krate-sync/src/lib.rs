//! krate-sync
