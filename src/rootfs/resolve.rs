//! The one way to look something up, or make it, below the container's root.
//!
//! Runs in: init · openat2(2) (Linux 5.6)
//!
//! The tree is hostile, and somebody else may be changing it right now. So a path is walked by the
//! kernel in one call that cannot leave the root and follows no magic link, and what it found is
//! used by descriptor: no path is looked up twice (CVE-2021-30465, CVE-2024-45310).

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::SFlag;

use crate::error::{On as _, Property, Result};
use crate::sys::{self, path};

/// Where a symbolic link would turn a mask, a label or a device into one elsewhere.
const GUARDED: [&str; 3] = ["/proc", "/sys", "/dev"];

/// How deep missing directories are made: as deep as a path can be.
const DEEPEST: usize = libc::PATH_MAX as usize / 2;

/// An absolute path in the container, without `.`, `..` or double slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InRoot(CString);

impl InRoot {
    /// A relative path is taken relative to `/` (MNT-04).
    pub(crate) fn new(written: &str, property: Property) -> Result<Self> {
        let mut parts: Vec<&str> = Vec::new();
        for part in written.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        let path = sys::c_string(format!("/{}", parts.join("/"))).map_err(|_| property.invalid("has a NUL byte"))?;
        Ok(Self(path))
    }

    pub(crate) fn as_str(&self) -> &str {
        // Made from a `str`, so always UTF-8.
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn is_root(&self) -> bool {
        self.as_str() == "/"
    }

    /// Whether this is `other`, or below it.
    pub(crate) fn is_within(&self, other: &str) -> bool {
        self.as_str().strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(super) fn split(&self) -> Option<(Self, CString)> {
        let (parent, name) = self.as_str().rsplit_once('/').filter(|(_, name)| !name.is_empty())?;
        let parent = if parent.is_empty() { "/" } else { parent };
        Some((Self(CString::new(parent).ok()?), CString::new(name).ok()?))
    }

    /// No symbolic link is followed in [`GUARDED`] (CVE-2019-19921, CVE-2026-41579).
    fn resolve(&self) -> ResolveFlag {
        let flags = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        if GUARDED.iter().any(|dir| self.is_within(dir)) { flags | ResolveFlag::RESOLVE_NO_SYMLINKS } else { flags }
    }
}

impl fmt::Display for InRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a mount point, or what is to be mounted, is a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    Other,
}

impl Kind {
    pub(crate) fn of(fd: BorrowedFd<'_>) -> sys::Result<Self> {
        Ok(if file_type(fd)? == SFlag::S_IFDIR { Self::Directory } else { Self::Other })
    }
}

/// The type bits of what a descriptor refers to.
pub(crate) fn file_type(fd: BorrowedFd<'_>) -> sys::Result<SFlag> {
    Ok(SFlag::from_bits_truncate(sys::fd::fstat(fd)?.st_mode) & SFlag::S_IFMT)
}

/// One of [`GUARDED`]: the image's directory, or what the configuration has mounted on it.
#[derive(Debug)]
pub(crate) struct Anchor {
    path: &'static str,
    directory: OwnedFd,
}

impl Anchor {
    /// Those of a root on which nothing is mounted yet.
    pub(crate) fn all(root: BorrowedFd<'_>) -> Vec<Self> {
        let found = |path: &'static str| {
            let directory = Root::new(root).open(&InRoot(sys::c_string(path).ok()?)).ok()?;
            Some(Self { path, directory })
        };
        GUARDED.into_iter().filter_map(found).collect()
    }

    /// None for a mount anywhere else.
    pub(crate) fn new(dest: &InRoot, mount: OwnedFd) -> Option<Self> {
        let path = GUARDED.into_iter().find(|guarded| dest.as_str() == *guarded)?;
        Some(Self { path, directory: mount })
    }
}

/// The container's root, as it is looked at from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root<'a> {
    root: BorrowedFd<'a>,
    /// Where paths below /proc, /sys and /dev begin, the latest last. By way of the image's links another
    /// mount may have been laid over one since, or somebody may have renamed what it is mounted on.
    anchors: &'a [Anchor],
}

