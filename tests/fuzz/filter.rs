//! See `orlop::fuzzing::filter`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::filter(data));
