//! How far a command is: errors name it, `--timings` measures it.
//!
//! Runs in: both
//!
//! To enter a phase costs a store and a look at a flag. Init starts with a copy of its parent's and goes on with its own.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::code::named;
use crate::timings;

named! {
    /// A stretch of a command's work, in the order in which `run` comes to them.
    pub(crate) enum Phase {
        /// Arguments and environment are read.
        Arguments = "arguments",
        /// config.json is read, checked and compiled to a plan. Nothing has been done yet.
        Configuration = "configuration",
        /// The root directory, namespaces, sources of mounts and sockets are opened.
        Preparation = "preparation",
        /// The container's directory below `--root` is claimed.
        State = "state",
        /// The cgroup is made.
        Cgroup = "cgroup",
        /// The layers of the root file system are prepared.
        Layers = "layers",
        /// The container's first process is cloned.
        Clone = "clone",
        /// Id maps, the OOM score and limits of the cgroup are written, while init goes on.
        Limits = "limits",
        /// Network devices are moved into the container.
        Devices = "network-devices",
        /// prestart, createRuntime and createContainer hooks run.
        Hooks = "create-hooks",
        /// The seccomp profile is compiled to a filter.
        Filter = "seccomp-filter",
        /// The parent waits until init is ready.
        Waiting = "waiting-for-init",
        /// The container's record, pid file and sockets are written.
        Commit = "commit",
        /// Init: namespaces are entered and made.
        Namespaces = "namespaces",
        /// Init: the root file system, mounts and devices.
        Mounts = "mounts",
        /// Init: host name, sysctls.
        Kernel = "kernel-settings",
        /// Init: terminal, masked and read-only paths.
        Masks = "masks",
        /// Init: the new root becomes the root.
        Pivot = "pivot-root",
        /// Init: user, capabilities, labels; the program is looked for.
        User = "user",
        /// `start`: startContainer hooks, the last limits, the seccomp filter.
        Start = "start",
        /// The program is executed.
        Execute = "execve",
        /// poststart hooks run.
        Poststart = "poststart-hooks",
        /// The program runs, and `run` or `exec` waits for it.
        Running = "running",
        /// The container is removed; poststop hooks run.
        Delete = "delete",
    }
}

static CURRENT: AtomicU8 = AtomicU8::new(Phase::Arguments as u8);

/// What follows belongs to this phase.
pub(crate) fn enter(phase: Phase) {
    let before = CURRENT.swap(phase as u8, Ordering::Relaxed);
    if before != phase as u8 {
        timings::entered(Phase::from_number(before).unwrap_or(phase));
    }
}

pub(crate) fn current() -> Phase {
    Phase::from_number(CURRENT.load(Ordering::Relaxed)).unwrap_or(Phase::Arguments)
}
