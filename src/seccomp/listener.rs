//! `listenerPath`, `listenerMetadata`: the agent that answers system calls with SCMP_ACT_NOTIFY.
//!
//! Runs in: both · config-linux.md, "Seccomp", "The Container Process State" (LNX-130 … LNX-143)
//!
//! The filter makes the descriptor that the agent listens on, in the process that loads it, which from
//! then on may not be able to make any call without the agent. So that process does nothing but load
//! the filter and execute the program; whoever starts it stops it in between (ptrace), takes the
//! descriptor out of it (pidfd_getfd), gives it to the agent, and only then lets it go on. Whichever
//! calls the profile names, execve too, somebody is there to answer.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::container::record::Document;
use crate::error::{Error, For as _, On as _, Property, Result};
use crate::spec;
use crate::sync::{Channel, FromInit, ToInit};
use crate::sys::ptrace::Tracee;
use crate::sys::{pidfd, prctl, socket};

const PROPERTY: Property = Property::of("linux.seccomp.listenerPath");

/// Where the agent is, and what the configuration wants it to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listener {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
}

/// The process that is about to load the filter, as the one who starts it knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) pid: i32,
    pub(crate) pidfd: BorrowedFd<'a>,
    pub(crate) channel: &'a Channel,
}

/// What the agent is told, beside the descriptor.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    /// Names of the descriptors, in their order.
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: Document<'a>,
}

impl Listener {
    pub(super) fn new(path: String, metadata: Option<String>) -> Self {
        Self { path, metadata: metadata.filter(|text| !text.is_empty()) }
    }

    /// Parent: lets the process load its filter, and returns when the agent has what it needs. What
    /// goes wrong is an error, and the process then still is where it can do nothing (LNX-133): it has
    /// to be killed. `bundle` is what a relative path starts from.
    pub(crate) fn hand_over(&self, target: Target<'_>, bundle: &Path, state: Document<'_>) -> Result<()> {
        match target.channel.next()? {
            Some(FromInit::Loading) => {}
            _ => return Err(Error::other("init died before it loaded its seccomp filter")),
        }
        let process = format_args!("pid {}", target.pid).to_string();
        let tracee = Tracee::attach(target.pid).on(&process).property(PROPERTY)?;
        // If it has ended, that may be another process with its pid.
        if pidfd::wait(target.pidfd, Duration::ZERO).on(&process)? {
            tracee.detach().on(&process).property(PROPERTY)?;
            return Err(Error::other("init died before it loaded its seccomp filter"));
        }
        target.channel.tell(ToInit::Watched, &[])?;
        let loaded = tracee.run_until_returned(libc::SYS_seccomp).on(&process).property(PROPERTY)?;
        // A failure is told by the process itself, which has no filter then.
        if let Ok(number) = loaded {
            let fd = pidfd::getfd(target.pidfd, number as i32).on(&process).property(PROPERTY)?;
            self.send(fd.as_fd(), target.pid, bundle, state)?;
        }
        tracee.detach().on(&process).property(PROPERTY)
    }

    /// One connection, one message (LNX-131, LNX-132).
    fn send(&self, fd: BorrowedFd<'_>, pid: i32, bundle: &Path, state: Document<'_>) -> Result<()> {
        let path = bundle.join(&self.path);
        let message = ContainerProcessState {
            oci_version: spec::VERSION,
            fds: ["seccompFd"],
            pid,
            metadata: self.metadata.as_deref(),
            state,
        };
        let message = serde_json::to_vec(&message).map_err(|error| PROPERTY.invalid(error.to_string()))?;
        socket::connect_stream(&path)
            .and_then(|agent| socket::send(agent.as_fd(), &message, &[fd.as_raw_fd()]))
            .on(path.display())
            .property(PROPERTY)
    }
}

/// Init, before it loads a filter with a listener: waits until it is watched. A caller without
/// privileges may only watch what may be looked at; nothing is open by now that leads to the host.
pub(crate) fn await_watcher(channel: &Channel, caller_is_root: bool) -> Result<()> {
    if !caller_is_root {
        prctl::set_dumpable(true).on("init").property(PROPERTY)?;
    }
    channel.report(FromInit::Loading)?;
    channel.wait(ToInit::Watched).map(drop)
}
