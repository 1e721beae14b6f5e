//! What parent and init tell each other while a container is made, and init and `start` later.
//!
//! Runs in: both
//!
//! One SOCK_SEQPACKET pair, one message per line below, most of them only if the plan needs them:
//! both sides look at the same `Rendezvous`, so they cannot disagree.
//!
//! ```text
//! parent                                    init
//!   clone3 ───────────────────────────────▶   (relay: Relayed + pidfd ◀──)
//!   write id maps
//!   Mapped ───────────────────────────────▶   setresuid 0, namespaces, rootfs, mounts
//!   make v1 cgroups, limits
//!   Joinable + descriptors ───────────────▶   write 0 to each `tasks`, cgroup namespace
//!   moves network devices             ◀──── Networked + descriptor
//!   DevicesMoved ─────────────────────────▶   sysctls
//!   prestart, createRuntime hooks     ◀──── RootfsBuilt
//!   HooksDone ────────────────────────────▶   createContainer hooks, pivot_root, user
//!   compile the filter on a cache miss
//!   Filter + memfd ───────────────────────▶
//!                                     ◀──── Ready
//!   state.json, pid file
//!   Committed ────────────────────────────▶   waits for `start`
//!   exits
//! ```
//!
//! Instead of any message init may send `Failed`, and die. Until `Committed` it also dies when the
//! parent does. A message of the wrong kind, or the end of file, is an error.
//!
//! ```text
//! start                                     init
//!   connects to start.sock ───────────────▶
//!   HookOutput + descriptors ─────────────▶   startContainer hooks
//!                                    (◀──── Loading
//!   Watched ──────────────────────────────▶   if the filter has a listener)
//!                                     ◀──── Executing
//!                                             filter, execve closes the socket: end of file
//!   poststart hooks                   ◀──── (Failed, if there is no execve)
//! ```

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::error::report::Report;
use crate::error::{Error, Kind, On as _, Result};
use crate::process;
use crate::sys::{self, socket, waiter};

/// Longest message: an error's text may name a long path twice.
const LONGEST: usize = 16 * 1024;

/// From parent to init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ToInit {
    Mapped = b'm',
    Joinable = b'j',
    DevicesMoved = b'd',
    HooksDone = b'h',
    Filter = b'f',
    Committed = waiter::COMMITTED,
    /// Files that hooks print to, from `start`.
    HookOutput = b'o',
    /// Init's system calls are traced, until its filter is loaded.
    Watched = b'w',
}

/// From init to parent, or to `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FromInit {
    /// With its network namespace.
    Networked = b'n',
    RootfsBuilt = b'r',
    Ready = waiter::READY,
    Executing = waiter::EXECUTING,
    /// About to load a filter with a listener (`seccomp::listener`).
    Loading = b'l',
    /// From the relay, with init's pid and pidfd.
    Relayed = b'p',
    /// With a `Report`.
    Failed = waiter::FAILED,
    /// `Failed`, said by the small program: see `process::waiting`.
    Refused = waiter::REFUSED,
}

/// Which of the optional messages this container needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rendezvous {
    /// Init waits for its id maps, or until the relay has introduced it: no word of its own may come
    /// before that.
    pub(crate) mapped: bool,
    /// Init enters its cgroups itself, or after the parent has moved it.
    pub(crate) joinable: bool,
    /// The parent moves network devices into init's namespace.
    pub(crate) devices: bool,
    /// The parent has hooks to run before pivot_root.
    pub(crate) hooks: bool,
    /// The parent compiles the seccomp filter.
    pub(crate) filter: bool,
}

