//! The target `time` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flamesql_fuzz::time(data));
