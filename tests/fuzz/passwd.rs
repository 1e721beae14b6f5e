//! See `orlop::fuzzing::passwd`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::passwd(data));