/// One end of the channel.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// The parent's end and init's.
pub(crate) fn channel() -> Result<(Channel, Channel)> {
    let (parent, init) = socket::pair()?;
    Ok((Channel(parent), Channel(init)))
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Parent: tells init to go on, perhaps with descriptors that it needs for that.
    pub(crate) fn tell(&self, message: ToInit, fds: &[OwnedFd]) -> Result<()> {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        let Err(error) = socket::send(self.fd(), &[message as u8], &fds) else { return Ok(()) };
        // Nobody listens any more, and what init said before says why. Otherwise init waits for us.
        if matches!(error.errno, Errno::EPIPE | Errno::ECONNRESET) {
            self.next()?;
        }
        Err(error.on(format_args!("message {message:?} to init")))
    }

    /// Init: waits for exactly this message.
    pub(crate) fn wait(&self, message: ToInit) -> Result<Vec<OwnedFd>> {
        let mut buffer = [0];
        let (length, fds) = self.receive(&mut buffer).on("message from orlop")?;
        if length == 1 && buffer[0] == message as u8 {
            return Ok(fds);
        }
        Err(Error::other(format!("orlop ended before it sent {message:?}")))
    }

    /// A peer that ended with messages unread resets the connection; that is told once, and before
    /// the messages that it had sent itself (unix(7)).
    fn receive(&self, buffer: &mut [u8]) -> sys::Result<(usize, Vec<OwnedFd>)> {
        match socket::receive(self.fd(), buffer) {
            Err(error) if error.errno == Errno::ECONNRESET => socket::receive(self.fd(), buffer),
            result => result,
        }
    }

    /// Init: how far it is.
    pub(crate) fn report(&self, message: FromInit) -> Result<()> {
        socket::send(self.fd(), &[message as u8], &[]).on(format_args!("message {message:?} from init"))
    }

    /// The same, with a descriptor for the parent.
    pub(crate) fn report_with(&self, message: FromInit, fd: BorrowedFd<'_>) -> Result<()> {
        socket::send(self.fd(), &[message as u8], &[fd.as_raw_fd()]).on(format_args!("message {message:?} from init"))
    }

    /// Init: why it gives up. Nothing can be done if nobody listens any more.
    pub(crate) fn fail(&self, error: &Error) {
        let mut message = vec![FromInit::Failed as u8];
        message.extend(Report::of(error).to_bytes(LONGEST - 1));
        let _ = socket::send(self.fd(), &message, &[]);
    }

    /// Parent or `start`: the next message of init; `None` at the end of file. What init failed
    /// with is this side's error.
    pub(crate) fn next(&self) -> Result<Option<FromInit>> {
        Ok(self.next_with_fds()?.map(|(message, _)| message))
    }

    /// The same, with the descriptors that came with it.
    pub(crate) fn next_with_fds(&self) -> Result<Option<(FromInit, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; LONGEST];
        let (length, fds) = self.receive(&mut buffer).on("message from init")?;
        let Some((tag, text)) = buffer[..length].split_first() else {
            return Ok(None);
        };
        for message in
            [FromInit::Networked, FromInit::RootfsBuilt, FromInit::Ready, FromInit::Executing, FromInit::Loading]
        {
            if *tag == message as u8 && text.is_empty() {
                return Ok(Some((message, fds)));
            }
        }
        Err(failure(*tag, text))
    }

    /// Relay: hands its sibling, init, over to the parent.
    pub(crate) fn introduce(&self, init: Pid, pidfd: BorrowedFd<'_>) -> Result<()> {
        let mut message = vec![FromInit::Relayed as u8];
        message.extend_from_slice(&init.as_raw().to_le_bytes());
        socket::send(self.fd(), &message, &[pidfd.as_raw_fd()]).on("message from the relay")
    }

    /// Parent: init, as the relay introduces it; `None` at the end of file.
    pub(crate) fn introduced(&self) -> Result<Option<(Pid, OwnedFd)>> {
        let mut buffer = vec![0; LONGEST];
        let (length, fds) = self.receive(&mut buffer).on("message from the relay")?;
        let Some((tag, rest)) = buffer[..length].split_first() else {
            return Ok(None);
        };
        match (<[u8; 4]>::try_from(rest), fds.into_iter().next()) {
            (Ok(pid), Some(pidfd)) if *tag == FromInit::Relayed as u8 => {
                Ok(Some((Pid::from_raw(i32::from_le_bytes(pid)), pidfd)))
            }
            _ => Err(failure(*tag, rest)),
        }
    }
}

/// What the other side failed with.
fn failure(tag: u8, message: &[u8]) -> Error {
    let report = match tag {
        _ if tag == FromInit::Failed as u8 => Report::from_bytes(message),
        _ if tag == FromInit::Refused as u8 => process::waiting::refused(message),
        _ => None,
    };
    match report {
        Some(report) => Kind::Init(Box::new(report)).into(),
        None => Error::other("init sent an unknown message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent() {
        let (parent, init) = channel().unwrap();
        parent.tell(ToInit::Joinable, &[parent.fd().try_clone_to_owned().unwrap()]).unwrap();
        assert_eq!(init.wait(ToInit::Joinable).unwrap().len(), 1);
        init.report(FromInit::Ready).unwrap();
        assert_eq!(parent.next().unwrap(), Some(FromInit::Ready));
        drop(init);
        assert_eq!(parent.next().unwrap(), None);
    }

    #[test]
    fn another_message_or_the_end_is_an_error() {
        let (parent, init) = channel().unwrap();
        parent.tell(ToInit::Mapped, &[]).unwrap();
        assert!(init.wait(ToInit::Committed).is_err());
        drop(parent);
        assert!(init.wait(ToInit::Committed).is_err());
    }

    #[test]
    fn the_relay_introduces_init_or_says_why_not() {
        let (parent, relay) = channel().unwrap();
        relay.introduce(Pid::from_raw(77), parent.fd()).unwrap();
        assert_eq!(parent.introduced().unwrap().unwrap().0, Pid::from_raw(77));
        relay.fail(&Error::other("linux.namespaces[0]: no"));
        assert_eq!(parent.introduced().unwrap_err().to_string(), "linux.namespaces[0]: no");
        drop(relay);
        assert!(parent.introduced().unwrap().is_none());
    }

    #[test]
    fn failures_keep_their_text_up_to_a_limit() {
        let (parent, init) = channel().unwrap();
        init.fail(&Error::other("mounts[1]: no"));
        assert_eq!(parent.next().unwrap_err().to_string(), "mounts[1]: no");
        init.fail(&Error::other("ä".repeat(LONGEST)));
        assert!(parent.next().unwrap_err().to_string().len() >= LONGEST - 20);
    }
}
