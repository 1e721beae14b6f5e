//! What a root file system made of layers leaves in the state directory: its mount point, and the upper
//! and work directory of a container that names none.
//!
//! Runs in: parent · docs/overlay.md

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::StateDir;
use crate::error::{On as _, Result};
use crate::namespace::Joined;
use crate::plan::Plan;
use crate::rootfs::overlay::{self, Layers};
use crate::sys::{self, Call as _, path};

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
    match rmdir(state, &sys::c_string(overlay::MOUNT_POINT)?) {
        Err(Errno::ENOENT) => {}
        removed => removed.call("unlinkat").on(overlay::MOUNT_POINT)?,
    }
    let name = sys::c_string(overlay::STATE)?;
    match open_dir(state, &name) {
        Err(Errno::ENOENT) => return Ok(()),
        top => empty(top.call("openat").on(overlay::STATE)?.as_fd()).on(overlay::STATE)?,
    }
    rmdir(state, &name).call("unlinkat").on(overlay::STATE)
}

/// Empties a directory that a container has written to. It may be nested deeper than any path or stack
/// reaches: a directory that is not empty is moved up, so that two levels are all there ever are.
fn empty(top: BorrowedFd<'_>) -> sys::Result<()> {
    let mut moved = 0_u64;
    loop {
        let names = entries(top)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if unlink(top, &name)? {
                continue;
            }
            let dir = open_dir(top, &name).call("openat")?;
            loop {
                let below = entries(dir.as_fd())?;
                if below.is_empty() {
                    break;
                }
                for name in below {
                    if !unlink(dir.as_fd(), &name)? {
                        let up = sys::c_string(format!(".moved-{moved}"))?;
                        nix::fcntl::renameat(dir.as_fd(), name.as_c_str(), top, up.as_c_str()).call("renameat")?;
                        moved += 1;
                    }
                }
            }
            rmdir(top, &name).call("unlinkat")?;
        }
    }
}

/// Removes a name; false if it is a directory with something in it.
fn unlink(dir: BorrowedFd<'_>, name: &CStr) -> sys::Result<bool> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(true),
        Err(Errno::EISDIR) => {}
        Err(errno) => return Err(sys::Error { call: "unlinkat", errno }),
    }
    match rmdir(dir, name) {
        Ok(()) => Ok(true),
        Err(Errno::ENOTEMPTY) => Ok(false),
        Err(errno) => Err(sys::Error { call: "unlinkat", errno }),
    }
}

fn rmdir(dir: BorrowedFd<'_>, name: &CStr) -> nix::Result<()> {
    unlinkat(dir, name, UnlinkatFlags::RemoveDir)
}

/// As many names as a look brings; who removes them looks again.
fn entries(dir: BorrowedFd<'_>) -> sys::Result<Vec<CString>> {
    const AT_ONCE: usize = 4096;
    let again = open_dir(dir, c".").call("openat")?;
    let mut dir = Dir::from_fd(again).call("fdopendir")?;
    let names = dir.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()).call("getdents64"));
    names.filter(|name| !matches!(name.as_ref().map(|name| name.to_bytes()), Ok(b"." | b".."))).take(AT_ONCE).collect()
}

/// A plain user may not look into a directory of the own container's without permission to; such is
/// overlayfs's work directory.
fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> nix::Result<OwnedFd> {
    let open = || path::openat(dir, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0);
    match open() {
        Err(sys::Error { errno: Errno::EACCES, .. }) => {
            path::chmodat(dir, name, 0o700).map_err(|error| error.errno)?;
            open()
        }
        result => result,
    }
    .map_err(|error| error.errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{DirBuilderExt as _, symlink};
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("orlop-layers-{name}-{}", std::process::id()));
            std::fs::create_dir(&dir).unwrap();
            Self(dir)
        }

        fn open(&self) -> OwnedFd {
            std::fs::File::open(&self.0).unwrap().into()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nothing_is_no_error() {
        let scratch = Scratch::new("nothing");
        remove(scratch.open().as_fd()).unwrap();
    }

    #[test]
    fn a_tree_with_links_and_closed_directories() {
        let scratch = Scratch::new("tree");
        let precious = scratch.0.join("precious");
        std::fs::create_dir_all(precious.join("sub")).unwrap();
        let upper = scratch.0.join("overlay/upper");
        std::fs::create_dir_all(upper.join("a/b/c")).unwrap();
        std::fs::write(upper.join("a/b/file"), "").unwrap();
        symlink(&precious, upper.join("a/link")).unwrap();
        symlink("../../precious", upper.join("link")).unwrap();
        std::fs::DirBuilder::new().mode(0o000).create(upper.join("closed")).unwrap();
        std::fs::create_dir(scratch.0.join("rootfs")).unwrap();
        remove(scratch.open().as_fd()).unwrap();
        let left: Vec<_> = std::fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["precious"]);
        assert!(precious.join("sub").exists());
    }

    /// Deeper than PATH_MAX, and than a recursion with a descriptor for each level would get.
    #[test]
    fn a_tree_deeper_than_any_path() {
        let scratch = Scratch::new("deep");
        std::fs::create_dir_all(scratch.0.join("overlay/upper")).unwrap();
        let mut dir: OwnedFd = std::fs::File::open(scratch.0.join("overlay/upper")).unwrap().into();
        for _ in 0..2500 {
            path::mkdirat(dir.as_fd(), c"d", 0o755).unwrap();
            dir = open_dir(dir.as_fd(), c"d").unwrap();
        }
        remove(scratch.open().as_fd()).unwrap();
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
    }
}
