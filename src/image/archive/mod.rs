//! Reading a tar, entry by entry, with nothing believed that it says of itself.
//!
//! Runs in: parent · tar(5)
//!
//! One reader for archives of images and for layers. The library that writes tars is not asked: it reads
//! headers of any length into memory.

mod block;
mod headers;
mod sparse;

use std::io::{self, Read, Seek};

use nix::errno::Errno;
use tar::EntryType;

use crate::error::{Error, Result};
use crate::sys;

use block::{BLOCK, Block};
use headers::Headers;
pub(super) use headers::{Item, Look};
use sparse::Map;

/// Real images have some hundred thousand.
const MOST_ENTRIES: u64 = 2_000_000;

/// Of what the files of one archive say to be long; holes count.
pub(super) const MOST_BYTES: u64 = 256 << 30;

#[derive(Debug)]
pub(super) struct Archive<R> {
    stream: R,
    skip: fn(&mut R, u64) -> io::Result<()>,
    /// Where the stream is.
    position: u64,
    /// What has not been read of the entry's data, and what fills its last block.
    left: u64,
    padding: u64,
    entries: u64,
    bytes: u64,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, skip: read_over, position: 0, left: 0, padding: 0, entries: 0, bytes: 0 }
    }

    /// The next entry with all that the headers before it say; its data are what is read of the archive
    /// until the next call, of a sparse file the pieces one after the other.
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        let mut headers = Headers::default();
        loop {
            let Some(block) = self.header()? else { return Ok(None) };
            let kind = block.kind();
            if headers::is_about_next(kind) {
                self.begin(headers.size_of_body(&block)?)?;
                let mut body = Vec::new();
                self.read_to_end(&mut body).map_err(unreadable)?;
                headers.take(kind, &body)?;
                continue;
            }
            let stored = headers.stored(&block)?;
            let mut map = None;
            if kind == EntryType::GNUSparse {
                map = Some(Map::of_header(&block, || self.block())?);
            }
            self.begin(stored)?;
            // Comments of git-archive and the like, for all entries.
            if kind == EntryType::XGlobalHeader {
                continue;
            }
            if let Some(told) = headers.take_map(self)? {
                map = Some(told);
            }
            return self.entry(headers.item(&block, stored)?, map).map(Some);
        }
    }

    /// Where the data of the entry are.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    fn entry(&mut self, mut item: Item, map: Option<Map>) -> Result<Item> {
        if let Some(map) = map {
            if !item.kind.is_file() || map.stored() != self.left {
                return Err(Error::other("the tar has a broken map of a sparse file"));
            }
            item.size = map.size;
            item.map = Some(map);
        }
        self.bytes = self.bytes.saturating_add(item.size);
        if self.bytes > MOST_BYTES { Err(too_long()) } else { Ok(item) }
    }

    /// A header, or nothing at the end: two blocks of zeros, or the end of the stream.
    fn header(&mut self) -> Result<Option<Block>> {
        let rest = self.left + self.padding;
        (self.skip)(&mut self.stream, rest).map_err(unreadable)?;
        self.position += rest;
        (self.left, self.padding) = (0, 0);
        let Some(block) = self.block()? else { return Ok(None) };
        if block.is_zero() {
            return match self.block()? {
                Some(second) if !second.is_zero() => Err(Error::other("the tar has a blank block in the middle")),
                _ => Ok(None),
            };
        }
        block.check()?;
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(Error::other(format!("the tar has more than {MOST_ENTRIES} entries")));
        }
        Ok(Some(block))
    }

    fn block(&mut self) -> Result<Option<Block>> {
        let block = Block::read(&mut self.stream)?;
        self.position += block.as_ref().map_or(0, |_| BLOCK as u64);
        Ok(block)
    }

    fn begin(&mut self, length: u64) -> Result<()> {
        if length > MOST_BYTES {
            return Err(too_long());
        }
        self.left = length;
        self.padding = length.next_multiple_of(BLOCK as u64) - length;
        Ok(())
    }
}

impl<R: Read + Seek> Archive<R> {
    /// One whose data need not be read to be passed over.
    pub(super) fn seekable(stream: R) -> Self {
        Self { skip: seek_over, ..Self::new(stream) }
    }
}

/// The data of the entry.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(buffer.len()).min(buffer.len());
        let count = self.stream.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

