//! Facts about this machine and caller, read when first asked for; tests make up their own.
//!
//! Runs in: parent

use std::cell::OnceCell;

use crate::cgroup::Layout;
use crate::cgroup::systemd::Manager;
use crate::error::Result;

/// Whether this process is root on the host itself, not in a user namespace. It reads a file: ask
/// only where it matters.
pub(crate) fn is_host_root() -> bool {
    const WHOLE: [&str; 3] = ["0", "0", "4294967295"];
    nix::unistd::geteuid().is_root()
        && std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().eq(WHOLE))
}

/// What the plan may depend on besides the configuration.
#[derive(Debug)]
pub(crate) struct Host {
    /// The caller's effective user id; 0 is root, in the caller's user namespace.
    pub(crate) euid: u32,
    pub(crate) egid: u32,
    cgroups: OnceCell<Layout>,
    systemd: OnceCell<Manager>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            euid: nix::unistd::geteuid().as_raw(),
            egid: nix::unistd::getegid().as_raw(),
            cgroups: OnceCell::new(),
            systemd: OnceCell::new(),
        }
    }

    /// The cgroup hierarchies it mounts.
    pub(crate) fn cgroups(&self) -> Result<&Layout> {
        match self.cgroups.get() {
            Some(layout) => Ok(layout),
            None => {
                let layout = Layout::probe()?;
                Ok(self.cgroups.get_or_init(|| layout))
            }
        }
    }

    /// The service manager that makes the caller's scopes.
    pub(crate) fn systemd(&self) -> Result<&Manager> {
        match self.systemd.get() {
            Some(manager) => Ok(manager),
            None => {
                let manager = Manager::connect()?;
                Ok(self.systemd.get_or_init(|| manager))
            }
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn fixture(cgroups: Layout) -> Self {
        Self { euid: 0, egid: 0, cgroups: OnceCell::from(cgroups), systemd: OnceCell::new() }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.euid == 0
    }
}
