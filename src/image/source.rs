//! What an image is imported from: blobs by name, in a directory or in a tar.
//!
//! Runs in: parent

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::archive::{Archive, unreadable};
use super::progress::{Counted, Progress};
use super::{Changing, Digest, LONGEST_DOCUMENT, compression};
use crate::error::{Error, On as _, Result};
use crate::sys::Call as _;

/// Of memory for the names in an archive: that of an image has a few dozen.
const MOST_NAMES: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Layout,
    Docker,
    Rootfs,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    blobs: Blobs,
}

#[derive(Debug)]
enum Blobs {
    Directory(PathBuf),
    Archive(File, BTreeMap<Vec<u8>, Entry>),
}

/// Where in the archive its data are, or the name of the entry that has them.
#[derive(Debug)]
enum Entry {
    Data(u64, u64),
    Link(Vec<u8>),
}

impl Source {
    /// A layout in a directory, or any tar from a file or standard input (`-`).
    pub(super) fn open(path: &Path, changing: &Changing<'_>) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self { kind: Kind::Layout, blobs: Blobs::Directory(path.to_owned()) });
        }
        let file = plain_file(path, changing)?;
        let (kind, entries) = index(&file)?;
        Ok(Self { kind, blobs: Blobs::Archive(file, entries) })
    }

    pub(super) fn read(&self, name: &str) -> Result<Box<dyn Read + Send + '_>> {
        match &self.blobs {
            Blobs::Directory(dir) => {
                let path = dir.join(name);
                Ok(Box::new(File::open(&path).call("open").on(path.display())?))
            }
            Blobs::Archive(file, entries) => {
                let missing = || Error::other(format!("the archive has no {name}"));
                let (at, left) = find(entries, name.as_bytes()).ok_or_else(missing)?;
                Ok(Box::new(Section { file, at, left }))
            }
        }
    }

    /// As far as that can be said.
    pub(super) fn length(&self, name: &str) -> u64 {
        match &self.blobs {
            Blobs::Directory(dir) => dir.join(name).metadata().map_or(0, |look| look.len()),
            Blobs::Archive(_, entries) => find(entries, name.as_bytes()).map_or(0, |(_, length)| length),
        }
    }

    /// The archive itself.
    pub(super) fn whole(&self) -> Result<Box<dyn Read + Send + '_>> {
        match &self.blobs {
            Blobs::Directory(dir) => Err(Error::other(format!("{}: is a directory", dir.display()))),
            Blobs::Archive(file, _) => {
                Ok(Box::new(Section { file, at: 0, left: file.metadata().call("fstat").on("archive")?.len() }))
            }
        }
    }

    pub(super) fn document<T>(&self, name: &str, parse: fn(&[u8]) -> Result<T>) -> Result<T> {
        let mut text = Vec::new();
        self.read(name)?.take(LONGEST_DOCUMENT).read_to_end(&mut text).call("read").on(name)?;
        parse(&text).map_err(|error| error.within(name))
    }
}

/// What a layout calls a blob.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// By the names of what is in it: a layout may be a docker archive as well, and is better read as a layout.
fn index(file: &File) -> Result<(Kind, BTreeMap<Vec<u8>, Entry>)> {
    let mut archive = Archive::seekable(BufReader::new(file));
    let mut entries = BTreeMap::new();
    let (mut any, mut names) = (false, 0);
    let (mut is_layout, mut is_docker) = (false, false);
    while let Some(item) = archive.next()? {
        any = true;
        let name = item.name.strip_prefix(b"./").unwrap_or(&item.name);
        is_layout |= name == b"oci-layout";
        is_docker |= name == b"manifest.json";
        names += 100 + name.len() + item.link.len();
        let entry = match item.kind {
            EntryType::Regular if item.map.is_none() => Entry::Data(archive.position(), item.size),
            EntryType::Link | EntryType::Symlink => Entry::Link(item.link),
            _ => continue,
        };
        if names <= MOST_NAMES {
            entries.insert(name.to_vec(), entry);
        }
    }
    let kind = match (is_layout, is_docker) {
        _ if !any => return Err(Error::other("the archive is empty, or no tar")),
        (true, _) => Kind::Layout,
        (_, true) => Kind::Docker,
        _ => return Ok((Kind::Rootfs, BTreeMap::new())),
    };
    if names > MOST_NAMES {
        Err(Error::other("the archive has too many entries for one of images"))
    } else {
        Ok((kind, entries))
    }
}

/// A layer that several images share is a link, `../ID/layer.tar`.
fn find(entries: &BTreeMap<Vec<u8>, Entry>, name: &[u8]) -> Option<(u64, u64)> {
    match entries.get(name)? {
        Entry::Data(at, length) => Some((*at, *length)),
        Entry::Link(target) => match entries.get(target.strip_prefix(b"../").unwrap_or(target))? {
            Entry::Data(at, length) => Some((*at, *length)),
            Entry::Link(_) => None,
        },
    }
}

/// The file itself if it can be read anywhere and is not compressed; else a copy that can and is not.
fn plain_file(source: &Path, changing: &Changing<'_>) -> Result<File> {
    let is_stdin = source == Path::new("-");
    let file = if is_stdin {
        File::from(io::stdin().as_fd().try_clone_to_owned().call("dup").on("standard input")?)
    } else {
        File::open(source).call("open").on(source.display())?
    };
    let look = file.metadata().call("fstat").on(source.display())?;
    let mut start = [0; 4];
    if !is_stdin && look.is_file() {
        let count = file.read_at(&mut start, 0).call("read").on(source.display())?;
        if !compression::is_compressed(&start[..count]) {
            return Ok(file);
        }
    }
    let path = changing.temporary();
    let mut copy =
        File::options().create_new(true).read(true).write(true).open(&path).call("open").on(path.display())?;
    // Nobody else needs a name for it.
    std::fs::remove_file(&path).call("unlink").on(path.display())?;
    let progress = Progress::new(if look.is_file() { look.len() } else { 0 });
    let counted = BufReader::with_capacity(1 << 16, Counted { inner: file, progress: &progress });
    let copied = io::copy(&mut compression::open(counted)?, &mut copy).map_err(unreadable);
    progress.finish();
    copied?;
    copy.rewind().call("lseek").on("archive")?;
    Ok(copy)
}

/// A part of a file, from anywhere at the same time as others.
#[derive(Debug)]
struct Section<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(buffer.len()).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
