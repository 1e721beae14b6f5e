//! What an upper directory has changed, as the tar of a layer: what `Unpack` reads.
//!
//! Runs in: parent · image-spec layer.md, pax(1)
//!
//! The same changes give the same bytes: names in their order, no names of users, nothing of this machine.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{Read as _, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStringExt as _;

use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, major, minor};
use tar::{EntryType, Header};

use crate::error::{Error, Result};
use crate::namespace::idmap;
use crate::rootfs::overlay::Changes;
use crate::rootfs::overlay::changes::{Change, Found, join, kind};
use crate::sys::{Call as _, fd, path, xattr};

/// Names and targets that the header itself has room for.
const SHORT: usize = 100;

/// `VFS_CAP_REVISION_3`, in the last byte of the first word, and the length of the others.
const NAMESPACED_CAPABILITIES: (u8, usize) = (3, 24);

pub(crate) struct Pack<'a, W> {
    out: W,
    ids: &'a idmap::Plan,
    /// The first name of each file that has several.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

/// What an entry says beyond its header: PAX records.
#[derive(Default)]
struct Records(Vec<u8>);

impl<'a, W: Write> Pack<'a, W> {
    /// With the owners that the container saw.
    pub(crate) fn new(out: W, ids: &'a idmap::Plan) -> Self {
        Self { out, ids, linked: HashMap::new() }
    }

    /// The whole archive.
    pub(crate) fn write(mut self, changes: &Changes) -> Result<()> {
        changes.visit(|found| self.add(found).map_err(|error| error.within(String::from_utf8_lossy(found.path))))?;
        self.put(&[0; 1024])
    }

    fn add(&mut self, found: &Found<'_>) -> Result<()> {
        let (path, name) = (found.path, found.name);
        if found.change == Change::Deleted {
            let parent = path.strip_suffix(name.to_bytes()).unwrap_or_default();
            return self.empty_file(&[parent, b".wh.", name.to_bytes()].concat());
        }
        if name.to_bytes().starts_with(b".wh.") {
            return Err(Error::other("in a layer, a name that begins with .wh. says that something is deleted"));
        }
        match kind(&found.look) {
            SFlag::S_IFDIR => return self.directory(found),
            SFlag::S_IFSOCK => {
                log::warn!("{}: a socket, which no layer can have, is left out", String::from_utf8_lossy(path));
                return Ok(());
            }
            _ => {}
        }
        if found.look.st_nlink > 1 {
            let key = (found.look.st_dev, found.look.st_ino);
            if let Some(first) = self.linked.get(&key) {
                let first = first.clone();
                return self.entry(path, EntryType::Link, &first, &found.look, Records::default(), 0);
            }
            self.linked.insert(key, path.to_vec());
        }
        let records = attributes(found.dir, name, self.ids.is_empty())?;
        let (kind, target) = match kind(&found.look) {
            SFlag::S_IFREG => return self.file(found, records),
            SFlag::S_IFLNK => (EntryType::Symlink, path::readlinkat(found.dir, name)?.into_os_string().into_vec()),
            SFlag::S_IFCHR => (EntryType::Char, Vec::new()),
            SFlag::S_IFBLK => (EntryType::Block, Vec::new()),
            _ => (EntryType::Fifo, Vec::new()),
        };
        self.entry(path, kind, &target, &found.look, records, 0)
    }

    fn directory(&mut self, found: &Found<'_>) -> Result<()> {
        let records = attributes(found.dir, found.name, self.ids.is_empty())?;
        let name = [found.path, b"/"].concat();
        self.entry(&name, EntryType::Directory, b"", &found.look, records, 0)?;
        if found.opaque {
            return self.empty_file(&join(found.path, c".wh..wh..opq"));
        }
        Ok(())
    }

