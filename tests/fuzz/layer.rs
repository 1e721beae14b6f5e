//! See `orlop::fuzzing::layer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::layer(data));
