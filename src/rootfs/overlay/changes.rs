//! What an upper directory says that has been changed: whiteouts, opaque directories, and the rest.
//!
//! Runs in: parent · Documentation/filesystems/overlayfs.rst (Upper and Lower, whiteouts and opaque directories)
//!
//! The trees are a container's, which may be changing them right now. So every directory is opened by its
//! path from the top, in one call that follows no link; nothing recurses, and what is gone meanwhile is
//! passed over.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::{FileStat, SFlag};

use crate::error::{On as _, Result};
use crate::sys::{self, Call as _, path, xattr};

/// A file system of layers with the one that is written to.
#[derive(Debug)]
pub(crate) struct Changes {
    upper: OwnedFd,
    /// The topmost first.
    lower: Vec<OwnedFd>,
    marks: Marks,
}

/// Where overlayfs keeps its notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    Trusted,
    /// In a user namespace, or with `userxattr`.
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Changed,
    Deleted,
}

/// An entry of the upper directory.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// From the top, without a slash before it; `.` for the top itself.
    pub(crate) path: &'a [u8],
    pub(crate) change: Change,
    /// The directory it is in, and its name there.
    pub(crate) dir: BorrowedFd<'a>,
    pub(crate) name: &'a CStr,
    pub(crate) look: FileStat,
    /// A directory that lower layers have too, and of which nothing is seen but what is here.
    pub(crate) opaque: bool,
    /// The names there that are not seen any more, as far as nothing here has them.
    pub(crate) hidden: Vec<CString>,
}

/// A directory still to be visited.
struct Pending {
    path: Vec<u8>,
    /// Which lower layers have it, by index.
    lower: Vec<usize>,
    /// Names that it hides: it is opaque, or below one that is.
    opaque: bool,
}

/// What the lower layers show at a name.
struct Below {
    exists: bool,
    /// Those that make up the directory there.
    layers: Vec<usize>,
}

impl Marks {
    fn opaque(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.opaque",
            Self::User => c"user.overlay.opaque",
        }
    }

    fn whiteout(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.whiteout",
            Self::User => c"user.overlay.whiteout",
        }
    }

    fn is_opaque(self, dir: BorrowedFd<'_>, name: &CStr) -> sys::Result<bool> {
        Ok(xattr::get(dir, name, self.opaque())?.is_some_and(|value| value == b"y"))
    }

    /// A character device 0:0 or, where none can be made, an empty file with an attribute.
    fn is_whiteout(self, dir: BorrowedFd<'_>, name: &CStr, look: &FileStat) -> sys::Result<bool> {
        match kind(look) {
            SFlag::S_IFCHR => Ok(look.st_rdev == 0),
            SFlag::S_IFREG if look.st_size == 0 => Ok(xattr::get(dir, name, self.whiteout())?.is_some()),
            _ => Ok(false),
        }
    }
}

impl Changes {
    pub(crate) fn open(upper: &Path, lower: &[PathBuf], marks: Marks) -> Result<Self> {
        let open = |dir: &Path| {
            let path = sys::c_path(dir).on(dir.display())?;
            path::open(&path, OFlag::O_RDONLY | OFlag::O_DIRECTORY).on(dir.display())
        };
        Ok(Self { upper: open(upper)?, lower: lower.iter().map(|dir| open(dir)).collect::<Result<_>>()?, marks })
    }

