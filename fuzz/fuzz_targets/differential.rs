//! See `mainspring_tests::fuzz::differential`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_tests::fuzz::differential(data));
