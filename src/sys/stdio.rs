//! Descriptors 0 to 2 are open: else the first file opened would become somebody's standard output.
//!
//! Runs in: parent · Rust's own `main` does this, which `main.rs` replaces

use std::os::fd::RawFd;

use nix::errno::Errno;

use super::{Call as _, Result};

/// Opens /dev/null for those of 0, 1 and 2 that the caller closed.
pub(crate) fn open_missing() -> Result<()> {
    let mut fds: [libc::pollfd; 3] = std::array::from_fn(|fd| libc::pollfd { fd: fd as RawFd, events: 0, revents: 0 });
    // SAFETY: `fds` is an array of the length given, alive during the call.
    Errno::result(unsafe { libc::poll(fds.as_mut_ptr(), 3, 0) }).call("poll")?;
    for missing in fds.iter().filter(|fd| fd.revents & libc::POLLNVAL != 0) {
        // SAFETY: a NUL-terminated path. The lowest free number is the one missing, as they are
        // filled in ascending order, and it stays open for good.
        let opened = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        Errno::result(opened).call("open")?;
        debug_assert_eq!(opened, missing.fd);
    }
    Ok(())
}