    /// Calls `act` with every entry: a directory before what is in it, names in their order.
    pub(crate) fn visit(&self, mut act: impl FnMut(&Found<'_>) -> Result<()>) -> Result<()> {
        let top = Pending { path: b".".to_vec(), lower: (0..self.lower.len()).collect(), opaque: false };
        let root = Found {
            path: &top.path,
            change: Change::Changed,
            dir: self.upper.as_fd(),
            name: c".",
            look: sys::fd::fstat(self.upper.as_fd()).on("upper directory")?,
            opaque: false,
            hidden: Vec::new(),
        };
        act(&root)?;
        let mut pending = vec![top];
        while let Some(next) = pending.pop() {
            let mut below = self.visit_directory(&next, &mut act)?;
            below.reverse();
            pending.append(&mut below);
        }
        Ok(())
    }

    fn visit_directory(&self, at: &Pending, act: &mut impl FnMut(&Found<'_>) -> Result<()>) -> Result<Vec<Pending>> {
        let shown = || String::from_utf8_lossy(&at.path).into_owned();
        let Some(dir) = open_below(self.upper.as_fd(), &at.path).on(shown())? else { return Ok(Vec::new()) };
        let lower = self.open_lower(at).on(shown())?;
        let mut directories = Vec::new();
        for name in names(dir.as_fd()).on(shown())? {
            let path = join(&at.path, &name);
            let shown = || String::from_utf8_lossy(&path).into_owned();
            let Some(look) = look(dir.as_fd(), &name).on(shown())? else { continue };
            let below = self.below(&lower, &name).on(shown())?;
            let mut found = Found {
                path: &path,
                change: if below.exists { Change::Changed } else { Change::Added },
                dir: dir.as_fd(),
                name: &name,
                look,
                opaque: false,
                hidden: Vec::new(),
            };
            if self.marks.is_whiteout(dir.as_fd(), &name, &look).on(shown())? {
                found.change = Change::Deleted;
                // Overlayfs makes none where nothing is to be hidden.
                if below.exists {
                    act(&found)?;
                }
                continue;
            }
            if kind(&look) != SFlag::S_IFDIR {
                act(&found)?;
                continue;
            }
            let own_mark = self.marks.is_opaque(dir.as_fd(), &name).on(shown())?;
            found.opaque = own_mark && !below.layers.is_empty();
            let opaque = at.opaque || own_mark;
            if opaque {
                found.hidden = self.hidden(&path, &below.layers).on(shown())?;
            }
            act(&found)?;
            directories.push(Pending { path, lower: below.layers, opaque });
        }
        Ok(directories)
    }

    fn open_lower(&self, at: &Pending) -> sys::Result<Vec<(usize, OwnedFd)>> {
        let open = |index: &usize| Ok(open_below(self.lower[*index].as_fd(), &at.path)?.map(|dir| (*index, dir)));
        at.lower.iter().filter_map(|index| open(index).transpose()).collect()
    }

    /// What all of them together show at a name: the topmost one that says something decides.
    fn below(&self, lower: &[(usize, OwnedFd)], name: &CStr) -> sys::Result<Below> {
        let mut below = Below { exists: false, layers: Vec::new() };
        for (index, dir) in lower {
            let Some(look) = look(dir.as_fd(), name)? else { continue };
            if self.marks.is_whiteout(dir.as_fd(), name, &look)? {
                break;
            }
            below.exists = true;
            if kind(&look) != SFlag::S_IFDIR {
                break;
            }
            below.layers.push(*index);
            if self.marks.is_opaque(dir.as_fd(), name)? {
                break;
            }
        }
        Ok(below)
    }

    /// What the lower layers have in a directory, and the upper one has not.
    fn hidden(&self, at: &[u8], layers: &[usize]) -> sys::Result<Vec<CString>> {
        let at = Pending { path: at.to_vec(), lower: layers.to_vec(), opaque: true };
        let lower = self.open_lower(&at)?;
        let upper = open_below(self.upper.as_fd(), &at.path)?;
        let mut hidden = Vec::new();
        for (_, dir) in &lower {
            for name in names(dir.as_fd())? {
                let is_here = match &upper {
                    Some(upper) => look(upper.as_fd(), &name)?.is_some(),
                    None => false,
                };
                if !is_here && self.below(&lower, &name)?.exists {
                    hidden.push(name);
                }
            }
        }
        hidden.sort_unstable();
        hidden.dedup();
        Ok(hidden)
    }
}

/// The type bits of a mode.
pub(crate) fn kind(look: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(look.st_mode) & SFlag::S_IFMT
}

/// `a/b` for `b` in `a`.
pub(crate) fn join(dir: &[u8], name: &CStr) -> Vec<u8> {
    match dir {
        b"." => name.to_bytes().to_vec(),
        _ => [dir, name.to_bytes()].join(&b'/'),
    }
}

/// None where it is gone, or no directory any more.
fn open_below(top: BorrowedFd<'_>, path: &[u8]) -> sys::Result<Option<OwnedFd>> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    match path::openat2(top, &sys::c_string(path)?, OFlag::O_RDONLY | OFlag::O_DIRECTORY, resolve) {
        Ok(dir) => Ok(Some(dir)),
        Err(sys::Error { errno: Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn look(dir: BorrowedFd<'_>, name: &CStr) -> sys::Result<Option<FileStat>> {
    match path::lstatat(dir, name) {
        Ok(look) => Ok(Some(look)),
        Err(sys::Error { errno: Errno::ENOENT, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Those in a directory, in their order.
pub(crate) fn names(dir: BorrowedFd<'_>) -> sys::Result<Vec<CString>> {
    let again = path::openat(dir, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)?;
    let mut dir = Dir::from_fd(again).call("fdopendir")?;
    let names = dir.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()).call("getdents64"));
    let is_real = |name: &sys::Result<CString>| !matches!(name.as_deref(), Ok(name) if name == c"." || name == c"..");
    let mut names: Vec<CString> = names.filter(is_real).collect::<sys::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, dirs: &[&str], files: &[&str]) -> Self {
            let scratch = Self(std::env::temp_dir().join(format!("orlop-changes-{name}-{}", std::process::id())));
            for dir in dirs {
                fs::create_dir_all(scratch.0.join(dir)).unwrap();
            }
            for file in files {
                fs::write(scratch.0.join(file), "").unwrap();
            }
            scratch
        }

        fn mark(&self, name: &str, mark: &CStr) {
            let dir = OwnedFd::from(fs::File::open(&self.0).unwrap());
            xattr::set(dir.as_fd(), &sys::c_string(name).unwrap(), mark, b"y").unwrap();
        }

        fn changes(&self, lower: &[&str]) -> Vec<String> {
            let lower: Vec<PathBuf> = lower.iter().map(|name| self.0.join(name)).collect();
            let changes = Changes::open(&self.0.join("upper"), &lower, Marks::User).unwrap();
            let mut found = Vec::new();
            let note = |entry: &Found<'_>| {
                let hidden: Vec<_> = entry.hidden.iter().map(|name| name.to_string_lossy()).collect();
                let opaque = if entry.opaque { " opaque" } else { "" };
                let path = String::from_utf8_lossy(entry.path);
                found.push(format!("{:?} {path}{opaque} {}", entry.change, hidden.join(",")).trim_end().to_owned());
                Ok(())
            };
            changes.visit(note).unwrap();
            found
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Whiteouts as files with an attribute: these need no privileges.
    #[test]
    fn added_changed_deleted() {
        let scratch = Scratch::new(
            "plain",
            &["upper/etc", "upper/new/sub", "a/etc", "b/etc", "b/deep"],
            &["upper/etc/both", "upper/etc/gone", "upper/etc/new", "upper/none", "a/etc/gone", "b/etc/both", "b/etc/x"],
        );
        scratch.mark("upper/etc/gone", Marks::User.whiteout());
        scratch.mark("upper/none", Marks::User.whiteout());
        assert_eq!(
            scratch.changes(&["a", "b"]),
            [
                "Changed .",
                "Changed etc",
                "Added new",
                "Changed etc/both",
                "Deleted etc/gone",
                "Added etc/new",
                "Added new/sub"
            ]
        );
    }

    #[test]
    fn opaque_directories_hide_what_lower_layers_show() {
        let scratch = Scratch::new(
            "opaque",
            &["upper/opt/sub", "upper/mine", "a/opt/sub", "b/opt/sub", "c/opt/old"],
            &["upper/opt/b", "a/opt/a", "a/opt/w", "b/opt/b", "b/opt/w", "b/opt/sub/x", "a/opt/sub/y"],
        );
        for (name, mark) in [("upper/opt", Marks::opaque as fn(Marks) -> _), ("upper/mine", Marks::opaque)] {
            scratch.mark(name, mark(Marks::User));
        }
        scratch.mark("a/opt/w", Marks::User.whiteout());
        scratch.mark("b/opt", Marks::User.opaque());
        assert_eq!(
            scratch.changes(&["a", "b", "c"]),
            ["Changed .", "Added mine", "Changed opt opaque a", "Changed opt/b", "Changed opt/sub x,y"]
        );
    }

    /// A file above ends what a directory further down is part of; a link is never followed.
    #[test]
    fn files_and_links_hide_directories() {
        let scratch = Scratch::new("files", &["upper/d/e", "a", "b/d/e", "a/l"], &["a/d", "b/d/x"]);
        std::os::unix::fs::symlink("/etc", scratch.0.join("upper/l")).unwrap();
        assert_eq!(scratch.changes(&["a", "b"]), ["Changed .", "Changed d", "Changed l", "Added d/e"]);
    }
}
