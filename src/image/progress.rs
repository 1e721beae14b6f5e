//! How far an import is: a line on a terminal, and nothing anywhere else.
//!
//! Runs in: parent

use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::list::human;
use crate::sys::tty;

const BAR: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Zero if nobody knows.
    total: u64,
    done: AtomicU64,
    /// Nothing where there is no terminal.
    pen: Option<Mutex<Pen>>,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct Pen {
    last: Instant,
    is_used: bool,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        let pen = tty::is_terminal(io::stderr().as_fd()).then(|| Pen { last: Instant::now(), is_used: false });
        Self { total, pen: pen.map(Mutex::new), ..Self::silent() }
    }

    /// Of something that does not take long.
    pub(super) fn silent() -> Self {
        Self::default()
    }

    /// Has everybody who reads end with an error: one of them has failed.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Who comes while another draws does not wait.
        let Some(Ok(mut pen)) = self.pen.as_ref().map(Mutex::try_lock) else { return };
        if pen.last.elapsed() >= PAUSE {
            *pen = Pen { last: Instant::now(), is_used: true };
            let _ = write!(io::stderr(), "\r{}\x1b[K", line(done, self.total));
        }
    }

    /// Takes the line away again.
    pub(super) fn finish(&self) {
        let Some(Ok(mut pen)) = self.pen.as_ref().map(Mutex::lock) else { return };
        if std::mem::take(&mut pen.is_used) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(done: u64, total: u64) -> String {
    if total == 0 {
        return human(done);
    }
    let share = (done as f64 / total as f64).min(1.0);
    let filled = (share * BAR as f64) as usize;
    format!("[{:<BAR$}] {:3.0}%  {} of {}", "#".repeat(filled), share * 100.0, human(done), human(total))
}

/// A source whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<'a, R> {
    pub(super) inner: R,
    pub(super) progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        let count = self.inner.read(buffer)?;
        self.progress.add(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(line(0, 2048), "[                              ]   0%  0 B of 2.0 KiB");
        assert_eq!(line(1024, 2048), "[###############               ]  50%  1.0 KiB of 2.0 KiB");
        assert_eq!(line(4096, 2048), "[##############################] 100%  4.0 KiB of 2.0 KiB");
        assert_eq!(line(4096, 0), "4.0 KiB");
    }
}
