//! See `orlop::fuzzing::state`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::state(data));
