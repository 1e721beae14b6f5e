//! Headers of a tar: the plain ones, and those of PAX and GNU that say more about the next entry.
//!
//! Runs in: parent · pax(1), POSIX.1-2001 "pax Interchange Format"
//!
//! They are read here and not by the library, because it would believe any length they give.

use std::io::Read;

use nix::sys::stat::makedev;
use nix::sys::time::TimeSpec;
use tar::{Entry, EntryType, Header};

use super::{Look, unreadable};
use crate::error::{Error, Result};

/// A name, a link's target or a PAX header longer than this is no honest one.
const LONGEST: u64 = 1 << 20;

/// One entry with everything that its headers say.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: EntryType,
    pub(super) size: u64,
    pub(super) look: Look,
    pub(super) device: u64,
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What headers so far say about the entry that follows.
#[derive(Debug, Default)]
pub(super) struct Headers {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    modified: Option<TimeSpec>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Headers {
    /// The entry, or nothing if this was a header about the next one.
    pub(super) fn next(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<Option<Item>> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.name = Some(text(entry)?),
            EntryType::GNULongLink => self.link = Some(text(entry)?),
            EntryType::XHeader => self.extend(&body(entry)?)?,
            // Comments of git-archive and the like, for all entries.
            EntryType::XGlobalHeader => {}
            EntryType::GNUSparse => return Err(Error::other("sparse entries of GNU tar are not supported")),
            _ => return std::mem::take(self).item(entry).map(Some),
        }
        Ok(None)
    }

    fn item(self, entry: &Entry<'_, impl Read>) -> Result<Item> {
        let header = entry.header();
        let number = |value: std::io::Result<u64>| value.map_err(unreadable);
        let id = |value: std::io::Result<u64>| {
            u32::try_from(number(value)?).map_err(|_| Error::other("the tar has an id of more than 32 bits"))
        };
        let size = number(header.entry_size())?;
        if self.size.is_some_and(|told| told != size) {
            return Err(Error::other("the tar gives two lengths of an entry"));
        }
        let kind = header.entry_type();
        let name = self.name.unwrap_or_else(|| header.path_bytes().into_owned());
        // Archives older than POSIX have no other way to say it.
        let kind = if kind.is_file() && name.ends_with(b"/") { EntryType::Directory } else { kind };
        Ok(Item {
            link: self.link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            size: if kind == EntryType::Regular || kind == EntryType::Continuous { size } else { 0 },
            look: Look {
                mode: header.mode().map_err(unreadable)? & 0o7777,
                uid: self.uid.map_or_else(|| id(header.uid()), Ok)?,
                gid: self.gid.map_or_else(|| id(header.gid()), Ok)?,
                modified: match self.modified {
                    Some(time) => time,
                    None => TimeSpec::new(i64::try_from(number(header.mtime())?).unwrap_or(i64::MAX), 0),
                },
            },
            device: if kind.is_character_special() || kind.is_block_special() { device(header)? } else { 0 },
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
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(Error::other("sparse entries of GNU tar are not supported"));
                }
                _ => {
                    if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.attributes.push((attribute.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Blank in the headers of everything else.
fn device(header: &Header) -> Result<u64> {
    let (major, minor) = (header.device_major().map_err(unreadable)?, header.device_minor().map_err(unreadable)?);
    Ok(makedev(major.unwrap_or(0).into(), minor.unwrap_or(0).into()))
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

/// The whole of a header's body, if it is of a sensible length.
fn body(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>> {
    if entry.header().entry_size().map_err(unreadable)? > LONGEST {
        return Err(Error::other(format!("the tar has a header longer than {LONGEST} bytes")));
    }
    let mut body = Vec::new();
    entry.read_to_end(&mut body).map_err(unreadable)?;
    Ok(body)
}

/// GNU's long names end with a NUL.
fn text(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>> {
    let mut text = body(entry)?;
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    text.truncate(end);
    Ok(text)
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
        assert!(Headers::default().extend(b"22 GNU.sparse.major=1\n").is_err());
    }
}
