//! Sparse files: where the bytes that a tar has of a file belong in it.
//!
//! Runs in: parent · GNU tar "Storing Sparse Files"
//!
//! There are four forms. The oldest has four places in the header and more in blocks after it; three
//! others use PAX records, the last of them with the list at the start of the file's data.

use std::io::Read;

use super::block::{BLOCK, Block};
use super::unreadable;
use crate::error::{Error, Result};

/// A file in more pieces than this is no honest one.
const MOST_PIECES: usize = 1 << 18;

/// Offset and length of each piece, in ascending order, and the length of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) pieces: Vec<(u64, u64)>,
    pub(crate) size: u64,
}

/// What PAX records have said so far.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    numbers: Vec<u64>,
    is_told: bool,
    map_is_in_data: bool,
}

impl Records {
    /// A record `GNU.sparse.*`, without that; nothing if it has a broken value.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        self.is_told = true;
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"offset" | b"numbytes" => self.numbers.push(decimal(value)?),
            b"map" => {
                let filled = value.split(|byte| *byte == b',').filter(|number| !number.is_empty());
                self.numbers = filled.map(decimal).collect::<Option<_>>()?;
            }
            b"major" => self.map_is_in_data = decimal(value)? == 1,
            // How many there are is seen, and the minor version is 0.
            _ => {}
        }
        Some(())
    }

    /// The map, if the records are those of a sparse file; the newest form has it in the file's data.
    pub(super) fn map(self, data: &mut impl Read) -> Result<Option<Map>> {
        if !self.is_told {
            return Ok(None);
        }
        let size = self.size.ok_or_else(|| Error::other("a sparse file of the tar has no length"))?;
        let numbers = if self.map_is_in_data { numbers_in_data(data)? } else { self.numbers };
        Map::new(&numbers, size).map(Some)
    }
}

impl Map {
    fn new(numbers: &[u64], size: u64) -> Result<Self> {
        let (pairs, rest) = numbers.as_chunks::<2>();
        let mut pieces = Vec::new();
        let mut end = 0;
        for [offset, length] in pairs {
            let fits = offset.checked_add(*length).filter(|next| *offset >= end && *next <= size);
            end = fits.ok_or_else(broken)?;
            pieces.push((*offset, *length));
        }
        if rest.is_empty() { Ok(Self { pieces, size }) } else { Err(broken()) }
    }

    /// How many bytes the tar has of it.
    pub(super) fn stored(&self) -> u64 {
        self.pieces.iter().map(|(_, length)| length).sum()
    }

    /// The oldest form: the file's header, and as many blocks after it as say that there is another.
    pub(super) fn of_header(header: &Block, mut next: impl FnMut() -> Result<Option<Block>>) -> Result<Self> {
        let size = unsigned(header.number(483, 12)?)?;
        let mut numbers = Vec::new();
        add_places(header, 386, 4, &mut numbers)?;
        let mut more = header.byte(482) != 0;
        while more {
            let block = next()?.ok_or_else(broken)?;
            add_places(&block, 0, 21, &mut numbers)?;
            more = block.byte(504) != 0;
        }
        Self::new(&numbers, size)
    }
}

/// Pairs of numbers of twelve digits, up to a blank one.
fn add_places(block: &Block, at: usize, count: usize, numbers: &mut Vec<u64>) -> Result<()> {
    for place in (0..count).map(|index| at + 24 * index).take_while(|place| block.byte(*place) != 0) {
        if numbers.len() >= 2 * MOST_PIECES {
            return Err(too_many());
        }
        numbers.extend([unsigned(block.number(place, 12)?)?, unsigned(block.number(place + 12, 12)?)?]);
    }
    Ok(())
}

/// How many pieces, then offsets and lengths, each on a line; whole blocks of them.
fn numbers_in_data(data: &mut impl Read) -> Result<Vec<u64>> {
    let mut lines = Lines { data, block: Vec::new(), at: 0 };
    let count = lines.number()?;
    if count > MOST_PIECES as u64 {
        return Err(too_many());
    }
    (0..2 * count).map(|_| lines.number()).collect()
}

struct Lines<'a, R> {
    data: &'a mut R,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Result<u64> {
        let mut line = Vec::new();
        loop {
            if self.at == self.block.len() {
                self.block.resize(BLOCK, 0);
                self.data.read_exact(&mut self.block).map_err(unreadable)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return decimal(&line).ok_or_else(broken),
                // Longer than any number.
                _ if line.len() > 20 => return Err(broken()),
                _ => line.push(byte),
            }
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| broken())
}

fn broken() -> Error {
    Error::other("the tar has a broken map of a sparse file")
}

fn too_many() -> Error {
    Error::other(format!("the tar has a sparse file of more than {MOST_PIECES} pieces"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(list: &[(&str, &str)]) -> Records {
        let mut records = Records::default();
        for (key, value) in list {
            records.take(key.as_bytes(), value.as_bytes()).unwrap();
        }
        records
    }

    #[test]
    fn the_three_forms_of_pax() {
        let map = Map { pieces: vec![(512, 3), (4096, 5)], size: 9000 };
        let oldest = [("size", "9000"), ("offset", "512"), ("numbytes", "3"), ("offset", "4096"), ("numbytes", "5")];
        assert_eq!(records(&oldest).map(&mut &[][..]).unwrap(), Some(map.clone()));
        let older = [("size", "9000"), ("name", "real"), ("map", "512,3,4096,5")];
        assert_eq!(records(&older).map(&mut &[][..]).unwrap(), Some(map.clone()));
        let newest = [("major", "1"), ("minor", "0"), ("name", "real"), ("realsize", "9000")];
        let mut data = b"2\n512\n3\n4096\n5\n".to_vec();
        data.resize(512, 0);
        assert_eq!(records(&newest).map(&mut data.as_slice()).unwrap(), Some(map));
        assert_eq!(Records::default().map(&mut &[][..]).unwrap(), None);
    }

    #[test]
    fn broken_maps() {
        for numbers in [&[1, 2, 3][..], &[5, 5, 9, 1], &[5, 6], &[u64::MAX, 2], &[0, 11], &[4, 1, 2, 1]] {
            assert!(Map::new(numbers, 10).is_err(), "{numbers:?}");
        }
        let newest = [("major", "1"), ("realsize", "9000")];
        for data in [&b"1\n2\n"[..], b"999999999999\n", b"\n", b"123456789012345678901234567890\n", b"x\n"] {
            let mut data = data.to_vec();
            data.resize(512, 0);
            assert!(records(&newest).map(&mut data.as_slice()).is_err(), "{data:?}");
        }
        assert!(records(&[("major", "1")]).map(&mut &[][..]).is_err());
    }
}
