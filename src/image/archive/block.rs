//! A header block of a tar, field by field.
//!
//! Runs in: parent · tar(5), POSIX.1-2001 "ustar Interchange Format", GNU tar "Basic Tar Format"

use std::io::{self, Read};

use tar::EntryType;

use super::unreadable;
use crate::error::{Error, Result};

pub(super) const BLOCK: usize = 512;

#[derive(Debug)]
pub(super) struct Block([u8; BLOCK]);

impl Block {
    /// The next block, or nothing where the stream ends.
    pub(super) fn read(stream: &mut impl Read) -> Result<Option<Self>> {
        let mut bytes = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match stream.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(unreadable(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(Some(Self(bytes)))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0 == [0; BLOCK]
    }

    /// Whether the sum is right: of unsigned bytes, or of signed ones as some old programs had it.
    pub(super) fn check(&self) -> Result<()> {
        let summed = |byte: fn(u8) -> i64| -> i64 {
            let own = 148..156;
            let bytes = self.0.iter().enumerate();
            bytes.map(|(at, value)| byte(if own.contains(&at) { b' ' } else { *value })).sum()
        };
        let told = self.number(148, 8)?;
        if told == summed(i64::from) || told == summed(|value| i64::from(value as i8)) {
            return Ok(());
        }
        Err(Error::other("the tar cannot be read: a header has the wrong sum"))
    }

    pub(super) fn kind(&self) -> EntryType {
        EntryType::new(self.0[156])
    }

    /// With the prefix that POSIX has where GNU has other things.
    pub(super) fn name(&self) -> Vec<u8> {
        let (prefix, name) = (self.text(345, 155), self.text(0, 100));
        if self.is_posix() && !prefix.is_empty() { [prefix, name].join(&b'/') } else { name.to_vec() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    pub(super) fn mode(&self) -> Result<i64> {
        self.number(100, 8)
    }

    pub(super) fn uid(&self) -> Result<i64> {
        self.number(108, 8)
    }

    pub(super) fn gid(&self) -> Result<i64> {
        self.number(116, 8)
    }

    pub(super) fn size(&self) -> Result<i64> {
        self.number(124, 12)
    }

    pub(super) fn modified(&self) -> Result<i64> {
        self.number(136, 12)
    }

    /// Major and minor number.
    pub(super) fn device(&self) -> Result<(i64, i64)> {
        Ok((self.number(329, 8)?, self.number(337, 8)?))
    }

    fn is_posix(&self) -> bool {
        self.0[257..263] == *b"ustar\0"
    }

    /// Up to a NUL, if there is one.
    fn text(&self, at: usize, length: usize) -> &[u8] {
        let field = &self.0[at..at + length];
        &field[..field.iter().position(|byte| *byte == 0).unwrap_or(length)]
    }

    pub(super) fn number(&self, at: usize, length: usize) -> Result<i64> {
        let broken = || Error::other("the tar cannot be read: a header has a field that is no number");
        number(&self.0[at..at + length]).ok_or_else(broken)
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.0[at]
    }
}

/// Octal digits, or what is too large for them as GNU writes it: the first bit set, then a signed
/// number, highest byte first. Blank is zero.
fn number(field: &[u8]) -> Option<i64> {
    if let Some((first, rest)) = field.split_first().filter(|(first, _)| **first & 0x80 != 0) {
        let first = i64::from(if first & 0x40 == 0 { first & 0x7f } else { *first } as i8);
        return rest.iter().try_fold(first, |value, byte| value.checked_mul(256)?.checked_add(i64::from(*byte)));
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let digits = &field[field.iter().position(|byte| !is_blank(byte)).unwrap_or(field.len())..];
    let digits = &digits[..digits.iter().position(is_blank).unwrap_or(digits.len())];
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (field, meant) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"\0\0\0\0", Some(0)),
            (b"", Some(0)),
            (b"644 x", Some(0o644)),
            (b"\x80\0\0\x02\0\0\0\x01", Some(0x2_0000_0001)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"0008", None),
            (b"-7", None),
            (b"+7", None),
        ] {
            assert_eq!(number(field), meant, "{field:?}");
        }
    }
}
