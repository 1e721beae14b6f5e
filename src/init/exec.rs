//! A process that `exec` adds to a running container: from the clone to the program.
//!
//! Runs in: a child of `exec`, which becomes a process of the container
//!
//! The same steps as init's, by the same code, without those that make something. From the clone on
//! it may be seen in the container, whose processes are hostile: it is not dumpable, so that none
//! of them can trace it or open its descriptors (CVE-2016-9962), runs from an executable that is
//! not the host's (CVE-2019-5736), and follows no path that leads out of the root (CVE-2024-21626).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;

use crate::container::ContainerId;
use crate::error::{On as _, Result};
use crate::namespace::enter::Launch;
use crate::namespace::running::Running;
use crate::phase::{self, Phase};
use crate::process;
use crate::rootfs::Root;
use crate::rootfs::tools::Tools;
use crate::seccomp::Filter;
use crate::sync::Channel;
use crate::sys::clone::exit_now;
use crate::sys::exec::Image;
use crate::sys::{self, prctl};
use crate::terminal::Console;
use crate::timings;

use super::gate;

/// Everything the process needs, held before it is cloned.
pub(crate) struct Setup<'a> {
    pub(crate) process: &'a process::Plan,
    pub(crate) filter: Option<&'a Filter>,
    /// Whose session keyring is joined, if it has one.
    pub(crate) keyring: Option<&'a ContainerId>,
    pub(crate) running: &'a Running<'a>,
    /// What `debug` brings along.
    pub(crate) tools: Option<&'a Tools>,
    pub(crate) launch: Launch,
    /// v1: where "0" is written to be in the container's cgroups.
    pub(crate) doors: &'a [OwnedFd],
    pub(crate) console: Option<&'a Console>,
    pub(crate) preserve_fds: u32,
    pub(crate) channel: Channel,
}

/// To system calls that take a pid.
const MYSELF: i32 = 0;

/// Becomes the program, or reports why not.
pub(crate) fn run(setup: &Setup<'_>) -> ! {
    timings::become_init();
    let error = match set_up(setup) {
        Ok(image) => gate::become_program(setup.process, &image, setup.filter, setup.preserve_fds, &setup.channel),
        Err(error) => error,
    };
    setup.channel.fail(&error);
    exit_now(1)
}

fn set_up<'a>(setup: &Setup<'a>) -> Result<Image<'a>> {
    phase::enter(Phase::Namespaces);
    let process = setup.process;
    process.set_own_oom_score_adj()?;
    prctl::set_dumpable(false).on("exec")?;
    for door in setup.doors {
        sys::fd::write(door.as_fd(), b"0").on("tasks")?;
    }
    process.go_on_exec()?;
    // With the rights we still have.
    process.prioritise(MYSELF)?;
    setup.running.enter(setup.launch, &setup.channel)?;
    super::lead_session()?;
    if setup.running.has_user() {
        super::become_root()?;
        prctl::set_dumpable(false).on("exec")?;
    }
    setup.tools.map_or(Ok(()), Tools::enter)?;
    let root = sys::path::open(c"/", OFlag::O_PATH | OFlag::O_DIRECTORY).on("/")?;
    take_terminal(setup, root.as_fd())?;
    if let Some(id) = setup.keyring {
        process.join_keyring(id)?;
    }
    phase::enter(Phase::User);
    let image = process.assume(&process::Context {
        root: root.as_fd(),
        make_directory: None,
        // Whatever is set meanwhile: nothing is made here.
        umask: sys::ids::umask(0),
        keep: process.keep(setup.filter.is_some(), false),
    })?;
    // The parent may end as soon as the program runs.
    prctl::set_parent_death_signal(None).on("exec")?;
    // What is left of the log and of the parent's descriptors is closed with the next step.
    log::set_max_level(log::LevelFilter::Off);
    timings::stop();
    Ok(image)
}

fn take_terminal(setup: &Setup<'_>, root: BorrowedFd<'_>) -> Result<()> {
    let (Some(plan), Some(console)) = (&setup.process.terminal, setup.console) else {
        return Ok(());
    };
    let pty = super::open_pty(plan, Root::new(root))?;
    pty.hand_over(console)?;
    pty.attach()
}
