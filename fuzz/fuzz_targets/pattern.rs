//! See `krate_tests::fuzz::pattern`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| krate_tests::fuzz::pattern(data));
