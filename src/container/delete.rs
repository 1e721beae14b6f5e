//! Removing a container and all that `create` made.
//!
//! Runs in: parent · runtime.md#delete
//!
//! Every step does nothing where there is nothing left to do, and the record goes last: a `delete`
//! that is killed can be repeated.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::kill::{self, Signal};
use super::state::Init;
use super::{Container, ContainerId, Status};
use crate::error::{Error, On as _, Result};
use crate::sys::pidfd;

/// How long a killed process may take to go: one that is in the kernel dies when it comes back.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn delete(root: &Path, id: &ContainerId, force: bool) -> Result<()> {
    match Container::lookup(root, id)? {
        Some(container) => remove(container, force),
        // The traces of a create that was killed before it began, or of a delete at its end.
        None if force => remove_traces(root, id),
        None => Err(Error::state(id, "container does not exist")),
    }
}

fn remove_traces(root: &Path, id: &ContainerId) -> Result<()> {
    match super::StateDir::open(root, id)? {
        Some(dir) if !dir.is_locked()? => dir.remove(),
        _ => Ok(()),
    }
}

fn remove(mut container: Container, force: bool) -> Result<()> {
    refuse_unless_stopped(&container, force)?;
    container.dir.lock()?;
    // As it is now: a create may have gone on, another delete may have come to its end.
    match container.dir.load()? {
        Some(record) => container.record = record,
        None if force => return Ok(()),
        None => return Err(Error::state(&container.record.id, "container does not exist")),
    }
    refuse_unless_stopped(&container, force)?;
    if let Some(init) = container.record.init {
        end(init)?;
    }
    container.dir.unlink(super::state::START_SOCKET)?;
    container.dir.remove()
}

/// RT-55
fn refuse_unless_stopped(container: &Container, force: bool) -> Result<()> {
    match container.status()? {
        Status::Stopped => Ok(()),
        _ if force => Ok(()),
        status => {
            let problem = format!("cannot delete a container that is not stopped: it is {status}");
            Err(Error::state(&container.record.id, problem))
        }
    }
}

/// Kills init and waits until it has let go of everything it held.
fn end(init: Init) -> Result<()> {
    let Some(process) = kill::open_init(init)? else { return Ok(()) };
    let on = format_args!("pid {}", init.pid);
    match pidfd::send_signal(process.as_fd(), Signal::KILL.number()) {
        Err(error) if error.errno != Errno::ESRCH => return Err(error.on(on)),
        _ => {}
    }
    if pidfd::wait(process.as_fd(), PATIENCE).on(on)? {
        Ok(())
    } else {
        Err(Error::other(format!("pid {}: still there {} s after SIGKILL", init.pid, PATIENCE.as_secs())))
    }
}
