//! What COPY and ADD take: names in a tree, with all that is below them.
//!
//! Runs in: parent, and for other stages the child that mounts them (`mount`)
//!
//! The tree is the context, which nothing leads out of, or the root of another stage, in which links lead
//! to places in it.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::{FileStat, SFlag};
use sha2::{Digest as _, Sha256};

use super::pattern::{Ignored, Pattern, part_matches};
use crate::error::{Error, On as _, Result};
use crate::image::Digest;
use crate::image::digest::Hashing;
use crate::rootfs::overlay::changes::{kind, names};
use crate::sys::{self, Call as _, path};

#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    resolve: ResolveFlag,
    ignored: Ignored,
    /// Whether owners are kept: those of the context are of another machine.
    pub(super) owners: bool,
}

/// A name that was asked for, found.
#[derive(Debug)]
pub(super) struct Source {
    /// The last part of it.
    pub(super) name: String,
    /// What it is, and for a directory all in it: each after the directory it is in.
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// From the tree's root.
    pub(super) path: String,
    /// From the source; empty for the source itself.
    pub(super) below: String,
    pub(super) look: FileStat,
    /// Of a symbolic link.
    pub(super) target: CString,
}

impl Source {
    pub(super) fn is_directory(&self) -> bool {
        self.entries.first().is_some_and(|entry| kind(&entry.look) == SFlag::S_IFDIR)
    }
}

impl Tree {
    pub(super) fn context(root: OwnedFd, ignored: Ignored) -> Self {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        Self { root, resolve, ignored, owners: false }
    }

    pub(super) fn stage(root: OwnedFd) -> Self {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        Self { root, resolve, ignored: Ignored::default(), owners: true }
    }

    /// A regular file, to be read.
    pub(super) fn open_file(&self, name: &str) -> Result<File> {
        self.open(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK).on(name).map(File::from)
    }

    /// The directory that it is in, for what is asked by name.
    pub(super) fn parent(&self, name: &str) -> Result<(OwnedFd, CString)> {
        let (parent, last) = name.rsplit_once('/').unwrap_or((".", name));
        Ok((self.open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY).on(parent)?, sys::c_string(last)?))
    }

    fn open(&self, name: &str, flags: OFlag) -> sys::Result<OwnedFd> {
        path::openat2(self.root.as_fd(), &sys::c_string(name)?, flags, self.resolve)
    }

    /// Everything that the names mean, each at least one thing.
    pub(super) fn find(&self, wanted: &[String]) -> Result<Vec<Source>> {
        let mut found = Vec::new();
        for written in wanted {
            let before = found.len();
            for name in self.expand(&Pattern::new(written)?)? {
                found.extend(self.source(&name)?);
            }
            if found.len() == before {
                return Err(Error::other(format!("{written:?}: no such file or directory")));
            }
        }
        Ok(found)
    }

    /// The names that a pattern matches; itself, where it has no wildcards.
    fn expand(&self, pattern: &Pattern) -> Result<Vec<String>> {
        let mut names_so_far = vec![".".to_owned()];
        for part in pattern.parts() {
            let mut next = Vec::new();
            for dir in &names_so_far {
                if Pattern::is_wild(part) {
                    let all = self.children(dir).unwrap_or_default();
                    next.extend(all.into_iter().filter(|name| part_matches(part, name)).map(|name| join(dir, &name)));
                } else {
                    next.push(join(dir, &part.iter().collect::<String>()));
                }
            }
            names_so_far = next;
        }
        Ok(names_so_far)
    }

    fn children(&self, dir: &str) -> Result<Vec<String>> {
        let fd = self.open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY).on(dir)?;
        let text = |name: CString| {
            let whole = || format!("{dir}/{}", name.to_string_lossy());
            name.clone().into_string().map_err(|_| Error::other(format!("{}: the name is no UTF-8", whole())))
        };
        names(fd.as_fd()).on(dir)?.into_iter().map(text).collect()
    }

    /// None where it is not there, or ignored. A link that is named itself is followed.
    fn source(&self, name: &str) -> Result<Option<Source>> {
        let fd = match self.open(name, OFlag::O_PATH) {
            Err(sys::Error { errno: Errno::ENOENT | Errno::ENOTDIR, .. }) => return Ok(None),
            Err(sys::Error { errno: Errno::EXDEV, .. }) => {
                return Err(Error::other(format!("{name:?} leads out of the context")));
            }
            opened => opened.on(name)?,
        };
        let look = sys::fd::fstat(fd.as_fd()).on(name)?;
        let is_directory = kind(&look) == SFlag::S_IFDIR;
        if self.ignored.has(name) && !is_directory {
            return Ok(None);
        }
        if !is_directory && kind(&look) != SFlag::S_IFREG {
            return Err(Error::other(format!("{name:?} is neither a file nor a directory")));
        }
        let top = Entry { path: name.to_owned(), below: String::new(), look, target: CString::default() };
        let mut source = Source { name: name.rsplit('/').next().unwrap_or(name).to_owned(), entries: vec![top] };
        if is_directory {
            self.walk(name, &mut source.entries)?;
            if self.ignored.has(name) && source.entries.len() == 1 {
                return Ok(None);
            }
        }
        Ok(Some(source))
    }

    /// A directory that is ignored may hold something that is not.
    fn walk(&self, top: &str, entries: &mut Vec<Entry>) -> Result<()> {
        let mut pending = vec![(top.to_owned(), String::new())];
        while let Some((dir, below)) = pending.pop() {
            let fd = self.open(&dir, OFlag::O_PATH | OFlag::O_DIRECTORY).on(&dir)?;
            for name in self.children(&dir)? {
                let path = join(&dir, &name);
                let below = join(&below, &name);
                let c_name = sys::c_string(&name)?;
                let look = path::lstatat(fd.as_fd(), &c_name).on(&path)?;
                let is_directory = kind(&look) == SFlag::S_IFDIR;
                if is_directory {
                    pending.push((path.clone(), below.clone()));
                }
                if self.ignored.has(&path) {
                    continue;
                }
                let target = match kind(&look) {
                    SFlag::S_IFLNK => {
                        sys::c_string(path::readlinkat(fd.as_fd(), &c_name).on(&path)?.into_os_string().into_vec())?
                    }
                    SFlag::S_IFDIR | SFlag::S_IFREG => CString::default(),
                    _ => return Err(Error::other(format!("{path:?} is neither a file, a directory nor a link"))),
                };
                entries.push(Entry { path, below, look, target });
            }
        }
        Ok(())
    }

    /// Of all that would be copied, but for the times.
    pub(super) fn digest(&self, sources: &[Source]) -> Result<Digest> {
        let mut all = Sha256::new();
        for source in sources {
            for entry in &source.entries {
                let content = match kind(&entry.look) {
                    SFlag::S_IFREG => {
                        Hashing::new(self.open_file(&entry.path)?).finish().call("read").on(&entry.path)?.0
                    }
                    _ => Digest::of(entry.target.to_bytes()),
                };
                let about = (&source.name, &entry.below, entry.look.st_mode, content);
                all.update(format!("{about:?}\n"));
            }
        }
        Ok(Digest::of(&all.finalize()))
    }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() || dir == "." { name.to_owned() } else { format!("{dir}/{name}") }
}
