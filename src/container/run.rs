//! `run`: create and start; in the foreground also pass on signals, wait, and delete.
//!
//! Runs in: parent

use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::create::{Created, create};
use super::{Container, CreateOptions};
use crate::error::{On as _, Result};
use crate::sys::{self, Call as _, pidfd, prctl, signal, wait};
use crate::terminal::relay::Relay;

/// What `run` can do beyond `create`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunOptions {
    /// Do not delete the container when it has ended.
    pub(crate) keep: bool,
    /// Take over the orphans that the container leaves in a pid namespace it shares.
    pub(crate) subreaper: bool,
}

/// `run --detach`
pub(crate) fn detached(options: &CreateOptions) -> Result<()> {
    let Created { container, .. } = create(options)?;
    start(&container)
}

/// Returns the exit status of the container's process: 128 + n if signal n ended it.
pub(crate) fn foreground(options: &CreateOptions, run: RunOptions) -> Result<i32> {
    if run.subreaper {
        prctl::become_subreaper().on("orlop")?;
    }
    let signals = take_signals().on("signals")?;
    let Created { container, pidfd, terminal } = create(options)?;
    let ended = attend(&container, pidfd, terminal, &signals);
    if run.keep && ended.is_ok() {
        return ended;
    }
    let destroyed = container.destroy();
    ended.and_then(|code| destroyed.map(|()| code))
}

/// A container that cannot be started is of no use to `run`.
fn start(container: &Container) -> Result<()> {
    container.start_new().inspect_err(|_| {
        if let Err(error) = container.destroy() {
            log::warn!("{error}");
        }
    })
}

/// From here on signals wait to be read, so that none is lost or ends us before the container is
/// there to get it. Hooks and the container start with none blocked.
fn take_signals() -> sys::Result<SignalFd> {
    // Inherited as ignored, the end of a child would not be told.
    signal::default_action(libc::SIGCHLD)?;
    let all = SigSet::all();
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).call("sigprocmask")?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).call("signalfd")
}

/// Starts the container and looks after it to its end.
fn attend(container: &Container, init: OwnedFd, terminal: Option<OwnedFd>, signals: &SignalFd) -> Result<i32> {
    let relay = terminal.map(Relay::new).transpose()?;
    container.start_new()?;
    let pid = container.record.init.map_or(0, |init| init.pid);
    let mut attendant = Attendant { pid, init, relay, signals };
    let code = attendant.wait()?;
    if let Some(relay) = attendant.relay {
        relay.finish()?;
    }
    Ok(code)
}

struct Attendant<'a> {
    pid: i32,
    init: OwnedFd,
    relay: Option<Relay>,
    signals: &'a SignalFd,
}

impl Attendant<'_> {
    fn wait(&mut self) -> Result<i32> {
        loop {
            let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            fds.extend(self.relay.iter().flat_map(Relay::poll_fds));
            sys::retry(|| nix::poll::poll(&mut fds, PollTimeout::NONE)).call("poll").on("container")?;
            drop(fds);
            while let Some(signal) = self.signals.read_signal().call("read").on("signals")? {
                if let Some(code) = self.obey(signal.ssi_signo.cast_signed())? {
                    return Ok(code);
                }
            }
            if let Some(relay) = &mut self.relay {
                relay.pump()?;
            }
        }
    }

    /// Passes a signal on, unless it is about ourselves; the exit code if it says that init has ended.
    fn obey(&mut self, number: i32) -> Result<Option<i32>> {
        match (number, &self.relay) {
            (libc::SIGCHLD, _) => self.reap(),
            (libc::SIGWINCH, Some(relay)) => {
                relay.resize();
                Ok(None)
            }
            // About what we read and write, not about the container.
            (libc::SIGPIPE | libc::SIGURG | libc::SIGTTIN | libc::SIGTTOU, _) => Ok(None),
            _ => match pidfd::send_signal(self.init.as_fd(), number) {
                Err(error) if error.errno != Errno::ESRCH => Err(error.on(format_args!("pid {}", self.pid))),
                _ => Ok(None),
            },
        }
    }

    /// One SIGCHLD may stand for several children; as subreaper, they are not all our own.
    fn reap(&self) -> Result<Option<i32>> {
        let mut code = None;
        while let Some(ended) = wait::reap().on("children")? {
            if ended.pid == self.pid {
                code = Some(ended.code);
            }
        }
        Ok(code)
    }
}
