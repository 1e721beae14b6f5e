//! The layer store: images as an OCI layout, each layer unpacked once, whoever uses it.
//!
//! Runs in: parent · image-spec image-layout.md · docs/images.md
//!
//! ```text
//! <store>/oci-layout, index.json      names of images → manifests
//!         blobs/sha256/<digest>       manifests, configurations, layers as they came
//!         layers/sha256/<diff id>/    layers unpacked, in overlayfs's form
//!         bundles                     directories of bundles made of images
//!         tmp/                        what is not finished; nothing refers to it
//!         lock                        held by who changes anything
//! ```
//!
//! Everything is made in tmp/ and renamed into its place under its digest, so what is there is whole. What
//! is in use is found by looking, not by counting: a crash can leave garbage, and never lose anything.

mod archive;
pub(crate) mod build;
pub(crate) mod bundle;
mod chunks;
pub(crate) mod commit;
mod compression;
mod digest;
pub(crate) mod document;
pub(crate) mod draft;
pub(crate) mod export;
mod fetch;
pub(crate) mod gc;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod layer;
pub(crate) mod list;
mod offer;
mod progress;
mod settings;
mod source;
mod user;
mod words;

use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, On as _, Result};
use crate::sys::{self, Call as _};
use crate::tree;

pub(crate) use digest::Digest;
use digest::Hashing;
use document::Platform;
pub(crate) use document::full_name;
pub(crate) use document::{Defaults, Descriptor, Image, Index, Manifest};

/// What `oci-layout` says.
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// More than a manifest or a configuration needs (image-spec suggests 4 MiB).
const LONGEST_DOCUMENT: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

/// The right to change the store, and nobody else at the same time.
#[derive(Debug)]
pub(crate) struct Changing<'a> {
    store: &'a Store,
    _lock: File,
}

/// An image by its name, read and checked.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) manifest: Manifest,
    pub(crate) descriptor: Descriptor,
    pub(crate) image: Image,
}

impl Store {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        for dir in ["blobs/sha256", "layers/sha256", "tmp"] {
            let path = root.join(dir);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).call("mkdir").on(path.display())?;
        }
        let layout = root.join("oci-layout");
        if !layout.exists() {
            fs::write(&layout, LAYOUT).call("write").on(layout.display())?;
        }
        Self::at(root)
    }

    /// As it is: nothing is made.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        // Whoever uses a layer names it by its path: there has to be one way to write it.
        Ok(Self { root: fs::canonicalize(root).call("realpath").on(root.display())? })
    }

    /// The machine's, or for a plain user that user's.
    pub(crate) fn default_root() -> Result<PathBuf> {
        if nix::unistd::geteuid().is_root() {
            return Ok("/var/lib/orlop".into());
        }
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")));
        let data = data.ok_or_else(|| Error::other("neither XDG_DATA_HOME nor HOME says where the store is"))?;
        Ok(data.join("orlop"))
    }

    pub(crate) fn change(&self) -> Result<Changing<'_>> {
        let path = self.root.join("lock");
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).call("open").on(path.display())?;
        lock.lock().call("flock").on(path.display())?;
        Ok(Changing { store: self, _lock: lock })
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Where a layer is, or is going to be.
    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers/sha256").join(diff_id.hex())
    }

    pub(crate) fn index(&self) -> Result<Index> {
        let path = self.root.join("index.json");
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Index::default()),
            text => {
                document::parse(&text.call("read").on(path.display())?).map_err(|error| error.within(path.display()))
            }
        }
    }

    /// A document of the store, if its bytes are what its name says.
    pub(crate) fn document<T: DeserializeOwned>(&self, digest: &Digest) -> Result<T> {
        let path = self.blob(digest);
        let mut text = Vec::new();
        self.open_blob(digest)?.take(LONGEST_DOCUMENT).read_to_end(&mut text).call("read").on(path.display())?;
        if Digest::of(&text) != *digest {
            return Err(Error::other(format!("{}: is not what its digest says", path.display())));
        }
        document::parse(&text).map_err(|error| error.within(path.display()))
    }

    /// An image by name, by digest, or by the beginning of a digest that is no other's.
    pub(crate) fn find(&self, wanted: &str) -> Result<Found> {
        let index = self.index()?;
        let full = document::full_name(wanted);
        let named = index.manifests.iter().find(|entry| entry.name() == Some(full.as_str()));
        let descriptor = match named {
            Some(entry) => entry,
            None => {
                let digits = wanted.strip_prefix("sha256:").unwrap_or(wanted);
                let mut fitting =
                    index.manifests.iter().filter(|entry| digits.len() >= 4 && entry.digest.hex().starts_with(digits));
                match (fitting.next(), fitting.next()) {
                    (Some(entry), None) => entry,
                    (Some(entry), Some(other)) if entry.digest == other.digest => entry,
                    (Some(_), Some(_)) => {
                        return Err(Error::other(format!("image {wanted:?}: several begin like this")));
                    }
                    (None, _) => return Err(Error::other(format!("image {wanted:?} does not exist"))),
                }
            }
        };
        self.load(descriptor)
    }

    pub(crate) fn load(&self, descriptor: &Descriptor) -> Result<Found> {
        let manifest: Manifest = self.document(&descriptor.digest)?;
        let image: Image = self.document(&manifest.config.digest)?;
        offer::same_number(&manifest.layers, &image.rootfs.diff_ids)?;
        let name = descriptor.name().unwrap_or_default().to_owned();
        Ok(Found { name, manifest, descriptor: descriptor.clone(), image })
    }

    /// By the digest of its manifest, whether or not it has a name.
    pub(crate) fn manifest(&self, digest: &Digest) -> Result<Found> {
        let size = self.open_blob(digest)?.metadata().call("fstat").on(digest)?.len();
        self.load(&Descriptor::new(document::MANIFEST, (digest.clone(), size)))
    }

    fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob(digest);
        File::open(&path).call("open").on(path.display())
    }

    /// Everything that is stored, whether or not anything refers to it.
    fn blobs(&self) -> Result<Vec<Digest>> {
        Ok(gc::names(&self.root.join("blobs/sha256"))?.iter().filter_map(|name| Digest::parse(name)).collect())
    }

    fn layers(&self) -> Result<Vec<Digest>> {
        Ok(gc::names(&self.root.join("layers/sha256"))?.iter().filter_map(|name| Digest::parse(name)).collect())
    }

    /// Directories that `bundle` has written to, one in a line of `bundles`.
    fn bundles(&self) -> Result<Vec<PathBuf>> {
        let path = self.root.join("bundles");
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            text => Ok(text.call("read").on(path.display())?.lines().map(PathBuf::from).collect()),
        }
    }

    /// Opened, for names below it.
    fn directory(&self, name: &str) -> Result<OwnedFd> {
        let path = self.root.join(name);
        File::open(&path).call("open").on(path.display()).map(OwnedFd::from)
    }
}