impl<'a> Root<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, anchors: &[] }
    }

    pub(crate) fn with(root: BorrowedFd<'a>, anchors: &'a [Anchor]) -> Self {
        Self { root, anchors }
    }

    /// What is at the path, as an `O_PATH` descriptor.
    pub(crate) fn open(&self, path: &InRoot) -> sys::Result<OwnedFd> {
        self.open_with(path, OFlag::O_PATH, path.resolve())
    }

    fn open_with(&self, path: &InRoot, flags: OFlag, resolve: ResolveFlag) -> sys::Result<OwnedFd> {
        match self.anchors.iter().rev().find(|anchor| path.is_within(anchor.path)) {
            Some(anchor) => {
                let below = sys::c_string(format!(".{}", &path.as_str()[anchor.path.len()..]))?;
                sys::path::openat2(anchor.directory.as_fd(), &below, flags, resolve)
            }
            None => sys::path::openat2(self.root, &path.0, flags, resolve),
        }
    }

    fn open_dir(&self, path: &InRoot) -> sys::Result<OwnedFd> {
        self.open_with(path, OFlag::O_PATH | OFlag::O_DIRECTORY, path.resolve())
    }

    /// The same, with nothing there being no error.
    pub(crate) fn find(&self, path: &InRoot) -> sys::Result<Option<OwnedFd>> {
        unless_missing(self.open(path))
    }

    /// The same, through a directory or link only that procfs itself has made.
    pub(crate) fn find_plain(&self, path: &InRoot) -> sys::Result<Option<OwnedFd>> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        unless_missing(self.open_with(path, OFlag::O_PATH, resolve))
    }

    /// The directory, made with all its parents if it is missing.
    pub(crate) fn ensure_dir(&self, path: &InRoot, mode: u32) -> Result<OwnedFd> {
        self.ensure_dir_below(path, mode, DEEPEST).on(path)
    }

    fn ensure_dir_below(&self, path: &InRoot, mode: u32, depth: usize) -> sys::Result<OwnedFd> {
        match self.open_dir(path) {
            Err(sys::Error { errno: Errno::ENOENT, .. }) if depth > 0 => self.make_dir_below(path, mode, depth),
            result => result,
        }
    }

    /// A directory that was not there a moment ago.
    pub(crate) fn make_missing_dir(&self, path: &InRoot, mode: u32) -> Result<OwnedFd> {
        self.make_dir_below(path, mode, DEEPEST).on(path)
    }

    fn make_dir_below(&self, path: &InRoot, mode: u32, depth: usize) -> sys::Result<OwnedFd> {
        let (parent, name) = path.split().ok_or(sys::Error { call: "openat2", errno: Errno::ENOENT })?;
        let parent = self.ensure_dir_below(&parent, mode, depth - 1)?;
        make_dir(parent.as_fd(), &name, mode)
    }

    /// A mount point of this kind: what is there, or made if nothing is.
    pub(crate) fn ensure(&self, path: &InRoot, kind: Kind) -> Result<OwnedFd> {
        if kind == Kind::Directory {
            return self.ensure_dir(path, 0o755);
        }
        match self.open(path) {
            Err(sys::Error { errno: Errno::ENOENT, .. }) => {}
            result => return result.on(path),
        }
        let (parent, name) = self.ensure_parent(path)?;
        make_file(parent.as_fd(), &name, 0o644).on(path)
    }

    /// The directory that a new file goes into, and the file's name.
    pub(crate) fn ensure_parent(&self, path: &InRoot) -> Result<(OwnedFd, CString)> {
        let missing = sys::Error { call: "openat2", errno: Errno::EISDIR };
        let (parent, name) = path.split().ok_or_else(|| missing.on(path))?;
        Ok((self.ensure_dir(&parent, 0o755)?, name))
    }
}

