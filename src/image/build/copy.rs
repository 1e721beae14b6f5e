//! COPY and ADD: what was found, put into the root of a stage.
//!
//! Runs in: a child of ours (`mount`) · Dockerfile reference, "COPY"
//!
//! The root is an image's, and hostile: names are walked in it, and what is in the way is replaced, not
//! followed.

use std::ffi::CString;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};

use super::source::{Entry, Source, Tree};
use crate::error::{Error, On as _, Property, Result};
use crate::image::{compression, layer};
use crate::rootfs::overlay::changes::kind;
use crate::rootfs::resolve::Kind;
use crate::rootfs::{InRoot, Root};
use crate::sys::{self, Call as _, path, xattr};

/// Where to, and as what.
#[derive(Debug)]
pub(super) struct Destination {
    /// Absolute.
    pub(super) path: String,
    /// It ends with a slash, or has to hold several things.
    pub(super) is_directory: bool,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    /// Archives are unpacked.
    pub(super) unpack: bool,
}

pub(super) struct Copy<'a> {
    pub(super) root: Root<'a>,
    pub(super) tree: &'a Tree,
    pub(super) to: &'a Destination,
}

/// A path in the root of a stage.
pub(super) fn in_root(path: &str) -> Result<InRoot> {
    InRoot::new(path, Property::of("path"))
}

/// The directory with those above it, which belong to the owner if they are new.
pub(super) fn ensure_directory(root: Root<'_>, path: &str, owner: (u32, u32)) -> Result<OwnedFd> {
    let mut so_far = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        so_far = format!("{so_far}/{part}");
        let place = in_root(&so_far)?;
        if root.find(&place).on(&so_far)?.is_none() {
            let made = root.ensure_dir(&place, 0o755)?;
            path::chown(made.as_fd(), owner.0, owner.1).on(&so_far)?;
        }
    }
    root.ensure_dir(&in_root(path)?, 0o755)
}

