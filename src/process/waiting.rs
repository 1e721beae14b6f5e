//! The small program that takes init's last steps, and what it says when one of them fails.
//!
//! Runs in: both (`Plan::wait` in init, `refused` where it is told)
//!
//! It cannot look at anything, nor put words together. So it is told beforehand what each error begins with.

use std::ffi::CString;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::caps::Keep;
use super::{Plan, interpreter, program, rlimit};
use crate::error::report::Report;
use crate::error::{Error, Meaning};
use crate::phase::Phase;
use crate::seccomp::Filter;
use crate::sys::exec::Image;
use crate::sys::waiter::{Task, Waiter};

/// Longest error that is known beforehand.
const LONGEST: usize = 4096;

/// What it needs beside the process itself.
pub(crate) struct Waiting<'a> {
    pub(crate) waiter: &'a Waiter,
    pub(crate) channel: BorrowedFd<'a>,
    pub(crate) listener: BorrowedFd<'a>,
    pub(crate) preserve_fds: u32,
    pub(crate) filter: Option<&'a Filter>,
}

impl Plan {
    /// Init: becomes the program that does the rest, which begins with the wait for `start`.
    pub(crate) fn wait(&self, image: &Image<'_>, waiting: &Waiting<'_>) -> Error {
        let names: Vec<_> = self.rlimits.iter().map(rlimit::Step::refusal).collect();
        let limits: Vec<_> = self.rlimits.iter().zip(&names).map(|(step, name)| step.for_waiter(name)).collect();
        let refusal = waiting.filter.and_then(Filter::refusal);
        let refusal = refusal.map(|error| report(&error, Phase::Start).to_bytes(LONGEST)).unwrap_or_default();
        let interpreter = interpreter::missing(image.path()).unwrap_or_default();
        let task = Task {
            channel: waiting.channel,
            listener: waiting.listener,
            preserve_fds: waiting.preserve_fds,
            limits: &limits,
            capabilities: self.caps.until_filtered(self.keep(waiting.filter.is_some(), true), self.user.uid == 0),
            filter: waiting.filter.map(|filter| filter.for_waiter(&refusal)),
            image,
            name: &[self.name(image).to_bytes(), b"\0", interpreter.as_bytes()].concat(),
        };
        waiting.waiter.execute(&task).on("init")
    }

    /// What loading a filter needs, if one is loaded, and Landlock's rules, which are in force before that.
    pub(crate) fn keep(&self, filter_follows: bool, waits: bool) -> Keep {
        match (filter_follows, waits) {
            _ if self.no_new_privileges => Keep::No,
            (true, true) => Keep::AcrossExecve,
            (true, false) => Keep::ToExecve,
            (false, _) if self.landlock.is_some() => Keep::ToExecve,
            (false, _) => Keep::No,
        }
    }
}

/// What the program's message says: an errno, and how the text begins, or the names that `wait` gave it of
/// the container's program and the interpreter that this lacks.
pub(crate) fn refused(message: &[u8]) -> Option<Report> {
    let (errno, text) = message.split_first_chunk()?;
    let errno = Errno::from_raw(i32::from_le_bytes(*errno));
    let text = String::from_utf8_lossy(text);
    Some(match text.split_once('\0') {
        Some((name, interpreter)) => {
            let interpreter = Some(interpreter).filter(|interpreter| !interpreter.is_empty());
            report(&program::not_executed(&CString::new(name).ok()?, errno, interpreter), Phase::Execute)
        }
        None => report(&Error::other(format!("{text}{}", Meaning(errno))), Phase::Start),
    })
}

fn report(error: &Error, phase: Phase) -> Report {
    Report { phase, ..Report::of(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let message = |errno: Errno, text: &[u8]| [&(errno as i32).to_le_bytes(), text].concat();
        let report = refused(&message(Errno::ENOENT, b"script\0/bin/none")).unwrap();
        assert!(report.message.starts_with("process.args: exec: \"script\": ENOENT: no such file"), "{report:?}");
        assert!(report.details.hint.contains("/bin/none"), "{report:?}");
        let report = refused(&message(Errno::EPERM, b"linux.seccomp: seccomp: ")).unwrap();
        assert!(report.message.starts_with("linux.seccomp: seccomp: EPERM: "), "{report:?}");
        assert!(refused(b"123").is_none());
    }
}