fn unless_missing(found: sys::Result<OwnedFd>) -> sys::Result<Option<OwnedFd>> {
    match found {
        Ok(fd) => Ok(Some(fd)),
        Err(sys::Error { errno: Errno::ENOENT | Errno::ENOTDIR, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new directory, or one that somebody else has just made; never what a link points to.
fn make_dir(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> sys::Result<OwnedFd> {
    match path::mkdirat(parent, name, mode) {
        Ok(()) | Err(sys::Error { errno: Errno::EEXIST, .. }) => {}
        Err(error) => return Err(error),
    }
    path::openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY, 0)
}

/// A new, empty regular file. O_EXCL follows no link, dangling ones included (CVE-2026-88264).
pub(crate) fn make_file(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> sys::Result<OwnedFd> {
    path::openat(parent, name, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDONLY | OFlag::O_NOFOLLOW, mode)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn in_root(path: &str) -> InRoot {
        InRoot::new(path, Property::of("test")).unwrap()
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        for (written, path) in
            [("/a//b/./c/", "/a/b/c"), ("a/b", "/a/b"), ("/..", "/"), ("/a/../../b", "/b"), ("", "/"), ("/", "/")]
        {
            assert_eq!(in_root(written).as_str(), path);
        }
        assert!(in_root("/dev/pts").is_within("/dev") && !in_root("/device").is_within("/dev"));
    }

    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("orlop-resolve-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join("root")).unwrap();
            Self(dir)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// MNT-87, CVE-2024-45310: nothing is made outside of the root, wherever links point.
    #[test]
    fn links_stay_inside() {
        let scratch = Scratch::new("links");
        let dir = scratch.0.join("root");
        symlink("/", dir.join("absolute")).unwrap();
        symlink("../../../..", dir.join("upward")).unwrap();
        symlink("/missing", dir.join("dangling")).unwrap();
        let fd = OwnedFd::from(fs::File::open(&dir).unwrap());
        let root = Root::new(fd.as_fd());
        root.ensure_dir(&in_root("/absolute/a/b"), 0o755).unwrap();
        root.ensure(&in_root("/upward/c"), Kind::Other).unwrap();
        assert!(dir.join("a/b").is_dir() && dir.join("c").is_file());
        assert!(root.ensure_dir(&in_root("/dangling/x"), 0o755).is_err());
        assert!(root.ensure(&in_root("/dangling"), Kind::Other).is_err());
        assert!(!dir.join("missing").exists());
    }

    /// CVE-2019-19921, CVE-2026-41579
    #[test]
    fn no_links_at_dev_proc_and_sys() {
        let scratch = Scratch::new("guarded");
        let dir = scratch.0.join("root");
        fs::create_dir(dir.join("elsewhere")).unwrap();
        symlink("elsewhere", dir.join("dev")).unwrap();
        symlink("elsewhere", dir.join("other")).unwrap();
        let fd = OwnedFd::from(fs::File::open(&dir).unwrap());
        let root = Root::new(fd.as_fd());
        assert!(root.ensure_dir(&in_root("/dev/pts"), 0o755).is_err());
        assert!(root.ensure_dir(&in_root("/other/pts"), 0o755).is_ok());
    }

    /// CVE-2019-19921: what is found is below the directory that was there, whatever its name is now.
    #[test]
    fn a_renamed_directory_is_still_the_one() {
        let scratch = Scratch::new("anchors");
        let dir = scratch.0.join("root");
        fs::create_dir_all(dir.join("proc/inside")).unwrap();
        let fd = OwnedFd::from(fs::File::open(&dir).unwrap());
        let anchors = Anchor::all(fd.as_fd());
        fs::rename(dir.join("proc"), dir.join("other")).unwrap();
        assert!(Root::new(fd.as_fd()).find(&in_root("/proc/inside")).unwrap().is_none());
        let root = Root::with(fd.as_fd(), &anchors);
        assert!(root.find(&in_root("/proc")).unwrap().is_some());
        root.ensure_dir(&in_root("/proc/made"), 0o755).unwrap();
        assert!(dir.join("other/made").is_dir());
    }

    #[test]
    fn a_file_is_no_directory() {
        let scratch = Scratch::new("kinds");
        let dir = scratch.0.join("root");
        fs::write(dir.join("file"), "").unwrap();
        let fd = OwnedFd::from(fs::File::open(&dir).unwrap());
        let root = Root::new(fd.as_fd());
        assert!(root.ensure_dir(&in_root("/file"), 0o755).unwrap_err().to_string().contains("ENOTDIR"));
        assert!(root.ensure_dir(&in_root("/file/below"), 0o755).is_err());
        assert!(root.find(&in_root("/none/at/all")).unwrap().is_none());
    }
}
