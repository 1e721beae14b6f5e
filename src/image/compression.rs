//! Compressed streams, told by how they begin: media types lie.
//!
//! Runs in: parent · RFC 1952, RFC 8878

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::archive::MOST_BYTES;
use crate::error::{On as _, Result};
use crate::sys::Call as _;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What the decompressor of a frame may keep in memory; compressors take 8 MiB unless told otherwise.
const LARGEST_WINDOW: u64 = 32 << 20;

/// What the stream holds, up to the length of the longest archive: a few bytes may stand for very many.
pub(super) fn open<'a>(mut stream: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    let start = stream.fill_buf().call("read").on("layer")?;
    Ok(if start.starts_with(GZIP) {
        Box::new(Limited { inner: MultiGzDecoder::new(stream), left: MOST_BYTES })
    } else if start.starts_with(ZSTD) {
        Box::new(Limited { inner: Zstd { stream: Some(stream), frame: None }, left: MOST_BYTES })
    } else {
        Box::new(stream)
    })
}

pub(super) fn is_compressed(start: &[u8]) -> bool {
    start.starts_with(GZIP) || start.starts_with(ZSTD)
}

struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)? as u64;
        self.left = self
            .left
            .checked_sub(count)
            .ok_or_else(|| io::Error::other(format!("it is longer than {} GiB uncompressed", MOST_BYTES >> 30)))?;
        Ok(count as usize)
    }
}

/// One frame after the other: the library reads single ones, and layers come in many, with notes
/// (skippable frames) between them.
struct Zstd<R: BufRead> {
    stream: Option<R>,
    frame: Option<StreamingDecoder<R, FrameDecoder>>,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                match frame.read(buffer)? {
                    0 if !buffer.is_empty() => self.stream = self.frame.take().map(StreamingDecoder::into_inner),
                    count => return Ok(count),
                }
            }
            let Some(mut stream) = self.stream.take() else { return Ok(0) };
            match stream.fill_buf()? {
                [] => return Ok(0),
                // 0x184D2A50 to 0x184D2A5F, in the byte order of the stream.
                [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => {
                    skip_frame(&mut stream)?;
                    self.stream = Some(stream);
                }
                _ => self.frame = Some(frame(stream)?),
            }
        }
    }
}

fn frame<R: BufRead>(stream: R) -> io::Result<StreamingDecoder<R, FrameDecoder>> {
    StreamingDecoder::new_with_max_window_size(stream, LARGEST_WINDOW).map_err(io::Error::other)
}

fn skip_frame(stream: &mut impl BufRead) -> io::Result<()> {
    let mut header = [0; 8];
    stream.read_exact(&mut header)?;
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let skipped = io::copy(&mut stream.take(length.into()), &mut io::sink())?;
    if skipped == u64::from(length) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn contents(stream: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        open(stream).unwrap().read_to_string(&mut text).map(|_| text)
    }

    /// "one" and "two" by zstd, as raw blocks.
    const ONE: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, b'o', b'n', b'e'];
    const TWO: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, b't', b'w', b'o'];
    const NOTE: &[u8] = &[0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];

    #[test]
    fn plain_gzip_and_zstd() {
        assert_eq!(contents(b"plain").unwrap(), "plain");
        assert_eq!(contents(b"").unwrap(), "");
        let gzip = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(contents(&[gzip("one"), gzip("two")].concat()).unwrap(), "onetwo");
        assert_eq!(contents(&[ONE, NOTE, TWO, NOTE].concat()).unwrap(), "onetwo");
    }

    #[test]
    fn bombs() {
        let mut limited = Limited { inner: io::repeat(0), left: 100_000 };
        let error = io::copy(&mut limited, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("longer than 256 GiB"), "{error}");
        // A frame whose window is 64 MiB.
        assert!(contents(&[0x28, 0xb5, 0x2f, 0xfd, 0, 16 << 3, 0x19, 0, 0, b'o', b'n', b'e']).is_err());
    }

    #[test]
    fn streams_that_end_early() {
        assert!(contents(&ONE[..10]).is_err());
        assert!(contents(&[ONE, &NOTE[..9]].concat()).is_err());
        assert!(contents(&[0x1f, 0x8b, 8, 0]).is_err());
    }
}
