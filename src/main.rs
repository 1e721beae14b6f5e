//! The C entry point: without Rust's own `main` a command starts a sixth faster.
//!
//! Runs in: parent

#![no_main]

use std::ffi::{c_char, c_int};

/// The arguments come from libc (`std::env::args_os`), which keeps them on the gnu target.
#[allow(unsafe_code)]
// SAFETY: no other symbol of this program is named `main`; libc calls it once, as C's main.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    orlop::main()
}
