//! seccomp(2).
//!
//! Runs in: both

use nix::errno::Errno;

use super::{Call as _, Result};

/// Attaches a filter to this thread, the only one; with SECCOMP_FILTER_FLAG_NEW_LISTENER this makes a
/// descriptor, which is whoever's traces us to take. Needs no_new_privs or CAP_SYS_ADMIN in our user namespace.
pub(crate) fn set_mode_filter(flags: u32, program: &[libc::sock_filter]) -> Result<()> {
    // More instructions than fit are more than the kernel takes (4096): it refuses either number.
    let len = u16::try_from(program.len()).unwrap_or(u16::MAX);
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel only reads `program` and its `len` instructions, during the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    Errno::result(result).map(drop).call("seccomp")
}

/// Whether the kernel takes these flags of a filter.
pub(crate) fn knows_flags(flags: u32) -> Result<bool> {
    let none = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel looks at the flags first, and then finds no program to read.
    match Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, none) }) {
        Err(Errno::EFAULT) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        result => result.map(|_| true).call("seccomp"),
    }
}
