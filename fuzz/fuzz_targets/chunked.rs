//! See `mainspring_tests::fuzz::chunked`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_tests::fuzz::chunked(data));
