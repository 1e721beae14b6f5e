//! Headers of a tar: the plain ones, and those of PAX and GNU that say more about the next entry.
//!
//! Runs in: parent · pax(1), POSIX.1-2001 "pax Interchange Format"

use std::io::Read;

use nix::sys::stat::makedev;
use nix::sys::time::TimeSpec;
use tar::EntryType;

use super::block::Block;
use super::sparse::{Map, Records};
use crate::error::{Error, Result};

/// Names, link targets and PAX records of one entry that are longer than this are no honest ones.
const LONGEST: u64 = 1 << 20;

/// One entry with everything that its headers say.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryType,
    /// Of a regular file; of a sparse one with its holes.
    pub(crate) size: u64,
    pub(crate) map: Option<Map>,
    pub(crate) look: Look,
    pub(crate) device: u64,
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Mode, owner and time of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: TimeSpec,
}

/// What headers so far say about the entry that follows.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// How long they have been, all together.
    length: u64,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    modified: Option<TimeSpec>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: Records,
}

/// Whether a header is about the entry after it.
pub(super) fn is_about_next(kind: EntryType) -> bool {
    matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader)
}

impl Headers {
    /// The length of such a header's body, if that is a sensible one.
    pub(super) fn size_of_body(&mut self, block: &Block) -> Result<u64> {
        let length = size(block)?;
        self.length = self.length.saturating_add(length);
        if self.length > LONGEST {
            return Err(Error::other(format!("the tar has headers of an entry longer than {LONGEST} bytes")));
        }
        Ok(length)
    }

    pub(super) fn take(&mut self, kind: EntryType, body: &[u8]) -> Result<()> {
        match kind {
            EntryType::GNULongName => self.name = Some(text(body)),
            EntryType::GNULongLink => self.link = Some(text(body)),
            _ => self.extend(body)?,
        }
        Ok(())
    }

    /// How many bytes of data the entry has in the tar.
    pub(super) fn stored(&self, block: &Block) -> Result<u64> {
        if has_no_data(block.kind()) {
            return Ok(0);
        }
        // Too large for the field: some write nothing then, some the largest number.
        const OVERFLOWN: [u64; 2] = [0, 0o777_7777_7777];
        match (self.size, size(block)?) {
            (Some(told), written) if told != written && !OVERFLOWN.contains(&written) => {
                Err(Error::other("the tar gives two lengths of an entry"))
            }
            (told, written) => Ok(told.unwrap_or(written)),
        }
    }

    pub(super) fn take_map(&mut self, data: &mut impl Read) -> Result<Option<Map>> {
        if let Some(name) = self.sparse.name.take() {
            self.name = Some(name);
        }
        std::mem::take(&mut self.sparse).map(data)
    }

    pub(super) fn item(self, block: &Block, stored: u64) -> Result<Item> {
        let id = |told: Option<u32>, written: i64| match told {
            Some(id) => Ok(id),
            None => u32::try_from(written).map_err(|_| Error::other("the tar has an id of more than 32 bits")),
        };
        let name = self.name.unwrap_or_else(|| block.name());
        let kind = match block.kind() {
            // Archives older than POSIX have no other way to say it.
            EntryType::Regular if name.ends_with(b"/") => EntryType::Directory,
            EntryType::GNUSparse | EntryType::Continuous => EntryType::Regular,
            kind => kind,
        };
        Ok(Item {
            link: self.link.unwrap_or_else(|| block.link()),
            size: if kind == EntryType::Regular { stored } else { 0 },
            map: None,
            look: Look {
                mode: (block.mode()? & 0o7777) as u32,
                uid: id(self.uid, block.uid()?)?,
                gid: id(self.gid, block.gid()?)?,
                modified: self.modified.map_or_else(|| block.modified().map(|time| TimeSpec::new(time, 0)), Ok)?,
            },
            device: if matches!(kind, EntryType::Char | EntryType::Block) { device(block)? } else { 0 },
            attributes: self.attributes,
            name,
            kind,
        })
    }

    /// Records of `length key=value\n`.
    fn extend(&mut self, mut records: &[u8]) -> Result<()> {
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or_else(|| Error::other("the tar has a broken PAX header"))?;
            records = rest;
            let broken = || Error::other(format!("the tar has a broken PAX value: {}", String::from_utf8_lossy(key)));
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(parse(value).ok_or_else(broken)?),
                b"uid" => self.uid = Some(parse(value).ok_or_else(broken)?),
                b"gid" => self.gid = Some(parse(value).ok_or_else(broken)?),
                b"mtime" => self.modified = Some(time(value).ok_or_else(broken)?),
                _ => {
                    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                        self.sparse.take(key, value).ok_or_else(broken)?;
                    } else if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.attributes.push((attribute.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whatever length their headers give: some programs write that of a hard link's target (as GNU tar and Go read it).
fn has_no_data(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    matches!(kind, Link | Symlink | Char | Block | Directory | Fifo)
}

fn size(block: &Block) -> Result<u64> {
    u64::try_from(block.size()?).map_err(|_| Error::other("the tar has an entry of less than no length"))
}

fn device(block: &Block) -> Result<u64> {
    let number = |number| u64::try_from(number).map_err(|_| Error::other("the tar has a device of no number"));
    let (major, minor) = block.device()?;
    Ok(makedev(number(major)?, number(minor)?))
}

fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = parse(&records[..space])?;
    let (record, rest) = (records.get(space + 1..length)?, records.get(length..)?);
    let record = record.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn parse<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds since 1970 with as many decimals as there are; before 1970 they count down.
fn time(value: &[u8]) -> Option<TimeSpec> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = decimals.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    Some(if whole.starts_with('-') && nanoseconds > 0 {
        TimeSpec::new(seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds)
    } else {
        TimeSpec::new(seconds, nanoseconds)
    })
}

/// GNU's long names end with a NUL.
fn text(body: &[u8]) -> Vec<u8> {
    body.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records() {
        let mut headers = Headers::default();
        headers.extend(b"14 path=a\nb/c\n20 mtime=-1.5000000\n27 SCHILY.xattr.user.a=\0\xff=\n12 uid=1000\n").unwrap();
        assert_eq!(headers.name.as_deref(), Some(b"a\nb/c".as_slice()));
        assert_eq!(headers.modified, Some(TimeSpec::new(-2, 500_000_000)));
        assert_eq!(headers.attributes, [(b"user.a".to_vec(), b"\0\xff=".to_vec())]);
        assert_eq!(headers.uid, Some(1000));
    }

    #[test]
    fn broken_records() {
        for bad in
            [&b"x"[..], b"5 a=b", b"99 path=a\n", b"3 \n", b"8 noval\n", b"0 \n", b"11 uid=-1x\n", b"12 size=1e9\n"]
        {
            assert!(Headers::default().extend(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(Headers::default().extend(b"23 GNU.sparse.major=x\n").is_err());
    }
}
