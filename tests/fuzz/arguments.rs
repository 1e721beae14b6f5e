//! See `orlop::fuzzing::arguments`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::arguments(data));
