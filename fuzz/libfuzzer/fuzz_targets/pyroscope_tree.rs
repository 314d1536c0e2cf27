//! The target `pyroscope_tree` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flamesql_fuzz::pyroscope_tree(data));
