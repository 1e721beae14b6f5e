//! Children that have ended.
//!
//! Runs in: parent

use nix::errno::Errno;

use super::{Call as _, Result, retry};

/// A child that has ended, and how, as a shell would put it: 128 + n for signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) pid: i32,
    pub(crate) code: i32,
}

/// Reaps any child that has ended; `None` if none has. nix's own waitpid gives up on a child that
/// was killed by a real-time signal.
pub(crate) fn reap() -> Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: `status` is alive during the call.
    let pid = retry(|| Errno::result(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) }));
    match pid {
        Ok(0) | Err(Errno::ECHILD) => Ok(None),
        pid => Ok(Some(Ended { pid: pid.call("waitpid")?, code: code(status) })),
    }
}

/// Without WUNTRACED, a status is that of an exit or of a signal.
fn code(status: i32) -> i32 {
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        assert_eq!(code(7 << 8), 7);
        assert_eq!(code(libc::SIGKILL), 137);
        assert_eq!(code(libc::SIGSEGV | 0x80), 139);
        assert_eq!(code(40), 168);
    }
}
