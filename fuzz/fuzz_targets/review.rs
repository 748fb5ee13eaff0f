//! See `krate_tests::fuzz::permission`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| krate_tests::fuzz::permission(data));
