//! See `orlop::fuzzing::images`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::images(data));
