//! Who manages a container's cgroup: `--cgroup-manager`, `--systemd-cgroup`.
//!
//! Runs in: parent
//!
//! Chosen when a container is created and recorded with it: no later command needs to be told.

use serde::{Deserialize, Serialize};

use super::path::PROPERTY;
use crate::error::{Error, Result};
use crate::spec::config::Resources;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// We do, in cgroupfs.
    #[default]
    Cgroupfs,
    /// The system's or the user's service manager does, as a scope.
    Systemd,
    /// Nobody does: the container stays in the cgroup of whoever creates it.
    Disabled,
}

impl Driver {
    /// What the options say together; `manager` as `--cgroup-manager` has it.
    pub(crate) fn parse(manager: Option<&str>, systemd: bool) -> Result<Self> {
        match manager {
            None if systemd => Ok(Self::Systemd),
            None => Ok(Self::default()),
            Some("systemd") => Ok(Self::Systemd),
            Some(other) if systemd => {
                Err(Error::other(format!("--systemd-cgroup and --cgroup-manager={other} exclude each other")))
            }
            Some("cgroupfs") => Ok(Self::Cgroupfs),
            Some("disabled") => Ok(Self::Disabled),
            Some(other) => {
                Err(Error::other(format!("--cgroup-manager: {other:?} is not cgroupfs, systemd or disabled")))
            }
        }
    }
}

/// `Disabled`: limits are passed over, as by crun; but not without a word.
pub(super) fn warn_of_ignored(resources: Option<&Resources>) {
    let Some(resources) = resources else { return };
    let given = [
        ("memory", resources.memory.is_some()),
        ("cpu", resources.cpu.is_some()),
        ("pids", resources.pids.is_some()),
        ("blockIO", resources.block_io.is_some()),
        ("hugepageLimits", !resources.hugepage_limits.is_empty()),
        ("network", resources.network.is_some()),
        ("rdma", !resources.rdma.is_empty()),
        ("unified", !resources.unified.is_empty()),
    ];
    for (name, _) in given.into_iter().filter(|(_, given)| *given) {
        log::warn!("linux.resources.{name} is ignored: the container has no cgroup (--cgroup-manager=disabled)");
    }
}

/// What needs a cgroup, such as `pause`, cannot be done to a container without one.
pub(super) fn none(driver: Driver, command: &str) -> Error {
    let why = if driver == Driver::Disabled { "--cgroup-manager=disabled" } else { "its creator may make none" };
    PROPERTY.unsupported(format!("{command} needs a cgroup, and the container has none ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_together() {
        for (manager, systemd, driver) in [
            (None, false, Driver::Cgroupfs),
            (None, true, Driver::Systemd),
            (Some("systemd"), false, Driver::Systemd),
            (Some("systemd"), true, Driver::Systemd),
            (Some("cgroupfs"), false, Driver::Cgroupfs),
            (Some("disabled"), false, Driver::Disabled),
        ] {
            assert_eq!(Driver::parse(manager, systemd).unwrap(), driver, "{manager:?} {systemd}");
        }
        for (manager, systemd) in [("cgroupfs", true), ("disabled", true), ("Systemd", false), ("", false)] {
            assert!(Driver::parse(Some(manager), systemd).is_err(), "{manager} {systemd}");
        }
    }
}
