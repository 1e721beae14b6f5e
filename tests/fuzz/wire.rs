//! See `orlop::fuzzing::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::wire(data));
