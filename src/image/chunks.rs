//! A stream from one thread to another, in chunks of which only a few exist at any time.
//!
//! Runs in: parent

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, SyncSender};

/// With as many on their way, a layer takes half a megabyte, however long it is.
const LENGTH: usize = 128 << 10;
const ON_THE_WAY: usize = 4;

#[derive(Debug)]
pub(super) struct Sender(SyncSender<io::Result<Vec<u8>>>);

/// Reads what was sent, and at its place the error that ended it.
#[derive(Debug)]
pub(super) struct Chunks {
    receiver: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

pub(super) fn channel() -> (Sender, Chunks) {
    let (sender, receiver) = mpsc::sync_channel(ON_THE_WAY);
    (Sender(sender), Chunks { receiver, chunk: Vec::new(), at: 0 })
}

impl Sender {
    /// Sends everything, unless nobody wants it any more.
    pub(super) fn send_all(self, mut content: impl Read) {
        loop {
            let mut chunk = Vec::with_capacity(LENGTH);
            let read = content.by_ref().take(LENGTH as u64).read_to_end(&mut chunk);
            let is_last = chunk.len() < LENGTH;
            if !chunk.is_empty() && self.0.send(Ok(chunk)).is_err() {
                return;
            }
            if let Err(error) = read {
                // Nobody has to listen.
                let _ = self.0.send(Err(error));
                return;
            }
            if is_last {
                return;
            }
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            // The sender is gone: the end.
            let Ok(next) = self.receiver.recv() else { return Ok(0) };
            self.chunk = next?;
            self.at = 0;
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends with an error after some bytes.
    struct Broken<R>(R);

    impl<R: Read> Read for Broken<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("broken")),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn everything_arrives() {
        let content: Vec<u8> = (0..3 * LENGTH + 5).map(|index| index as u8).collect();
        let (sender, mut chunks) = channel();
        let mut arrived = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send_all(content.as_slice()));
            chunks.read_to_end(&mut arrived).unwrap();
        });
        assert!(arrived == content);
    }

    #[test]
    fn errors_arrive_after_what_was_read() {
        let (sender, mut chunks) = channel();
        sender.send_all(Broken(&b"some"[..]));
        let mut arrived = Vec::new();
        assert_eq!(chunks.read_to_end(&mut arrived).unwrap_err().to_string(), "broken");
        assert_eq!(arrived, b"some");
    }

    #[test]
    fn nobody_needs_to_listen() {
        let (sender, chunks) = channel();
        drop(chunks);
        sender.send_all(io::repeat(0));
    }
}
