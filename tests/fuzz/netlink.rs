//! See `orlop::fuzzing::netlink`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orlop::fuzzing::netlink(data));
