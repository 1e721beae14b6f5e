//! Signals to a container: what they are called, and who gets them.
//!
//! Runs in: parent · runtime.md#kill

use std::os::fd::{AsFd as _, OwnedFd};
use std::str::FromStr as _;

use nix::errno::Errno;

use super::record::Init;
use super::status::is_alive;
use super::{Container, Status};
use crate::cgroup::Cgroup;
use crate::error::{Error, On as _, Result};
use crate::sys::pidfd;

/// A signal's number; nix has no name for the real-time ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    pub(crate) const KILL: Self = Self(libc::SIGKILL);

    /// `TERM`, `sigterm`, `15`, `RTMIN+3`, `SIGRTMAX-1`; 0 only asks whether there is a process.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = match upper.parse() {
            Ok(number) => Some(number),
            Err(_) => real_time(name).or_else(|| standard(name)),
        };
        match number {
            Some(number) if (0..=libc::SIGRTMAX()).contains(&number) => Ok(Self(number)),
            _ => Err(Error::other(format!("unknown signal {text:?}"))),
        }
    }
}

fn standard(name: &str) -> Option<i32> {
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        name => name,
    };
    nix::sys::signal::Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32)
}

/// `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`, counted as programs in the container count them: libc
/// keeps the first two real-time signals for itself.
fn real_time(name: &str) -> Option<i32> {
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => first,
        (_, Some("")) => last,
        (Some(offset), _) => first + i32::from(offset.strip_prefix('+')?.parse::<u8>().ok()?),
        (_, Some(offset)) => last - i32::from(offset.strip_prefix('-')?.parse::<u8>().ok()?),
        _ => return None,
    };
    (first..=last).contains(&number).then_some(number)
}

/// Sends a signal to the first process of a created or running container (RT-52, RT-53).
pub(crate) fn kill(container: &Container, signal: Signal) -> Result<()> {
    match container.record.init {
        Some(init) if container.status()? != Status::Stopped => signal_init(container, init, signal)?,
        _ => return Err(not_running(container)),
    }
    if signal == Signal::KILL { Cgroup::open(&container.record.cgroup).thaw_to_be_killed() } else { Ok(()) }
}

/// Sends a signal to every process of the container. Without a pid namespace of its own they may
/// outlive its first process; without a cgroup the first one is all that is known.
pub(crate) fn kill_all(container: &Container, signal: Signal) -> Result<()> {
    let cgroup = Cgroup::open(&container.record.cgroup);
    if !cgroup.is_managed() {
        return kill(container, signal);
    }
    let stopped = container.status()? == Status::Stopped;
    if stopped && (container.record.own_pid_namespace || container.record.init.is_none() || cgroup.pids()?.is_empty()) {
        return Err(not_running(container));
    }
    cgroup.kill(signal.0)
}

/// The phrase that tells engines that there is nothing left to kill.
fn not_running(container: &Container) -> Error {
    Error::state(&container.record.id, "container not running")
}

/// By descriptor: between a look at /proc and a kill(2), the pid could come to mean another process.
fn signal_init(container: &Container, init: Init, signal: Signal) -> Result<()> {
    match open_init(init)? {
        Some(process) => match pidfd::send_signal(process.as_fd(), signal.0) {
            Err(error) if error.errno == Errno::ESRCH => Err(not_running(container)),
            result => result.on(format_args!("pid {}", init.pid)),
        },
        None => Err(not_running(container)),
    }
}

/// Init's descriptor, unless it has ended. What has the pid when the descriptor is opened is init if
/// init has it afterwards.
pub(super) fn open_init(init: Init) -> Result<Option<OwnedFd>> {
    match pidfd::open(init.pid) {
        Ok(process) => Ok(is_alive(init)?.then_some(process)),
        Err(error) if error.errno == Errno::ESRCH => Ok(None),
        Err(error) => Err(error.on(format_args!("pid {}", init.pid))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RT-53
    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in [
            ("9", 9),
            ("0", 0),
            ("64", 64),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("kill", 9),
            ("sigTerm", 15),
            ("USR1", 10),
            ("WINCH", 28),
            ("STKFLT", 16),
            ("IOT", 6),
            ("CLD", 17),
            ("POLL", 29),
            ("RTMIN", 34),
            ("SIGRTMIN+0", 34),
            ("rtmin+30", 64),
            ("RTMAX", 64),
            ("RTMAX-30", 34),
        ] {
            assert_eq!(Signal::parse(text).unwrap(), Signal(number), "{text}");
        }
        for text in ["", "SIG", "FOO", "65", "-1", "1 ", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMAX-31", "RTMIN+", "RT"] {
            assert!(Signal::parse(text).is_err(), "{text}");
        }
    }
}
