//! See `krate_tests::fuzz::canonical`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| krate_tests::fuzz::canonical(data));
