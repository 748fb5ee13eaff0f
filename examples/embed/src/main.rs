//! krate
fn main() {}
