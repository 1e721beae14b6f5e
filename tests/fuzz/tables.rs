//! See `orlop::fuzzing::tables`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::tables(data));
