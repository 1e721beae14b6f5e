//! A layer's tar stream to a directory in the form that overlayfs reads.
//!
//! Runs in: parent · image-spec layer.md, Documentation/filesystems/overlayfs.rst
//!
//! The tar is hostile. Every name is walked by the kernel below the layer's directory (openat2,
//! RESOLVE_IN_ROOT), what it says of its own size is believed up to limits, and nothing is written
//! anywhere else: a layer can spoil itself and no more. Whiteouts become overlayfs's own.

pub(super) mod pack;
mod place;

use std::ffi::{CStr, CString};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{SFlag, UtimensatFlags, makedev};
use nix::unistd::{Gid, Uid};
use tar::EntryType;

use crate::error::{Error, On as _, Result};
use crate::sys::{self, Call as _, path, xattr};
use crate::tree;

use super::archive::{Archive, Item, Look, unreadable};
use place::{Place, Spot, WHITEOUT};

/// Of memory for the names of directories, which are dressed at the end.
const MOST_NAMES: usize = 256 << 20;

/// Zeros of this length become a hole.
const BLOCK: usize = 64 << 10;

/// Takes in one layer.
pub(crate) struct Unpack<'a> {
    root: BorrowedFd<'a>,
    /// Root may own, mark and make what others may not; a plain user's layer is all that user's.
    privileged: bool,
    /// What a directory shall look like in the end: until then things are made in it.
    directories: Vec<(Place, Look)>,
    names: usize,
    skipped_devices: u64,
}

