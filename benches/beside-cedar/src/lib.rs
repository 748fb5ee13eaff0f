//! Nothing: its benches measure.