fn read_over(stream: &mut impl Read, bytes: u64) -> io::Result<()> {
    match io::copy(&mut stream.take(bytes), &mut io::sink())? {
        read if read < bytes => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn seek_over(stream: &mut impl Seek, bytes: u64) -> io::Result<()> {
    stream.seek_relative(i64::try_from(bytes).map_err(io::Error::other)?)
}

/// Whoever reads a layer writes its blob at the same time, so an errno may be of either.
pub(super) fn unreadable(error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno) => sys::Error { call: "copy", errno: Errno::from_raw(errno) }.into(),
        None => Error::other(format!("the tar cannot be read: {error}")),
    }
}

fn too_long() -> Error {
    Error::other(format!("the tar is longer than {} GiB", MOST_BYTES >> 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header block of a file.
    fn header(name: &str, kind: u8, size: &str) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..124 + size.len()].copy_from_slice(size.as_bytes());
        block[148..156].fill(b' ');
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    fn data(content: &[u8]) -> Vec<u8> {
        let mut data = content.to_vec();
        data.resize(content.len().next_multiple_of(BLOCK), 0);
        data
    }

    /// Names and contents of all entries, with and without seeking.
    fn entries(tar: &[u8]) -> Result<Vec<(String, String)>> {
        let read = |mut archive: Archive<io::Cursor<&[u8]>>| {
            let mut found = Vec::new();
            while let Some(item) = archive.next()? {
                let mut content = String::new();
                archive.read_to_string(&mut content).map_err(unreadable)?;
                found.push((String::from_utf8_lossy(&item.name).into_owned(), content));
            }
            Ok::<_, Error>(found)
        };
        let read_through = read(Archive::new(io::Cursor::new(tar)))?;
        assert_eq!(read(Archive::seekable(io::Cursor::new(tar)))?, read_through);
        Ok(read_through)
    }

    fn names(tar: &[u8]) -> Vec<String> {
        entries(tar).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn entries_and_the_end() {
        let tar = [header("a", b'0', "3"), data(b"abc"), header("b", b'0', "0")].concat();
        let expected = [("a".to_owned(), "abc".to_owned()), ("b".to_owned(), String::new())];
        assert_eq!(entries(&tar).unwrap(), expected);
        let ended = [tar.clone(), vec![0; 1024], header("c", b'0', "0")].concat();
        assert_eq!(entries(&ended).unwrap(), expected);
        let gap = [tar.clone(), vec![0; 512], header("c", b'0', "0")].concat();
        assert!(entries(&gap).unwrap_err().to_string().contains("blank"));
        assert!(entries(&tar[..700]).is_err());
        let mut wrong = tar;
        wrong[0] = b'x';
        assert!(entries(&wrong).unwrap_err().to_string().contains("wrong sum"));
    }

    /// Links and directories have no data, whatever length they give: so GNU tar and Go have it.
    #[test]
    fn what_has_no_data() {
        for kind in *b"123456" {
            let tar = [header("a", kind, "1000"), header("b", b'0', "0")].concat();
            assert_eq!(names(&tar), ["a", "b"], "{}", kind as char);
        }
    }

    /// POSIX: a length in a PAX record is the one that counts; two that contradict each other are a trick.
    #[test]
    fn lengths_in_pax_records() {
        let pax =
            |record: &str| [header("pax", b'x', &format!("{:o}", record.len())), data(record.as_bytes())].concat();
        let inner = header("hidden", b'0', "0");
        for written in ["0", "1000", "77777777777"] {
            let tar = [pax("12 size=512\n"), header("a", b'0', written), inner.clone()].concat();
            assert_eq!(names(&tar), ["a"], "{written}");
        }
        let two = [pax("12 size=512\n"), header("a", b'0', "1"), inner].concat();
        assert!(entries(&two).unwrap_err().to_string().contains("two lengths"));
    }

    #[test]
    fn too_much() {
        let long = header("a", b'0', "77777777777");
        let mut archive = Archive::seekable(io::Cursor::new(long));
        assert_eq!(archive.next().unwrap().unwrap().size, (8 << 30) - 1);
        let mut archive = Archive { bytes: MOST_BYTES, ..Archive::new(io::Cursor::new(header("a", b'0', "1"))) };
        assert!(archive.next().unwrap_err().to_string().contains("longer than 256 GiB"));
        let mut archive = Archive { entries: MOST_ENTRIES, ..Archive::new(io::Cursor::new(header("a", b'0', "0"))) };
        assert!(archive.next().unwrap_err().to_string().contains("more than 2000000 entries"));
    }
}
