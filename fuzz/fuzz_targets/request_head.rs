//! See `mainspring_tests::fuzz::request_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_tests::fuzz::request_head(data));
