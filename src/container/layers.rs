//! What a root file system made of layers leaves in the state directory: its mount point, and the upper
//! and work directory of a container that names none.
//!
//! Runs in: parent · docs/overlay.md

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;

use super::StateDir;
use crate::error::{On as _, Result};
use crate::namespace::Joined;
use crate::plan::Plan;
use crate::rootfs::overlay::{self, Layers};
use crate::sys::{self, path};
use crate::tree;

/// Everything the plan needs there; removed again unless the create succeeds.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The state directory, opened once more: the lock is not ours to hold.
    dir: Option<OwnedFd>,
}

impl Guard {
    pub(crate) fn make(
        plan: &Plan,
        dir: &StateDir,
        for_init: bool,
        joined: &[Joined],
    ) -> Result<(Self, Option<Layers>)> {
        let Some(overlay) = &plan.rootfs.overlay else {
            return Ok((Self { dir: None }, None));
        };
        let again = path::openat(dir.fd(), c".", OFlag::O_PATH | OFlag::O_DIRECTORY, 0).on(dir.path().display())?;
        let guard = Self { dir: Some(again) };
        if plan.rootfs.root.made {
            let point = overlay::MOUNT_POINT;
            path::mkdirat(dir.fd(), &sys::c_string(point)?, 0o755).on(dir.path().join(point).display())?;
        }
        let layers = overlay.prepare(dir.path(), for_init, &plan.namespaces, joined)?;
        Ok((guard, Some(layers)))
    }

    pub(crate) fn keep(mut self) {
        self.dir = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir
            && let Err(error) = remove(dir.as_fd())
        {
            log::warn!("{error}");
        }
    }
}

/// Removes it all; what is not there is no error.
pub(crate) fn remove(state: BorrowedFd<'_>) -> Result<()> {
    for name in [overlay::MOUNT_POINT, overlay::STATE] {
        tree::remove(state, &sys::c_string(name)?).on(name)?;
    }
    Ok(())
}
