//! `start`: lets init become the program.
//!
//! Runs in: parent · runtime.md#start, RT-26…RT-30, RT-47…RT-50

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::cgroup::Cgroup;
use crate::error::code::Code;
use crate::error::{Error, Kind, On as _, Result};
use crate::hooks::{self, Moment};
use crate::phase::{self, Phase};
use crate::seccomp::Listener;
use crate::seccomp::listener::Target;
use crate::sync::{Channel, FromInit, ToInit};
use crate::sys::{pidfd, socket};

use super::kill::open_init;
use super::notify_socket::Proxy;
use super::record::LaterHooks;
use super::state::START_SOCKET;
use super::{Container, Status, status};

/// How long a process may take from its last word to its end.
const DYING: Duration = Duration::from_secs(1);

impl Container {
    /// Returns when the program runs and the poststart hooks have; for a supervisor, when the container
    /// is ready. A failing hook ends the container for good (RT-27, RT-30).
    pub(crate) fn start(&self, notify_socket: Option<&OsStr>) -> Result<()> {
        match self.start_if(|| self.check_startable(), notify_socket)? {
            Some(proxy) => proxy.wait(self),
            None => Ok(()),
        }
    }

    /// For `run`, which has just created it, and to which it leaves the supervisor.
    pub(super) fn start_new(&self, notify_socket: Option<&OsStr>) -> Result<Option<Proxy>> {
        self.start_if(|| self.check_process(), notify_socket)
    }

    fn start_if(&self, check: impl FnOnce() -> Result<()>, notify_socket: Option<&OsStr>) -> Result<Option<Proxy>> {
        phase::enter(Phase::Start);
        self.dir.lock()?;
        let done = check().and_then(|()| {
            let proxy = notify_socket.map_or(Ok(None), |address| Proxy::open(&self.dir, address))?;
            self.let_go().map(|()| proxy)
        });
        if done.as_ref().is_err_and(Error::is_hook) {
            self.destroy()?;
        }
        self.dir.unlock();
        done
    }

    fn check_startable(&self) -> Result<()> {
        match self.status()? {
            Status::Created => self.check_process(),
            Status::Running => Err(Error::state(&self.record.id, "cannot start an already running container")),
            Status::Stopped => Err(Error::state(&self.record.id, "cannot start a container that has stopped")),
            status => Err(Error::state(&self.record.id, format!("cannot start a container in the {status} state"))),
        }
    }

    /// RT-50
    fn check_process(&self) -> Result<()> {
        match self.record.has_process {
            true => Ok(()),
            false => Err(Error::state(&self.record.id, "cannot start: the configuration has no process")),
        }
    }

    fn let_go(&self) -> Result<()> {
        let socket = socket::connect(self.dir.fd(), START_SOCKET).on(START_SOCKET).inspect_err(|error| {
            if error.errno() == Some(Errno::ECONNREFUSED) {
                self.await_end();
            }
        })?;
        let channel = Channel::new(socket);
        let output = &self.record.hooks.output;
        if !output.is_empty() {
            channel.tell(ToInit::HookOutput, &output.open()?.into_fds())?;
        }
        if let Some(listener) = &self.record.listener {
            self.hand_over(listener, &channel)?;
        }
        await_program(&channel).map_err(|error| self.why_not_started(error))?;
        // The program runs, and whoever asks for the status sees that.
        if let Err(error) = self.dir.unlink(START_SOCKET) {
            log::warn!("{error}");
        }
        phase::enter(Phase::Poststart);
        let LaterHooks { poststart, output, .. } = &self.record.hooks;
        if poststart.is_empty() {
            return Ok(());
        }
        let state = self.record.document(Status::Running, self.record.init.map(|init| init.pid));
        let streams = output.open()?;
        hooks::run(poststart, &Moment::runtime(&state, &self.record.bundle).printing_to(&streams))
    }

    /// What killed init, and whether it was for want of memory.
    fn why_not_started(&self, error: Error) -> Error {
        self.await_end();
        let is_silent = error.code() == Code::InitDied && !matches!(error.kind(), Kind::Init(_));
        let error = match self.record.init.filter(|_| is_silent) {
            Some(init) => died(status::exit_code(init)),
            None => error,
        };
        Cgroup::open(&self.record.cgroup).explain(error)
    }

    /// Init has said why it dies, or closed its sockets dying: until it is dead, the container would still
    /// seem to be one that can be started.
    fn await_end(&self) {
        if let Some(Ok(Some(init))) = self.record.init.map(open_init) {
            let _ = pidfd::wait(init.as_fd(), DYING);
        }
    }

    /// The seccomp listener, to its agent. Without an agent the container cannot go on (LNX-133).
    fn hand_over(&self, listener: &Listener, channel: &Channel) -> Result<()> {
        let init = self.record.init.ok_or_else(|| died(None))?;
        let pidfd = open_init(init)?.ok_or_else(|| died(None))?;
        let state = self.record.state(Status::Created, Some(init.pid));
        let target = Target { pid: init.pid, pidfd: pidfd.as_fd(), channel };
        listener.hand_over(target, &self.record.bundle, state).inspect_err(|_| {
            // It may be dead already.
            let _ = pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
        })
    }
}

/// With what waitpid(2) would tell of it, where that is known.
fn died(wait_status: Option<i32>) -> Error {
    let how = match wait_status.map(|status| (status & 0x7f, status >> 8 & 0xff)) {
        None => "died".to_owned(),
        Some((0, code)) => format!("exited with status {code}"),
        Some((signal, _)) => match Signal::try_from(signal) {
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {signal}"),
        },
    };
    Error::other(format!("init {how} before it became the container's program")).code_is(Code::InitDied)
}

/// The end of file after `Executing` is the close-on-exec of a successful execve.
fn await_program(channel: &Channel) -> Result<()> {
    match channel.next()? {
        Some(FromInit::Executing) => {}
        _ => return Err(died(None)),
    }
    phase::enter(Phase::Execute);
    match channel.next()? {
        None => Ok(()),
        Some(_) => Err(died(None)),
    }
}
