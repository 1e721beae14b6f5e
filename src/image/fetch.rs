//! Layers into the store: each read once, kept as it came and unpacked on the way, several at a time.
//!
//! Runs in: parent · docs/images.md
//!
//! ```text
//! source ─▶ digest ─▶ decompress ─▶ chunks ─▶ diff id ─▶ unpack        two threads for each layer
//!              └────▶ tmp/ (blob)                          └─▶ tmp/ (layer)
//! ```
//!
//! What is in tmp/ gets its name when all of them are whole, their digests right, and everything on disk.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::archive::unreadable;
use super::digest::Hashing;
use super::progress::{Counted, Progress};
use super::{Changing, Digest, chunks, compression, layer};
use crate::error::{Error, On as _, Result};
use crate::sys::Call as _;

/// Layers at the same time: more would only wait for the disk.
const MOST_WORKERS: usize = 4;

/// A layer of an image, and what is known of it before it is read.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What its source calls it.
    pub(super) name: String,
    pub(super) digest: Option<Digest>,
    pub(super) diff_id: Option<Digest>,
}

#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) blob: (Digest, u64),
    pub(super) diff_id: Digest,
}

/// Where layers come from, by the names that the source gives them.
pub(super) type Open<'a> = dyn Fn(&str) -> Result<Box<dyn Read + Send + 'a>> + Sync + 'a;

/// A layer of which what the store did not have yet is in tmp/.
#[derive(Debug)]
struct Pending<'a> {
    fetched: Fetched,
    blob: Option<Temporary<'a>>,
    layer: Option<Temporary<'a>>,
}

/// A file or a directory in tmp/, which goes if it does not get a name.
#[derive(Debug)]
struct Temporary<'a> {
    changing: &'a Changing<'a>,
    path: PathBuf,
}

impl Changing<'_> {
    /// All of these, in their order, or none.
    pub(super) fn fetch(&self, wanted: &[Wanted], open: &Open<'_>, progress: &Progress) -> Result<Vec<Fetched>> {
        let next = AtomicUsize::new(0);
        let pending = Mutex::new(BTreeMap::new());
        let failed = Mutex::new(None);
        let work = || {
            while let Some((index, layer)) = wanted.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                match self.fetch_one(layer, open, progress) {
                    Ok(layer) => drop(lock(&pending).insert(index, layer)),
                    Err(error) => {
                        // The others' errors are only that they were stopped.
                        lock(&failed).get_or_insert(error);
                        progress.stop();
                    }
                }
            }
        };
        let workers = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS).min(wanted.len());
        thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            work();
        });
        let failed = lock(&failed).take();
        match failed {
            Some(error) => Err(error),
            None => self.settle(lock(&pending).split_off(&0).into_values()),
        }
    }

    /// A layer whose blob the store has.
    pub(crate) fn add_layer(&self, blob: &Digest, diff_id: &Digest) -> Result<()> {
        let wanted = Wanted { name: blob.to_string(), digest: Some(blob.clone()), diff_id: Some(diff_id.clone()) };
        let open = |_: &str| Ok(Box::new(self.store.open_blob(blob)?) as Box<dyn Read + Send>);
        self.fetch(&[wanted], &open, &Progress::silent()).map(drop)
    }

    fn fetch_one(&self, wanted: &Wanted, open: &Open<'_>, progress: &Progress) -> Result<Pending<'_>> {
        let of_store = wanted.digest.as_ref().filter(|digest| self.store.blob(digest).exists());
        // Only a digest that was verified with it vouches for a diff id.
        let unpacked =
            wanted.diff_id.as_ref().filter(|layer| wanted.digest.is_some() && self.store.layer(layer).exists());
        if let (Some(digest), Some(diff_id)) = (of_store, unpacked) {
            let length = self.store.open_blob(digest)?.metadata().call("fstat").on(digest)?.len();
            let fetched = Fetched { blob: (digest.clone(), length), diff_id: diff_id.clone() };
            return Ok(Pending { fetched, blob: None, layer: None });
        }
        let name = wanted.digest.as_ref().map_or_else(|| wanted.name.clone(), Digest::to_string);
        self.read(wanted, of_store, unpacked, open, progress)
            .map_err(|error| error.within(format_args!("layer {name}")))
    }

    fn read(
        &self,
        wanted: &Wanted,
        of_store: Option<&Digest>,
        unpacked: Option<&Digest>,
        open: &Open<'_>,
        progress: &Progress,
    ) -> Result<Pending<'_>> {
        let (content, blob, copy): (Box<dyn Read + Send + '_>, _, _) = match of_store {
            Some(digest) => (Box::new(self.store.open_blob(digest)?), None, None),
            None => {
                let (blob, copy) = Temporary::file(self)?;
                (open(&wanted.name)?, Some(blob), Some(copy))
            }
        };
        let content = Hashing::new(Tee { from: Counted { inner: content, progress }, to: copy });
        let (layer, blob_read, diff_id) = match unpacked {
            Some(diff_id) => (None, content.finish().map_err(unreadable), Ok(diff_id.clone())),
            None => {
                let layer = Temporary::directory(self)?;
                let (blob_read, diff_id) = unpack(content, &layer.path);
                (Some(layer), blob_read, diff_id)
            }
        };
        let (digest, length) = blob_read?;
        if let Some(expected) = wanted.digest.as_ref().filter(|expected| **expected != digest) {
            return Err(Error::other(format!("blob {expected}: its content has digest {digest}")));
        }
        let diff_id = diff_id?;
        if let Some(expected) = wanted.diff_id.as_ref().filter(|expected| **expected != diff_id) {
            return Err(Error::other(format!("its content has diff id {diff_id}, not {expected}")));
        }
        Ok(Pending { fetched: Fetched { blob: (digest, length), diff_id }, blob, layer })
    }

    /// Gives them their names, when everything is on disk.
    fn settle<'a>(&self, pending: impl Iterator<Item = Pending<'a>>) -> Result<Vec<Fetched>> {
        let dir = self.store.directory("tmp")?;
        nix::unistd::syncfs(&dir).call("syncfs").on("tmp")?;
        let settle = |Pending { fetched, blob, layer }: Pending<'a>| {
            if let Some(blob) = blob {
                blob.settle(&self.store.blob(&fetched.blob.0))?;
            }
            if let Some(layer) = layer {
                layer.settle(&self.store.layer(&fetched.diff_id))?;
            }
            Ok(fetched)
        };
        pending.map(settle).collect()
    }
}

