//! What a command in the foreground does while the process it started runs: `run`, `exec`.
//!
//! Runs in: parent
//!
//! Signals are passed on, the terminal is relayed, and the exit status waited for, in one loop.

use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::notify_socket::Proxy;
use crate::error::{On as _, Result};
use crate::phase::{self, Phase};
use crate::sys::{self, Call as _, pidfd, signal, wait};
use crate::terminal::relay::Relay;

/// From here on signals wait to be read, so that none is lost or ends us before the process is
/// there to get it. Hooks and the process start with none blocked.
pub(super) fn take_signals() -> sys::Result<SignalFd> {
    // Inherited as ignored, the end of a child would not be told.
    signal::default_action(libc::SIGCHLD)?;
    let all = SigSet::all();
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).call("sigprocmask")?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).call("signalfd")
}

pub(super) struct Attendant<'a> {
    pid: i32,
    process: OwnedFd,
    relay: Option<Relay>,
    signals: &'a SignalFd,
    proxy: Option<Proxy>,
}

impl<'a> Attendant<'a> {
    /// Of our child `pid`, and its descriptor.
    pub(super) fn new(pid: i32, process: OwnedFd, relay: Option<Relay>, signals: &'a SignalFd) -> Self {
        Self { pid, process, relay, signals, proxy: None }
    }

    /// And tells a supervisor when it is ready.
    pub(super) fn announcing(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// To the end of the process: its exit status, 128 + n if signal n ended it.
    pub(super) fn attend(mut self) -> Result<i32> {
        phase::enter(Phase::Running);
        let code = self.wait()?;
        if let Some(relay) = self.relay {
            relay.finish()?;
        }
        Ok(code)
    }

    fn wait(&mut self) -> Result<i32> {
        loop {
            let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            fds.extend(self.relay.iter().flat_map(Relay::poll_fds));
            fds.extend(self.proxy.iter().map(|proxy| PollFd::new(proxy.as_fd(), PollFlags::POLLIN)));
            sys::retry(|| nix::poll::poll(&mut fds, PollTimeout::NONE)).call("poll").on("process")?;
            drop(fds);
            // First, because the process may have ended after it.
            self.announce();
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

    /// That the supervisor cannot be told is no reason to end the container.
    fn announce(&mut self) {
        let Some(proxy) = &self.proxy else { return };
        match proxy.pump() {
            Ok(false) => {}
            Ok(true) => self.proxy = None,
            Err(error) => {
                log::warn!("{error}");
                self.proxy = None;
            }
        }
    }

    /// Passes a signal on, unless it is about ourselves; the exit code if it says that the process has ended.
    fn obey(&mut self, number: i32) -> Result<Option<i32>> {
        match (number, &self.relay) {
            (libc::SIGCHLD, _) => self.reap(),
            (libc::SIGWINCH, Some(relay)) => {
                relay.resize();
                Ok(None)
            }
            // About what we read and write, not about the process.
            (libc::SIGPIPE | libc::SIGURG | libc::SIGTTIN | libc::SIGTTOU, _) => Ok(None),
            _ => match pidfd::send_signal(self.process.as_fd(), number) {
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
