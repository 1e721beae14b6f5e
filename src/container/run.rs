//! `run`: create and start; in the foreground also pass on signals, wait, and delete.
//!
//! Runs in: parent

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use nix::sys::signalfd::SignalFd;

use super::attend::{Attendant, take_signals};
use super::create::{Created, create};
use super::notify_socket::Proxy;
use super::{Container, CreateOptions};
use crate::error::{On as _, Result};
use crate::sys::prctl;
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
    match start(&container, options.notify_socket.as_deref())? {
        Some(proxy) => proxy.wait(&container),
        None => Ok(()),
    }
}

/// Returns the exit status of the container's process: 128 + n if signal n ended it.
pub(crate) fn foreground(options: &CreateOptions, run: RunOptions) -> Result<i32> {
    if run.subreaper {
        prctl::become_subreaper().on("orlop")?;
    }
    let signals = take_signals().on("signals")?;
    let Created { container, pidfd, terminal } = create(options)?;
    let ended = attend(&container, pidfd, terminal, &signals, options.notify_socket.as_deref());
    if run.keep && ended.is_ok() {
        return ended;
    }
    let destroyed = container.destroy();
    ended.and_then(|code| destroyed.map(|()| code))
}

/// A container that cannot be started is of no use to `run`.
fn start(container: &Container, notify_socket: Option<&OsStr>) -> Result<Option<Proxy>> {
    container.start_new(notify_socket).inspect_err(|_| {
        if let Err(error) = container.destroy() {
            log::warn!("{error}");
        }
    })
}

/// Starts the container and looks after it to its end.
fn attend(
    container: &Container,
    init: OwnedFd,
    terminal: Option<OwnedFd>,
    signals: &SignalFd,
    notify_socket: Option<&OsStr>,
) -> Result<i32> {
    let relay = terminal.map(Relay::new).transpose()?;
    let proxy = container.start_new(notify_socket)?;
    let pid = container.record.init.map_or(0, |init| init.pid);
    Attendant::new(pid, init, relay, signals).announcing(proxy).attend()
}