/// Unpacks in this thread what another reads and decompresses; the digests of both, which count only if
/// the blob's is right.
fn unpack(content: Hashing<impl Read + Send>, dir: &Path) -> (Result<(Digest, u64)>, Result<Digest>) {
    let (sender, chunks) = chunks::channel();
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut content = content;
            sender.send_all(compression::open(BufReader::with_capacity(1 << 16, &mut content))?);
            content.finish().map_err(unreadable)
        });
        let unpacked = unpack_to(Hashing::new(chunks), dir);
        (reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), unpacked)
    })
}

fn unpack_to(mut content: Hashing<chunks::Chunks>, dir: &Path) -> Result<Digest> {
    let root = File::open(dir).call("open").on(dir.display())?;
    layer::Unpack::new(root.as_fd()).apply(BufReader::with_capacity(1 << 16, &mut content))?;
    content.finish().map(|(diff_id, _)| diff_id).map_err(unreadable)
}

/// What is read of it is written as well.
#[derive(Debug)]
struct Tee<R> {
    from: R,
    to: Option<File>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        if let Some(to) = &mut self.to {
            to.write_all(&buffer[..count])?;
        }
        Ok(count)
    }
}

impl<'a> Temporary<'a> {
    fn file(changing: &'a Changing<'a>) -> Result<(Self, File)> {
        let path = changing.temporary();
        let file = File::create_new(&path).call("open").on(path.display())?;
        Ok((Self { changing, path }, file))
    }

    fn directory(changing: &'a Changing<'a>) -> Result<Self> {
        let path = changing.temporary();
        DirBuilder::new().mode(0o755).create(&path).call("mkdir").on(path.display())?;
        Ok(Self { changing, path })
    }

    fn settle(self, to: &Path) -> Result<()> {
        match fs::rename(&self.path, to) {
            // The same layer twice in one image.
            Err(_) if to.exists() => Ok(()),
            renamed => renamed.call("rename").on(to.display()),
        }
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        self.changing.discard(&self.path);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A thread that panics ends the program: no lock is ever poisoned.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
