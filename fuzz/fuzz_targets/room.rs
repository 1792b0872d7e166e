//! See `mainspring_tests::fuzz::room`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_tests::fuzz::room(data));
