//! root: the directory that becomes `/`, its propagation, and the way there.
//!
//! Runs in: parent (compile), init (the rest) · config.md#root, config-linux.md#rootfs-mount-propagation,
//! LNX-144, pivot_root(2)

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::cgroup::Hierarchy;
use crate::error::{For as _, On as _, Property, Result};
use crate::spec::Config;
use crate::sys::mount::{self as api, Attr, Propagation};
use crate::sys::{self, path};

use super::overlay::{self, Layers};
use super::resolve::{Anchor, InRoot, Root};

const PATH: Property = Property::of("root.path");
const PROPAGATION: Property = Property::of("linux.rootfsPropagation");

/// How the container's root comes to be `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    Pivot,
    /// `--no-pivot`: for a host whose root is an initramfs, which pivot_root refuses.
    Move,
    /// In the caller's mount namespace: nothing but this process may see another root.
    Chroot,
}

#[derive(Debug)]
pub(crate) struct Plan {
    /// Absolute, on the host.
    pub(crate) path: PathBuf,
    /// A directory of ours, made for this container.
    pub(crate) made: bool,
    pub(crate) readonly: bool,
    propagation: Option<(Propagation, bool)>,
    pub(crate) switch: Switch,
}

impl Plan {
    /// `mount_point` is where a root that is made of layers may go if it has no path.
    pub(crate) fn compile(
        config: &Config,
        bundle: &Path,
        mount_point: Option<PathBuf>,
        switch: Switch,
    ) -> Result<Self> {
        let root = config.root.as_ref().ok_or_else(|| Property::of("root").invalid("is missing"))?;
        let (path, made) = match mount_point {
            Some(path) if root.path.is_empty() => (path, true),
            None if root.path.is_empty() => return Err(PATH.invalid("is empty")),
            _ => (directory(bundle.join(&root.path))?, false),
        };
        let propagation = config.linux.rootfs_propagation.as_deref().filter(|written| !written.is_empty());
        Ok(Self {
            path,
            made,
            readonly: root.readonly,
            propagation: propagation.map(propagation_of).transpose()?,
            switch,
        })
    }

    pub(crate) fn open(&self) -> Result<OwnedFd> {
        let name = sys::c_path(&self.path).on(self.path.display())?;
        path::open(&name, OFlag::O_PATH | OFlag::O_DIRECTORY).on(self.path.display()).property(PATH)
    }

    /// Whether mounts in the container may reach the host, through bind mounts that are shared.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.propagation, Some((Propagation::Shared, _)))
    }
}

fn directory(path: PathBuf) -> Result<PathBuf> {
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(path),
        Ok(_) => Err(PATH.invalid(format!("{} is not a directory", path.display()))),
        Err(error) => Err(PATH.invalid(format!("{}: {}", path.display(), crate::error::io_meaning(&error)))),
    }
}

fn propagation_of(written: &str) -> Result<(Propagation, bool)> {
    let (name, recursive) = match written.strip_prefix('r') {
        Some(name) => (name, true),
        None => (written, false),
    };
    let kind = match name {
        "private" => Propagation::Private,
        "shared" => Propagation::Shared,
        "slave" => Propagation::Slave,
        "unbindable" => Propagation::Unbindable,
        _ => return Err(PROPAGATION.invalid(format!("{written:?} is not shared, slave, private or unbindable"))),
    };
    Ok((kind, recursive))
}

/// The container's root while init builds on it, and what the steps share.
pub(crate) struct Builder<'a> {
    root: OwnedFd,
    anchors: Vec<Anchor>,
    cgroups: &'a mut dyn Cgroups,
}

/// Init's cgroups, which it enters when the first mount needs them, or at the end.
pub(crate) trait Cgroups {
    fn enter(&mut self) -> Result<()>;
    fn hierarchies(&self) -> &[Hierarchy];
    fn own_namespace(&self) -> bool;
}

