//! Mounts of type `cgroup`: the container's own cgroups, in the host's layout.
//!
//! Runs in: init, inside its cgroups · cgroup_namespaces(7), MNT-91
//!
//! With a cgroup namespace of its own the container mounts the hierarchies and sees its cgroup as
//! their root. Without, it gets a bind mount of its own directory, read-only whatever the options
//! say: the host's interface is not to be written to (CVE-2023-25809).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;

use crate::cgroup::{self, Hierarchy, Version};
use crate::error::{On as _, Result};
use crate::sys::mount::{self as api, Attr};
use crate::sys::{self, path};

use super::mount::change;
use super::options::Change;
use super::resolve::InRoot;
use super::root::Builder;

pub(crate) fn mount(builder: &mut Builder<'_>, dest: &InRoot, attr: Attr) -> Result<()> {
    builder.enter_cgroups()?;
    let own_namespace = builder.own_cgroup_namespace();
    let attr = if own_namespace { attr } else { attr | Attr::RDONLY };
    let target = builder.root().ensure_dir(dest, 0o755)?;
    let inherited = if own_namespace { None } else { without_own(builder.hierarchies())? };
    match inherited.as_deref().unwrap_or(builder.hierarchies()) {
        [only] if only.version == Version::V2 => {
            let tree = view(only, own_namespace, attr).on(dest)?;
            api::move_mount(tree.as_fd(), target.as_fd()).on(dest)
        }
        several => {
            let base = tmpfs().on(dest)?;
            api::move_mount(base.as_fd(), target.as_fd()).on(dest)?;
            for hierarchy in several {
                place(base.as_fd(), hierarchy, own_namespace, attr)
                    .on(format_args!("{dest} ({})", hierarchy.controllers))?;
            }
            change(base.as_fd(), Change { set: attr, clear: Attr::empty() }, false).on(dest)
        }
    }
}

/// Where a plain user's container stays that none could be made for: in the cgroups of its creator.
fn without_own(hierarchies: &[Hierarchy]) -> Result<Option<Vec<Hierarchy>>> {
    match hierarchies.first() {
        Some(first) if !first.dir.exists() => cgroup::inherited().map(Some),
        _ => Ok(None),
    }
}

/// The directory of v1's hierarchies: below it only we have written so far, so paths are safe.
fn tmpfs() -> sys::Result<OwnedFd> {
    let context = api::fsopen(c"tmpfs")?;
    api::fsconfig_set(context.as_fd(), c"source", Some(c"cgroup"))?;
    api::fsconfig_set(context.as_fd(), c"mode", Some(c"755"))?;
    api::fsconfig_create(context.as_fd())?;
    api::fsmount(context.as_fd(), Attr::NOSUID | Attr::NODEV | Attr::NOEXEC)
}

fn place(base: BorrowedFd<'_>, hierarchy: &Hierarchy, own_namespace: bool, attr: Attr) -> sys::Result<()> {
    let name = sys::c_string(hierarchy.name())?;
    path::mkdirat(base, &name, 0o755)?;
    let tree = view(hierarchy, own_namespace, attr)?;
    api::move_mount_at(tree.as_fd(), base, &name)?;
    for alias in hierarchy.aliases().map(sys::c_string) {
        path::symlinkat(&name, base, &alias?)?;
    }
    Ok(())
}

/// One hierarchy as the container sees it, attached nowhere yet. On v1 the container's directory, cloned,
/// is what a new mount in its cgroup namespace would be, in fewer calls.
fn view(hierarchy: &Hierarchy, own_namespace: bool, attr: Attr) -> sys::Result<OwnedFd> {
    if own_namespace && hierarchy.version == Version::V2 {
        match fresh(hierarchy, attr) {
            // A user namespace that does not own the cgroup namespace.
            Err(sys::Error { errno: Errno::EPERM | Errno::EBUSY, .. }) => {}
            result => return result,
        }
    }
    match api::open_tree(AT_FDCWD, &sys::c_path(&hierarchy.dir)?, true) {
        // A plain user's container that none could be made for: the root of its namespace is where it is.
        Err(sys::Error { errno: Errno::ENOENT, .. }) if own_namespace => fresh(hierarchy, attr),
        tree => {
            let tree = tree?;
            api::make_private(tree.as_fd(), attr)?;
            Ok(tree)
        }
    }
}

fn fresh(hierarchy: &Hierarchy, attr: Attr) -> sys::Result<OwnedFd> {
    let kind = if hierarchy.version == Version::V2 { c"cgroup2" } else { c"cgroup" };
    let context = api::fsopen(kind)?;
    api::fsconfig_set(context.as_fd(), c"source", Some(c"cgroup"))?;
    if hierarchy.version == Version::V1 {
        for option in hierarchy.options().split(',') {
            match option.split_once('=') {
                Some((key, value)) => {
                    api::fsconfig_set(context.as_fd(), &sys::c_string(key)?, Some(&sys::c_string(value)?))?;
                }
                None => api::fsconfig_set(context.as_fd(), &sys::c_string(option)?, None)?,
            }
        }
    }
    api::fsconfig_create(context.as_fd())?;
    api::fsmount(context.as_fd(), attr)
}