impl Copy<'_> {
    pub(super) fn all(&self, sources: &[Source]) -> Result<()> {
        sources.iter().try_for_each(|source| self.one(source))
    }

    fn one(&self, source: &Source) -> Result<()> {
        let to = self.to.path.trim_end_matches('/');
        if source.is_directory() {
            return self.directory(source, to);
        }
        let Some(entry) = source.entries.first() else { return Ok(()) };
        if self.to.unpack && self.unpacked(entry)? {
            return Ok(());
        }
        let existing = self.root.find(&in_root(to)?).on(to)?;
        let into_directory = match existing {
            Some(fd) => Kind::of(fd.as_fd()).on(to)? == Kind::Directory,
            None => false,
        };
        let path = if self.to.is_directory || into_directory { format!("{to}/{}", source.name) } else { to.to_owned() };
        self.entry(entry, &path)
    }

    /// What is in it, not the directory itself.
    fn directory(&self, source: &Source, to: &str) -> Result<()> {
        ensure_directory(self.root, to, self.to.owner.unwrap_or_default())?;
        let below = || source.entries.iter().filter(|entry| !entry.below.is_empty());
        for entry in below() {
            self.entry(entry, &format!("{to}/{}", entry.below))?;
        }
        // Whatever was put into them has changed their times.
        for entry in below().filter(|entry| kind(&entry.look) == SFlag::S_IFDIR) {
            let dir = self.root.open(&in_root(&format!("{to}/{}", entry.below))?).on(&entry.below)?;
            set_time(dir.as_fd(), &CString::from(c"."), &entry.look).on(&entry.below)?;
        }
        Ok(())
    }

    fn entry(&self, entry: &Entry, path: &str) -> Result<()> {
        self.put(entry, path).map_err(|error| error.within(path))
    }

    fn put(&self, entry: &Entry, path: &str) -> Result<()> {
        let owner = match self.to.owner {
            Some(owner) => owner,
            None if self.tree.owners => (entry.look.st_uid, entry.look.st_gid),
            None => (0, 0),
        };
        let mode = self.to.mode.unwrap_or(entry.look.st_mode & 0o7777);
        if kind(&entry.look) == SFlag::S_IFDIR {
            let dir = ensure_directory(self.root, path, owner)?;
            chown(dir.as_fd(), &CString::default(), owner)?;
            return Ok(path::chmodat(dir.as_fd(), c".", mode)?);
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (parent, name) =
            (ensure_directory(self.root, parent, self.to.owner.unwrap_or_default())?, sys::c_string(name)?);
        match path::unlinkat(parent.as_fd(), &name) {
            Ok(()) | Err(sys::Error { errno: Errno::ENOENT, .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if kind(&entry.look) == SFlag::S_IFLNK {
            path::symlinkat(&entry.target, parent.as_fd(), &name)?;
            chown(parent.as_fd(), &name, owner)?;
        } else {
            self.file(entry, parent.as_fd(), &name)?;
            // Owner before mode: a change of owner clears the set-id bits.
            chown(parent.as_fd(), &name, owner)?;
            path::chmodat(parent.as_fd(), &name, mode)?;
            if self.tree.owners {
                self.attributes(entry, parent.as_fd(), &name)?;
            }
        }
        Ok(set_time(parent.as_fd(), &name, &entry.look)?)
    }

    fn file(&self, entry: &Entry, parent: BorrowedFd<'_>, name: &CString) -> Result<()> {
        let mut from = self.tree.open_file(&entry.path)?;
        if !from.metadata().call("fstat")?.is_file() {
            return Err(Error::other("it is no file any more"));
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let mut to = File::from(path::openat(parent, name, flags, 0o600)?);
        Ok(std::io::copy(&mut from, &mut to).call("write").map(drop)?)
    }

    /// From another stage; the context's are those of another machine, as its owners are.
    fn attributes(&self, entry: &Entry, parent: BorrowedFd<'_>, name: &CString) -> Result<()> {
        let (dir, from) = self.tree.parent(&entry.path)?;
        for key in xattr::list(dir.as_fd(), &from)? {
            let bytes = key.to_bytes();
            let kept = bytes == b"security.capability"
                || (bytes.starts_with(b"user.") && !bytes.starts_with(b"user.overlay."));
            if let Some(value) = xattr::get(dir.as_fd(), &from, &key)?.filter(|_| kept) {
                xattr::set(parent, name, &key, &value)?;
            }
        }
        Ok(())
    }

    /// Whether it was an archive.
    fn unpacked(&self, entry: &Entry) -> Result<bool> {
        let unpack = || -> Result<bool> {
            if !is_archive(self.tree.open_file(&entry.path)?)? {
                return Ok(false);
            }
            if self.to.owner.is_some() || self.to.mode.is_some() {
                return Err(Error::other("--chown and --chmod of what an archive holds are not supported"));
            }
            let dir = ensure_directory(self.root, &self.to.path, (0, 0))?;
            layer::Unpack::new(dir.as_fd())
                .apply(compression::open(BufReader::new(self.tree.open_file(&entry.path)?))?)?;
            Ok(true)
        };
        unpack().map_err(|error| error.within(&entry.path))
    }
}

/// By the magic of a tar, compressed or not.
fn is_archive(mut file: File) -> Result<bool> {
    const XZ: &[u8] = b"\xfd7zXZ\0";
    const BZIP2: &[u8] = b"BZh";
    let mut start = Vec::new();
    (&mut file).take(6).read_to_end(&mut start).call("read")?;
    if start.starts_with(XZ) || start.starts_with(BZIP2) {
        return Err(Error::other("archives compressed with xz or bzip2 are not supported: use gzip or zstd, or COPY"));
    }
    std::io::Seek::rewind(&mut file).call("lseek")?;
    let mut header = Vec::new();
    // What only begins like something compressed is a file like any other.
    let read = compression::open(BufReader::new(file))?.take(512).read_to_end(&mut header);
    Ok(read.is_ok() && header.get(257..262) == Some(b"ustar"))
}

fn chown(dir: BorrowedFd<'_>, name: &CString, (uid, gid): (u32, u32)) -> sys::Result<()> {
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH;
    nix::unistd::fchownat(dir, name.as_c_str(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
        .call("fchownat")
}

fn set_time(dir: BorrowedFd<'_>, name: &CString, look: &FileStat) -> sys::Result<()> {
    let time = TimeSpec::new(look.st_mtime, look.st_mtime_nsec);
    nix::sys::stat::utimensat(dir, name.as_c_str(), &time, &time, UtimensatFlags::NoFollowSymlink).call("utimensat")
}