impl Changing<'_> {
    /// Keeps what is read under its digest, which has to be `expected` if that is given.
    pub(crate) fn add_blob(&self, content: impl Read, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let path = self.temporary();
        let result = self.copy(content, &path, expected);
        if result.is_err() {
            let _ = fs::remove_file(&path);
        }
        result
    }

    fn copy(&self, content: impl Read, path: &Path, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let mut file = File::create_new(path).call("open").on(path.display())?;
        let mut content = Hashing::new(content);
        std::io::copy(&mut content, &mut file).call("write").on(path.display())?;
        let (digest, length) = content.finish().call("read").on("blob")?;
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(Error::other(format!("blob {expected}: its content has digest {digest}")));
        }
        file.sync_data().call("fdatasync").on(path.display())?;
        fs::rename(path, self.store.blob(&digest)).call("rename").on(path.display())?;
        Ok((digest, length))
    }

    pub(crate) fn add_document(&self, document: &impl Serialize) -> Result<(Digest, u64)> {
        let text = serde_json::to_vec(document).map_err(|error| Error::other(error.to_string()))?;
        self.add_blob(text.as_slice(), None)
    }

    fn discard(&self, path: &Path) {
        let name = path.file_name().map(|name| sys::c_string(name.as_encoded_bytes()));
        let removed = match (self.store.directory("tmp"), name) {
            (Ok(dir), Some(Ok(name))) => tree::remove(dir.as_fd(), &name).on(path.display()),
            (Err(error), _) => Err(error),
            _ => Ok(()),
        };
        if let Err(error) = removed {
            log::warn!("{error}");
        }
    }

    /// A name that nobody else has: there is one process that changes, and its threads count together.
    fn temporary(&self) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = self.store.root.join(format!("tmp/{}-{number}", std::process::id()));
            if fs::symlink_metadata(&path).is_err() {
                return path;
            }
        }
    }

    pub(crate) fn save_index(&self, index: &Index) -> Result<()> {
        let path = self.store.root.join("index.json");
        let new = self.temporary();
        let text = serde_json::to_vec(index).map_err(|error| Error::other(error.to_string()))?;
        let mut file = File::create_new(&new).call("open").on(new.display())?;
        file.write_all(&text).and_then(|()| file.sync_data()).call("write").on(new.display())?;
        fs::rename(&new, &path).call("rename").on(path.display())
    }

    /// Remembers a bundle, and forgets those that are gone.
    pub(crate) fn add_bundle(&self, dir: &Path) -> Result<()> {
        let mut bundles: Vec<PathBuf> = self.store.bundles()?;
        bundles.retain(|bundle| bundle != dir && bundle.join("config.json").exists());
        bundles.push(dir.to_owned());
        let path = self.store.root.join("bundles");
        let lines: String = bundles.iter().map(|bundle| format!("{}\n", bundle.display())).collect();
        let new = self.temporary();
        fs::write(&new, lines).call("write").on(new.display())?;
        fs::rename(&new, &path).call("rename").on(path.display())
    }

    /// The name is this image's from now on.
    pub(crate) fn name(&self, descriptor: Descriptor, name: &str) -> Result<()> {
        let mut index = self.store.index()?;
        index.name(descriptor, name);
        self.save_index(&index)
    }

    pub(crate) fn remove_name(&self, name: &str) -> Result<()> {
        let full = document::full_name(name);
        let mut index = self.store.index()?;
        let before = index.manifests.len();
        index.manifests.retain(|entry| entry.name() != Some(full.as_str()));
        if index.manifests.len() == before {
            return Err(Error::other(format!("image {name:?} does not exist")));
        }
        self.save_index(&index)
    }
}

/// This machine's, in the words of Go, which are those of the image-spec.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether this machine can run it.
fn is_for_this_machine(platform: &Platform) -> bool {
    platform.os == "linux" && platform.architecture == architecture()
}
