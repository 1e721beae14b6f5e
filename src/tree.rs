//! Removing directories with what others have put into them, however deep.
//!
//! Runs in: parent
//!
//! A container may nest directories deeper than any path, stack or table of descriptors reaches. So
//! nothing recurses: a directory that is not empty is moved up, and two levels are all there ever are.
//! Links are removed, never followed.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, renameat2};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::{self, Call as _, path};

/// Removes a file, or a directory and all in it. What is not there is no error.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
    if unlink(parent, name)? {
        return Ok(());
    }
    let top = open_dir(parent, name)?;
    let mut moved = 0;
    while empty_once(top.as_fd(), &mut moved)? {}
    rmdir(parent, name).call("unlinkat")
}

/// Removes what is there, and what is not empty as far as the next level; whether there was anything.
fn empty_once(top: BorrowedFd<'_>, moved: &mut u64) -> sys::Result<bool> {
    let names = entries(top)?;
    for name in &names {
        if unlink(top, name)? {
            continue;
        }
        let dir = open_dir(top, name)?;
        loop {
            let below = entries(dir.as_fd())?;
            if below.is_empty() {
                break;
            }
            for name in below {
                if !unlink(dir.as_fd(), &name)? {
                    move_up(dir.as_fd(), &name, top, moved)?;
                }
            }
        }
        rmdir(top, name).call("unlinkat")?;
    }
    Ok(!names.is_empty())
}

fn move_up(dir: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, moved: &mut u64) -> sys::Result<()> {
    loop {
        let up = sys::c_string(format!(".moved-{moved}"))?;
        *moved += 1;
        match renameat2(dir, name, top, up.as_c_str(), RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EEXIST) => {}
            result => return result.call("renameat2"),
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
    let again = open_dir(dir, c".")?;
    let mut dir = Dir::from_fd(again).call("fdopendir")?;
    let names = dir.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()).call("getdents64"));
    names.filter(|name| !matches!(name.as_ref().map(|name| name.to_bytes()), Ok(b"." | b".."))).take(AT_ONCE).collect()
}

/// A plain user may not look into a directory of the own container's without permission to; such is
/// overlayfs's work directory.
fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> sys::Result<OwnedFd> {
    let open = || path::openat(dir, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0);
    match open() {
        Err(sys::Error { errno: Errno::EACCES, .. }) => {
            path::chmodat(dir, name, 0o700)?;
            open()
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{DirBuilderExt as _, symlink};
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("orlop-tree-{name}-{}", std::process::id()));
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
        remove(scratch.open().as_fd(), c"overlay").unwrap();
    }

    #[test]
    fn a_tree_with_links_and_closed_directories() {
        let scratch = Scratch::new("tree");
        let precious = scratch.0.join("precious");
        std::fs::create_dir_all(precious.join("sub")).unwrap();
        let upper = scratch.0.join("overlay/upper");
        std::fs::create_dir_all(upper.join("a/b/c")).unwrap();
        std::fs::write(upper.join("a/b/file"), "").unwrap();
        std::fs::create_dir_all(upper.join("a/b/.moved-0/x")).unwrap();
        std::fs::write(upper.join(".moved-1"), "").unwrap();
        symlink(&precious, upper.join("a/link")).unwrap();
        symlink("../../precious", upper.join("link")).unwrap();
        std::fs::DirBuilder::new().mode(0o000).create(upper.join("closed")).unwrap();
        remove(scratch.open().as_fd(), c"overlay").unwrap();
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
        remove(scratch.open().as_fd(), c"overlay").unwrap();
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
    }
}
