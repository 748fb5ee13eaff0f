//! See `krate_tests::fuzz::merge`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| krate_tests::fuzz::merge(data));