impl<'a> Unpack<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>) -> Self {
        let privileged = nix::unistd::geteuid().is_root();
        Self { root, privileged, directories: Vec::new(), names: 0, skipped_devices: 0 }
    }

    /// Everything up to the end of the archive.
    pub(crate) fn apply(mut self, tar: impl Read) -> Result<()> {
        let mut archive = Archive::new(tar);
        while let Some(item) = archive.next()? {
            self.add(&item, &mut archive).map_err(|error| error.within(String::from_utf8_lossy(&item.name)))?;
        }
        self.finish_directories()?;
        if self.skipped_devices > 0 {
            log::warn!("{} devices left out: only root can make them", self.skipped_devices);
        }
        Ok(())
    }

    fn add(&mut self, item: &Item, content: &mut impl Read) -> Result<()> {
        let place = Place::new(&item.name)?;
        // umoci hides what a directory had where a file is now: it hides all of that itself.
        if place.is_whiteout() && place.is_below_a_file(self.root) {
            return Ok(());
        }
        let Some((spot, name)) = place.spot(self.root)? else {
            return self.root_directory(item, place);
        };
        if let Some(hidden) = name.to_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(&spot, hidden);
        }
        match item.kind {
            EntryType::Directory => return self.directory(item, place, &spot, name),
            EntryType::Regular => {
                make_room(&spot, &name)?;
                write_file(&spot, &name, content, item)?;
            }
            EntryType::Link => return self.hard_link(item, &spot, &name),
            EntryType::Symlink => {
                make_room(&spot, &name)?;
                let target = sys::c_string(&item.link)?;
                path::symlinkat(&target, spot.as_fd(), &name)?;
            }
            EntryType::Fifo => {
                make_room(&spot, &name)?;
                path::mknodat(spot.as_fd(), &name, SFlag::S_IFIFO, 0o600, 0)?;
            }
            EntryType::Char | EntryType::Block if !self.privileged => {
                self.skipped_devices += 1;
                return Ok(());
            }
            EntryType::Char | EntryType::Block => device(item, &spot, &name)?,
            other => {
                return Err(Error::other(format!("entries of type {:?} are not supported", other.as_byte() as char)));
            }
        }
        self.dress(item, &spot, &name)
    }

    /// Only a directory can be what everything else is in (CVE-2021-29136).
    fn root_directory(&mut self, item: &Item, place: Place) -> Result<()> {
        if item.kind != EntryType::Directory {
            return Err(Error::other("the root of a layer has to be a directory"));
        }
        self.remember(place, item.look)
    }

    fn remember(&mut self, place: Place, look: Look) -> Result<()> {
        self.names += place.weight();
        if self.names > MOST_NAMES {
            return Err(Error::other("the names of the layer's directories are too long to remember"));
        }
        self.directories.push((place, look));
        Ok(())
    }

    fn directory(&mut self, item: &Item, place: Place, spot: &Spot, name: CString) -> Result<()> {
        let hidden = match spot.look(&name)? {
            Some(look) if is_directory(look.st_mode) => None,
            Some(look) => {
                tree::remove(spot.as_fd(), &name)?;
                Some(is_whiteout(look.st_mode, look.st_rdev))
            }
            None => Some(false),
        };
        if let Some(opaque) = hidden {
            path::mkdirat(spot.as_fd(), &name, 0o700)?;
            if opaque {
                self.hide_below(spot, &name)?;
            }
        }
        for (key, value) in &item.attributes {
            self.attribute(spot, &name, key, value)?;
        }
        self.remember(place, item.look)
    }

    /// To what an earlier entry has made; of a link, to the link itself.
    fn hard_link(&self, item: &Item, spot: &Spot, name: &CString) -> Result<()> {
        let target = Place::new(&item.link)?;
        let linked = target.existing(self.root)?;
        let Some((from, old)) = linked else {
            return Err(Error::other("a hard link to the root of the layer"));
        };
        // To itself: there is nothing to do, and nothing to remove.
        if from.same_as(spot)? && old == *name {
            return Ok(());
        }
        make_room(spot, name)?;
        nix::unistd::linkat(from.as_fd(), old.as_c_str(), spot.as_fd(), name.as_c_str(), AtFlags::empty())
            .call("linkat")
            .on(format_args!("to {}", String::from_utf8_lossy(&item.link)))
    }

    /// layer.md#whiteouts: what lower layers have is hidden, what this one has is not.
    fn whiteout(&self, spot: &Spot, hidden: &[u8]) -> Result<()> {
        match hidden {
            b".wh..opq" => return self.hide_all(spot),
            // Notes that aufs makes for itself.
            _ if hidden.starts_with(b".wh.") => return Ok(()),
            b"" | b"." | b".." => return Err(Error::other("a whiteout of no name")),
            _ => {}
        }
        let name = sys::c_string(hidden)?;
        match spot.look(&name)? {
            Some(look) if is_directory(look.st_mode) => Ok(self.hide_below(spot, &name)?),
            Some(_) => Ok(()),
            None => Ok(path::mknodat(spot.as_fd(), &name, SFlag::S_IFCHR, 0o600, makedev(0, 0))?),
        }
    }

    fn hide_all(&self, spot: &Spot) -> Result<()> {
        Ok(self.hide_below(spot, c".")?)
    }

    /// For overlays that look at trusted.* and, as in user namespaces, for those that look at user.*.
    fn hide_below(&self, spot: &Spot, name: &CStr) -> sys::Result<()> {
        if self.privileged {
            xattr::set(spot.as_fd(), name, c"trusted.overlay.opaque", b"y")?;
        }
        match xattr::set(spot.as_fd(), name, c"user.overlay.opaque", b"y") {
            // Not on every file system, and then there is no overlay of it that would look.
            Err(sys::Error { errno: Errno::EOPNOTSUPP, .. }) if self.privileged => Ok(()),
            set => set,
        }
    }

    /// Owner before mode, because a change of owner clears the set-id bits; time last.
    fn dress(&self, item: &Item, spot: &Spot, name: &CString) -> Result<()> {
        if self.privileged {
            chown(spot.as_fd(), name, item.look)?;
        }
        if item.kind != EntryType::Symlink {
            path::chmodat(spot.as_fd(), name, item.look.mode)?;
        }
        for (key, value) in &item.attributes {
            self.attribute(spot, name, key, value)?;
        }
        Ok(set_time(spot.as_fd(), name, item.look)?)
    }

    /// overlayfs's own attributes would let a layer tell what others hold.
    fn attribute(&self, spot: &Spot, name: &CString, key: &[u8], value: &[u8]) -> Result<()> {
        let of_overlay = [b"trusted.overlay.".as_slice(), b"user.overlay."].iter().any(|own| key.starts_with(own));
        if of_overlay {
            return Err(Error::other(format!("attribute {} is overlayfs's own", String::from_utf8_lossy(key))));
        }
        if !self.privileged && !key.starts_with(b"user.") {
            return Ok(());
        }
        let set = xattr::set(spot.as_fd(), name, &sys::c_string(key)?, value);
        match set {
            // user.* on anything but files and directories, or labels where nobody keeps them.
            Err(sys::Error { errno: Errno::EPERM | Errno::EOPNOTSUPP, .. }) if !key.starts_with(b"security.cap") => {
                Ok(())
            }
            set => set.on(String::from_utf8_lossy(key)),
        }
    }

    /// In the order in which they came: an entry that comes twice is the last one's.
    fn finish_directories(&self) -> Result<()> {
        for (place, look) in &self.directories {
            let Some(dir) = place.directory(self.root)? else { continue };
            if self.privileged {
                chown(dir.as_fd(), &CString::default(), *look).on(place)?;
            }
            path::chmodat(dir.as_fd(), c".", look.mode).on(place)?;
            set_time(dir.as_fd(), &CString::from(c"."), *look).on(place)?;
        }
        Ok(())
    }
}

