//! Signal dispositions.
//!
//! Runs in: both · signal(7)

use std::ffi::{c_int, c_void};
use std::ptr;

use nix::errno::Errno;

use super::{Call as _, Error, Result};

/// A write that nobody reads (SIGPIPE), or beyond the file size limit (SIGXFSZ), is to be an error
/// and not our end: a command would leave its work half done. Hooks and the container start with
/// the default actions.
pub(crate) fn make_failing_writes_errors() -> Result<()> {
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: no handler is installed.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(Error { call: "signal", errno: Errno::last() });
        }
    }
    Ok(())
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

/// Those that are ignored: bit n is signal n + 1. All, where that cannot be told.
pub(crate) fn ignored() -> u64 {
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let value = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"SigIgn:\t"));
    value.and_then(|value| u64::from_str_radix(str::from_utf8(value).ok()?, 16).ok()).unwrap_or(u64::MAX)
}

/// Nothing blocked and nothing ignored, for a program that is about to be executed: neither by us nor
/// by our caller. Real-time signals too, with the two that C libraries keep to themselves, which
/// posix_spawn leaves ignored. System calls only: a child that shares our memory comes here as well.
pub(crate) fn reset() {
    for number in 1..=libc::SIGRTMAX() {
        // Refused for KILL and STOP, which are never ignored.
        let _ = default_action(number);
    }
    // SAFETY: the set is initialised, and outlives the call, which only reads it.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}
