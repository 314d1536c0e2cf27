//! The target `flameql` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flamesql_fuzz::flameql(data));