/// What is in the way of an entry goes, as if it had never been in the tar.
fn make_room(spot: &Spot, name: &CString) -> sys::Result<()> {
    tree::remove(spot.as_fd(), name)
}

fn write_file(spot: &Spot, name: &CString, content: &mut impl Read, item: &Item) -> Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    let mut file = std::fs::File::from(path::openat(spot.as_fd(), name, flags, 0o600)?);
    match &item.map {
        None => write_piece(&mut file, content, item.size)?,
        Some(map) => {
            for (offset, length) in &map.pieces {
                file.seek(SeekFrom::Start(*offset)).call("lseek")?;
                write_piece(&mut file, content, *length)?;
            }
        }
    }
    Ok(file.set_len(item.size).call("ftruncate")?)
}

fn write_piece(file: &mut std::fs::File, content: &mut impl Read, length: u64) -> Result<()> {
    let mut buffer = vec![0; BLOCK];
    let mut left = length;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let chunk = &mut buffer[..wanted];
        content.read_exact(chunk).map_err(unreadable)?;
        let written = if chunk.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(wanted as i64)).map(drop)
        } else {
            file.write_all(chunk)
        };
        written.call("write")?;
        left -= wanted as u64;
    }
    Ok(())
}

/// A device that overlayfs would take for a whiteout is none that an image may have.
fn device(item: &Item, spot: &Spot, name: &CString) -> Result<()> {
    let (kind, device) = match item.kind {
        EntryType::Block => (SFlag::S_IFBLK, item.device),
        _ if item.device == makedev(0, 0) => return Err(Error::other("character device 0:0 is overlayfs's whiteout")),
        _ => (SFlag::S_IFCHR, item.device),
    };
    make_room(spot, name)?;
    Ok(path::mknodat(spot.as_fd(), name, kind, 0o600, device)?)
}

fn chown(dir: BorrowedFd<'_>, name: &CString, look: Look) -> sys::Result<()> {
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH;
    let (uid, gid) = (Uid::from_raw(look.uid), Gid::from_raw(look.gid));
    nix::unistd::fchownat(dir, name.as_c_str(), Some(uid), Some(gid), flags).call("fchownat")
}

fn set_time(dir: BorrowedFd<'_>, name: &CString, look: Look) -> sys::Result<()> {
    let time = &look.modified;
    nix::sys::stat::utimensat(dir, name.as_c_str(), time, time, UtimensatFlags::NoFollowSymlink).call("utimensat")
}

fn is_directory(mode: u32) -> bool {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

fn is_whiteout(mode: u32, device: u64) -> bool {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFCHR && device == makedev(0, 0)
}