    fn file(&mut self, found: &Found<'_>, records: Records) -> Result<()> {
        // A container that runs may have put a device there, which even to open may do something.
        let place = path::openat(found.dir, found.name, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
        let look = fd::fstat(place.as_fd())?;
        if (look.st_dev, look.st_ino) != (found.look.st_dev, found.look.st_ino) {
            return Err(changing());
        }
        let file = fd::reopen(place.as_fd())?;
        let size = look.st_size.cast_unsigned();
        self.entry(found.path, EntryType::Regular, b"", &look, records, size)?;
        let copied = std::io::copy(&mut File::from(file).take(size), &mut self.out).call("write")?;
        if copied != size {
            return Err(changing());
        }
        self.pad(size)
    }

    /// A whiteout.
    fn empty_file(&mut self, name: &[u8]) -> Result<()> {
        let mut header = blank(EntryType::Regular);
        let mut records = Records::default();
        records.name(&mut header, name);
        self.header(header, &records, 0)
    }

    fn entry(
        &mut self,
        name: &[u8],
        kind: EntryType,
        link: &[u8],
        look: &FileStat,
        mut records: Records,
        size: u64,
    ) -> Result<()> {
        let mut header = blank(kind);
        header.set_mode(look.st_mode & 0o7777);
        let unmapped = |what: &str, id| Error::other(format!("its {what} {id} is none of the container's"));
        header.set_uid(self.ids.user_inside(look.st_uid).ok_or_else(|| unmapped("owner", look.st_uid))?.into());
        header.set_gid(self.ids.group_inside(look.st_gid).ok_or_else(|| unmapped("group", look.st_gid))?.into());
        if matches!(kind, EntryType::Char | EntryType::Block) {
            // Twenty bits and twelve: they fit.
            header.set_device_major(major(look.st_rdev) as u32).call("write")?;
            header.set_device_minor(minor(look.st_rdev) as u32).call("write")?;
        }
        records.time(&mut header, look);
        records.name(&mut header, name);
        records.link(&mut header, link);
        self.header(header, &records, size)
    }

    fn header(&mut self, header: Header, records: &Records, size: u64) -> Result<()> {
        if !records.0.is_empty() {
            let mut extended = blank(EntryType::XHeader);
            extended.as_old_mut().name[..3].copy_from_slice(b"pax");
            let length = records.0.len() as u64;
            self.finish(extended, length)?;
            self.put(&records.0)?;
            self.pad(length)?;
        }
        self.finish(header, size)
    }

    fn finish(&mut self, mut header: Header, size: u64) -> Result<()> {
        header.set_size(size);
        header.set_cksum();
        self.put(header.as_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.out.write_all(bytes).call("write")?)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let rest = (512 - size % 512) % 512;
        self.put(&[0; 512][..rest as usize])
    }
}

impl Records {
    /// `length key=value\n`, with the length's own digits in it.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        self.0.extend_from_slice(&[b" ", key, b"=", value, b"\n"].concat());
    }

    fn name(&mut self, header: &mut Header, name: &[u8]) {
        if name.len() > SHORT {
            self.add(b"path", name);
        }
        let short = &name[..name.len().min(SHORT)];
        header.as_old_mut().name[..short.len()].copy_from_slice(short);
    }

    fn link(&mut self, header: &mut Header, link: &[u8]) {
        if link.len() > SHORT {
            self.add(b"linkpath", link);
        }
        let short = &link[..link.len().min(SHORT)];
        header.as_old_mut().linkname[..short.len()].copy_from_slice(short);
    }

    /// The header has seconds from 1970 on.
    fn time(&mut self, header: &mut Header, look: &FileStat) {
        header.set_mtime(u64::try_from(look.st_mtime).unwrap_or(0));
        if look.st_mtime_nsec == 0 && look.st_mtime >= 0 {
            return;
        }
        let nanoseconds = i128::from(look.st_mtime) * 1_000_000_000 + i128::from(look.st_mtime_nsec);
        let (sign, size) = if nanoseconds < 0 { ("-", -nanoseconds) } else { ("", nanoseconds) };
        let text = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
        self.add(b"mtime", text.as_bytes());
    }
}

/// Nobody's, of no time.
fn blank(kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Those that belong to the file and not to the host's security modules. An ACL has ids, which are the
/// host's.
fn attributes(dir: BorrowedFd<'_>, name: &CStr, same_ids: bool) -> Result<Records> {
    let mut records = Records::default();
    for key in xattr::list(dir, name)? {
        let key_bytes = key.to_bytes();
        let begins = |prefix: &[u8]| key_bytes.starts_with(prefix);
        if begins(b"trusted.overlay.redirect") || begins(b"trusted.overlay.metacopy") {
            return Err(Error::other("it was moved, or changed in part, by redirect_dir or metacopy of overlayfs"));
        }
        let own = begins(b"trusted.overlay.") || begins(b"user.overlay.");
        let kept = begins(b"user.")
            || begins(b"trusted.")
            || key_bytes == b"security.capability"
            || (same_ids && begins(b"system.posix_acl_"));
        if own || !kept {
            continue;
        }
        if let Some(mut value) = xattr::get(dir, name, &key)? {
            if key_bytes == b"security.capability" {
                of_root(&mut value);
            }
            records.add(&[b"SCHILY.xattr.", key_bytes].concat(), &value);
        }
    }
    Ok(records)
}

/// Capabilities of a file that were set in a user namespace name its root; in an image they are everybody's
/// root's (capabilities(7), "File capability extended attribute versioning").
fn of_root(value: &mut Vec<u8>) {
    let (revision, length) = NAMESPACED_CAPABILITIES;
    if value.len() == length && value[3] == revision {
        value[3] = revision - 1;
        value.truncate(length - 4);
    }
}

fn changing() -> Error {
    Error::other("it changed while it was read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        let mut records = Records::default();
        records.add(b"path", b"a\nb/c");
        records.add(b"k", &[b'v'; 93]);
        records.add(b"k", &[b'v'; 94]);
        let value = |count: usize| "v".repeat(count);
        // The second has as many bytes as two digits can say, the third needs three.
        let expected = format!("14 path=a\nb/c\n99 k={}\n101 k={}\n", value(93), value(94));
        assert_eq!(String::from_utf8(records.0).unwrap(), expected);
    }

    #[test]
    fn capabilities_of_a_namespace_are_those_of_root() {
        let mut value = [1, 0, 0, 3, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 0x86, 1, 0].to_vec();
        of_root(&mut value);
        assert_eq!((value.len(), value[3]), (20, 2));
        let plain = value.clone();
        of_root(&mut value);
        assert_eq!(value, plain);
    }
}
