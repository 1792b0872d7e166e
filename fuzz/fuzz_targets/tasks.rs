//! See `mainspring_tests::fuzz::tasks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_tests::fuzz::tasks(data));
