//! Signal dispositions.
//!
//! Runs in: both · signal(7)

use std::ffi::{c_int, c_void};
use std::ptr;

use nix::errno::Errno;

use super::{Call as _, Error, Result};

/// Writing to a pipe or terminal that nobody reads any more is an error, not our end: a command
/// would leave its work half done. Hooks and the container start with the default action.
pub(crate) fn ignore_broken_pipes() -> Result<()> {
    // SAFETY: no handler is installed.
    let previous = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    if previous == libc::SIG_ERR { Err(Error { call: "signal", errno: Errno::last() }) } else { Ok(()) }
}

/// The raw call, as glibc's refuses the signals that it keeps to itself, which may be ignored too.
pub(crate) fn default_action(signal: c_int) -> Result<()> {
    // The kernel's `struct sigaction`: SIG_DFL, no flags, an empty mask.
    let action = [0_u64; 4];
    // SAFETY: the kernel only reads `action`; a handler of ours, should there be one, is never run again.
    let result = unsafe {
        let old: *mut c_void = ptr::null_mut();
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), old, size_of::<u64>())
    };
    Errno::result(result).map(drop).call("rt_sigaction")
}
