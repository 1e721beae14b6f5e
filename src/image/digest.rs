//! Digests: the names of blobs and layers, and readers that compute them on the way.
//!
//! Runs in: parent · image-spec descriptor.md#digests

use std::fmt;
use std::io::{self, Read, Write};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// `sha256:` and 64 digits. Parsed, so that none ever becomes a path that it should not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Also without the algorithm, as file names in a store are.
    pub(crate) fn parse(written: &str) -> Option<Self> {
        let digits = written.strip_prefix("sha256:").unwrap_or(written);
        let mut bytes = [0; 32];
        if digits.len() != 64 || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The digits alone: the name of a file.
    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Enough of it to tell one from another in a table.
    pub(crate) fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        let algorithm = written.split_once(':').map(|(algorithm, _)| algorithm);
        let digest = Self::parse(&written).filter(|_| algorithm == Some("sha256"));
        digest.ok_or_else(|| serde::de::Error::custom(format_args!("{written:?} is no sha256 digest")))
    }
}

/// Passes on what is read or written, and knows its digest and length at the end.
pub(crate) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    length: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, hasher: Sha256::new(), length: 0 }
    }
}

impl<W: Write> Hashing<W> {
    /// What has been written, and where to.
    pub(crate) fn written(self) -> (W, (Digest, u64)) {
        (self.inner, (Digest(self.hasher.finalize().into()), self.length))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Hashing<R> {
    /// What nobody has read yet counts too: a digest is of the whole.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        let mut rest = vec![0; 64 << 10];
        while self.read(&mut rest)? > 0 {}
        Ok((Digest(self.hasher.finalize().into()), self.length))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn only_sha256_in_lower_case() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::parse(EMPTY), Some(Digest::of(b"")));
        assert_eq!(Digest::parse(&EMPTY[7..]), Some(Digest::of(b"")));
        for bad in ["", "sha256:", "sha256:../../etc/passwd", &EMPTY.to_uppercase(), &format!("{EMPTY}0")] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
        assert!(serde_json::from_str::<Digest>(&format!("{:?}", &EMPTY[7..])).is_err());
    }

    #[test]
    fn all_of_a_stream_is_hashed() {
        let mut reader = Hashing::new(&b"first and rest"[..]);
        reader.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(reader.finish().unwrap(), (Digest::of(b"first and rest"), 14));
    }
}
