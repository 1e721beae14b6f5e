//! See `orlop::fuzzing::bus`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::bus(data));