impl<'a> Builder<'a> {
    /// Makes the root directory, which is the current one, a mount of its own.
    ///
    /// Laid over its own path, it is where hooks expect it (HK-25). Neither it nor anything else of the
    /// host's tree is shared from here on, so that nothing that is mounted or unmounted reaches the
    /// host, and pivot_root is content; what the configuration wants shared was cloned before.
    pub(crate) fn new(
        plan: &Plan,
        overlay: Option<(&overlay::Plan, Layers)>,
        cgroups: &'a mut dyn Cgroups,
    ) -> Result<Self> {
        let here = path::open(c".", OFlag::O_PATH | OFlag::O_DIRECTORY).on(plan.path.display()).property(PATH)?;
        if plan.switch == Switch::Chroot {
            return Ok(Self { anchors: Anchor::all(here.as_fd()), root: here, cgroups });
        }
        let host = path::open(c"/", OFlag::O_PATH | OFlag::O_DIRECTORY).on("/")?;
        api::set_propagation(host.as_fd(), Propagation::Slave, true).on("/ of the host").property(PROPAGATION)?;
        let tree = match overlay {
            Some((overlay, layers)) => overlay.mount(layers, here.as_fd())?,
            None => api::open_tree(here.as_fd(), sys::EMPTY, true).on(plan.path.display()).property(PATH)?,
        };
        api::move_mount(tree.as_fd(), here.as_fd()).on(plan.path.display()).property(PATH)?;
        Ok(Self { anchors: Anchor::all(tree.as_fd()), root: tree, cgroups })
    }

    pub(crate) fn root(&self) -> Root<'_> {
        Root::with(self.root.as_fd(), &self.anchors)
    }

    pub(crate) fn enter_cgroups(&mut self) -> Result<()> {
        self.cgroups.enter()
    }

    pub(crate) fn hierarchies(&self) -> &[Hierarchy] {
        self.cgroups.hierarchies()
    }

    pub(crate) fn own_cgroup_namespace(&self) -> bool {
        self.cgroups.own_namespace()
    }

    /// An entry of mounts[] is in its place. What follows one for `/` itself goes on top of it.
    pub(crate) fn mounted(&mut self, dest: &InRoot, tree: OwnedFd) {
        if dest.is_root() {
            self.anchors = Anchor::all(tree.as_fd());
            self.root = tree;
        } else {
            self.anchors.extend(Anchor::new(dest, tree));
        }
    }

    /// Makes the built tree this process's `/`.
    pub(crate) fn switch(self, plan: &Plan) -> Result<()> {
        let root = self.root.as_fd();
        if plan.readonly && plan.switch != Switch::Chroot {
            api::mount_setattr(root, Attr::RDONLY, Attr::empty(), false).property(Property::of("root.readonly"))?;
        }
        path::fchdir(root).on("root").property(PATH)?;
        match plan.switch {
            Switch::Pivot => pivot().property(PATH)?,
            Switch::Move => move_over(root).property(PATH)?,
            Switch::Chroot => return api::chroot_here().on("root").property(PATH),
        }
        if let Some((kind, recursive)) = plan.propagation {
            api::set_propagation(root, kind, recursive).property(PROPAGATION)?;
        }
        Ok(())
    }
}

/// The old root ends up on top of the new one, and is let go; that it is a slave keeps the
/// unmounting from reaching the host.
fn pivot() -> sys::Result<()> {
    api::pivot_root_here()?;
    api::detach_here()?;
    nix::unistd::chdir(c"/").map_err(|errno| sys::Error { call: "chdir", errno })
}

fn move_over(root: BorrowedFd<'_>) -> sys::Result<()> {
    let host = path::open(c"/", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    api::move_mount(root, host.as_fd())?;
    api::chroot_here()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LNX-144
    #[test]
    fn propagation() {
        assert_eq!(propagation_of("rshared").unwrap(), (Propagation::Shared, true));
        assert_eq!(propagation_of("unbindable").unwrap(), (Propagation::Unbindable, false));
        assert!(propagation_of("share").unwrap_err().to_string().starts_with("linux.rootfsPropagation"));
    }

    /// CFG-04, CFG-05, CFG-07
    #[test]
    fn a_root_has_to_be_a_directory() {
        let compile = |root: &str| {
            let json = format!(r#"{{"ociVersion": "1.3.0"{root}}}"#);
            let config: Config = serde_json::from_str(&json).unwrap();
            Plan::compile(&config, Path::new("/"), None, Switch::Pivot).map(|plan| plan.path)
        };
        assert_eq!(compile(r#", "root": {"path": "proc/self"}"#).unwrap(), Path::new("/proc/self"));
        assert_eq!(compile("").unwrap_err().to_string(), "root: is missing");
        for bad in ["", "missing/directory", "/dev/null"] {
            let error = compile(&format!(r#", "root": {{"path": {bad:?}}}"#)).unwrap_err().to_string();
            assert!(error.starts_with("root.path: "), "{error}");
        }
    }
}
