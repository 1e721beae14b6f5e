//! `debug`: the container's file tree with tools in it, for one process and those it starts.
//!
//! Runs in: parent (open), the process that `debug` adds (enter)
//!
//! The container sees none of it: the process has a mount namespace of its own, a copy of the container's. Its root is
//! a small tmpfs with everything that is at the top of the container's root, so that there is a place for the tools
//! whatever the image has, and also where it is read-only.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, SFlag};

use crate::error::{On as _, Result};
use crate::sys::mount::{self as api, Attr, Propagation};
use crate::sys::{self, Call as _, ns, path};

/// Where the tools are, all of them.
pub(crate) const PLACE: &str = ".orlop-tools";
const PLACE_C: &CStr = c".orlop-tools";

/// What programs need where they expect it: it is put at the top as well, if the container has nothing there.
const EXPECTED: [&CStr; 6] = [c"bin", c"sbin", c"lib", c"lib32", c"lib64", c"usr"];

#[derive(Debug)]
pub(crate) struct Tools {
    all: OwnedFd,
    expected: Vec<(&'static CStr, OwnedFd)>,
}

impl Tools {
    /// Detached, because the child will not see the host's tree any more.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let name = sys::c_path(dir).on(dir.display())?;
        let root = path::open(&name, OFlag::O_PATH | OFlag::O_DIRECTORY).on(dir.display())?;
        let all = tree(root.as_fd(), sys::EMPTY).on(dir.display())?;
        let mut expected = Vec::new();
        for name in EXPECTED {
            // Links in another image are that image's own.
            let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
            let found = path::openat2(root.as_fd(), name, OFlag::O_PATH, resolve);
            match found.and_then(|found| tree(found.as_fd(), sys::EMPTY)) {
                Ok(tree) => expected.push((name, tree)),
                Err(error) if error.errno == Errno::ENOENT => {}
                Err(error) => return Err(error.on(format_args!("{}/{}", dir.display(), name.to_string_lossy()))),
            }
        }
        Ok(Self { all, expected })
    }

    /// In the container's namespaces, with all rights there.
    pub(crate) fn enter(&self) -> Result<()> {
        ns::unshare(CloneFlags::CLONE_NEWNS).on("mount namespace")?;
        let old = path::open(c"/", OFlag::O_PATH | OFlag::O_DIRECTORY).on("/")?;
        api::set_propagation(old.as_fd(), Propagation::Private, true).on("/")?;
        let new = tmpfs().on("tmpfs")?;
        api::move_mount(new.as_fd(), old.as_fd()).on("/")?;
        let mut names = Dir::openat(&old, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .call("openat")
            .on("/")?;
        for entry in names.iter() {
            let entry = entry.call("getdents64").on("/")?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                copy(old.as_fd(), new.as_fd(), name).on(name.to_string_lossy())?;
            }
        }
        for (name, tree) in &self.expected {
            match path::mkdirat(new.as_fd(), name, 0o755) {
                Err(error) if error.errno == Errno::EEXIST => {}
                made => made.and_then(|()| attach(tree.as_fd(), new.as_fd(), name)).on(name.to_string_lossy())?,
            }
        }
        path::mkdirat(new.as_fd(), PLACE_C, 0o755).on(PLACE)?;
        attach(self.all.as_fd(), new.as_fd(), PLACE_C).on(PLACE)?;
        api::mount_setattr(new.as_fd(), Attr::RDONLY, Attr::empty(), false).on("/")?;
        path::fchdir(new.as_fd()).and_then(|()| api::chroot_here()).on("/")
    }
}

/// A copy that cannot be written to and gives no rights, and that no later mount of the host's reaches.
fn tree(dir: BorrowedFd<'_>, name: &CStr) -> sys::Result<OwnedFd> {
    let tree = api::open_tree(dir, name, true)?;
    api::set_propagation(tree.as_fd(), Propagation::Private, true)?;
    api::mount_setattr(tree.as_fd(), Attr::RDONLY | Attr::NOSUID | Attr::NODEV, Attr::empty(), true)?;
    Ok(tree)
}

fn tmpfs() -> sys::Result<OwnedFd> {
    let context = api::fsopen(c"tmpfs")?;
    for (key, value) in [(c"size", c"1m"), (c"mode", c"755")] {
        api::fsconfig_set(context.as_fd(), key, Some(value))?;
    }
    api::fsconfig_create(context.as_fd())?;
    api::fsmount(context.as_fd(), Attr::NOSUID | Attr::NODEV)
}

/// Something at the top of the old root, with all that is mounted below it; a link as it is.
fn copy(old: BorrowedFd<'_>, new: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
    match SFlag::from_bits_truncate(path::lstatat(old, name)?.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFLNK => {
            let target: CString = sys::c_path(&path::readlinkat(old, name)?)?;
            return path::symlinkat(&target, new, name);
        }
        SFlag::S_IFDIR => path::mkdirat(new, name, 0o755)?,
        _ => path::mknodat(new, name, SFlag::S_IFREG, 0o644, 0)?,
    }
    attach(api::open_tree(old, name, true)?.as_fd(), new, name)
}

fn attach(tree: BorrowedFd<'_>, new: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
    let place = path::openat(new, name, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
    api::move_mount(tree, place.as_fd())
}
