//! Layers mounted for a moment, to look up and change what a container of them would see.
//!
//! Runs in: parent (inside), a child of ours (the rest) · docs/overlay.md
//!
//! The kernel itself merges the layers and notes what is changed, exactly as for a container. The mounts are
//! in a mount namespace of the child's own and go with it; names are walked in their root.

use std::fs::DirBuilder;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::wait::{WaitStatus, waitpid};

use crate::error::{Error, On as _, Result};
use crate::namespace::Namespaces;
use crate::rootfs::overlay;
use crate::sync;
use crate::sys::clone::{ChildOf, Process, clone3, exit_now};
use crate::sys::mount::{self as api, Propagation};
use crate::sys::{self, Call as _, ids, path};

/// Has a child act where nothing that it mounts is seen by anybody else.
pub(super) fn inside(act: impl FnOnce() -> Result<()>) -> Result<()> {
    let (ours, theirs) = sync::channel()?;
    match clone3(CloneFlags::CLONE_NEWNS, ChildOf::Caller, None).on("mount namespace")? {
        Process::Child => {
            drop(ours);
            let done = keep_to_ourselves().and_then(|()| act());
            if let Err(error) = &done {
                theirs.fail(error);
            }
            exit_now(i32::from(done.is_err()))
        }
        Process::Parent { child, .. } => {
            drop(theirs);
            let told = ours.next();
            let ended = sys::retry(|| waitpid(child, None)).call("waitpid").on("child")?;
            told?;
            match ended {
                WaitStatus::Exited(_, 0) => Ok(()),
                other => Err(Error::other(format!("a child of ours ended early: {other:?}"))),
            }
        }
    }
}

fn keep_to_ourselves() -> Result<()> {
    // What is made has the mode it is asked for.
    ids::umask(0);
    let host = path::open(c"/", OFlag::O_PATH | OFlag::O_DIRECTORY).on("/")?;
    api::set_propagation(host.as_fd(), Propagation::Private, true).on("/")
}

/// Where a layer is in the making.
#[derive(Debug)]
pub(super) struct Workplace {
    pub(super) dir: PathBuf,
}

impl Workplace {
    /// New and empty. Without layers, what is written to is all there is.
    pub(super) fn make(dir: PathBuf, without_layers: bool) -> Result<Self> {
        let place = Self { dir };
        let made = [place.dir.clone(), place.dir.join("point"), place.dir.join("source")];
        for dir in made.into_iter().chain(without_layers.then(|| place.upper())) {
            DirBuilder::new().mode(0o755).create(&dir).call("mkdir").on(dir.display())?;
        }
        Ok(place)
    }

    pub(super) fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// Child: the layers, the topmost first, with what is written going to `upper`.
    pub(super) fn writable(&self, lower: &[PathBuf]) -> Result<OwnedFd> {
        if lower.is_empty() {
            return open(&self.upper());
        }
        mount(&overlay::Plan::of_layers(lower, Some((self.upper(), self.dir.join("work")))), &self.dir.join("point"))
    }

    /// Child: the layers as they are.
    pub(super) fn read_only(&self, lower: &[PathBuf]) -> Result<OwnedFd> {
        let point = self.dir.join("source");
        if lower.is_empty() { open(&point) } else { mount(&overlay::Plan::of_layers(lower, None), &point) }
    }
}

fn open(dir: &Path) -> Result<OwnedFd> {
    let name = sys::c_path(dir).on(dir.display())?;
    path::open(&name, OFlag::O_PATH | OFlag::O_DIRECTORY).on(dir.display())
}

fn mount(plan: &overlay::Plan, point: &Path) -> Result<OwnedFd> {
    let layers = plan.prepare(point, false, &Namespaces::none(), &[])?;
    let here = open(point)?;
    plan.mount(layers, here.as_fd())
}
