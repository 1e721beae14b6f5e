//! Finished filters, kept in files named by what they were made from.
//!
//! Runs in: parent
//!
//! Whoever can write here decides what containers may do, so the directory must be the caller's own.
//! The cache only saves time: whatever is wrong with it, a filter is built instead.

use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use libseccomp::ScmpVersion;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{geteuid, unlinkat};
use sha2::{Digest as _, Sha256};

use super::Filter;
use crate::sys::{Call as _, Result};

/// As many profiles as an engine may use, with room to spare: under 1 MB.
const ENTRIES: usize = 64;

const MAGIC: &[u8; 8] = b"orlopbpf";

/// A digest of everything that decides what a filter looks like; in hexadecimal, a file's name.
#[derive(Debug)]
pub(super) struct Key(String);

impl Key {
    /// libseccomp asks the running kernel what it can do, so its release belongs to the key.
    pub(super) fn of(text: &str) -> Self {
        let libseccomp = ScmpVersion::current().map_or([0; 3], |v| [v.major, v.minor, v.micro]);
        let kernel = nix::sys::utsname::uname();
        let mut hasher = Sha256::new();
        hasher.update(COMPILER.to_ne_bytes());
        hasher.update(libseccomp.map(u32::to_ne_bytes).as_flattened());
        for name in [
            env!("CARGO_PKG_VERSION").as_bytes(),
            std::env::consts::ARCH.as_bytes(),
            kernel.as_ref().map_or(&[], |kernel| kernel.release().as_encoded_bytes()),
            text.as_bytes(),
        ] {
            hasher.update((name.len() as u64).to_ne_bytes());
            hasher.update(name);
        }
        Self(hexadecimal(&hasher.finalize()))
    }
}

/// FNV-1a of the compiler's source, so that a changed one never meets filters of its predecessor.
const COMPILER: u64 = {
    let sources: [&[u8]; 2] = [include_bytes!("compile.rs"), include_bytes!("mod.rs")];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < sources[0].len() + sources[1].len() {
        let byte = if at < sources[0].len() { sources[0][at] } else { sources[1][at - sources[0].len()] };
        hash = (hash ^ byte as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    hash
};

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]));
    bytes.iter().flat_map(digits).collect()
}

/// `orlop/seccomp` below a directory for caches that exists, or not.
#[derive(Debug)]
pub(super) struct Cache(PathBuf);

impl Cache {
    /// None for a user of whom we know no home.
    pub(super) fn of_caller() -> Option<Self> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = match geteuid().is_root() {
            true => PathBuf::from("/var/cache"),
            false => absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?,
        };
        Some(Self::below(&base))
    }

    pub(super) fn below(base: &Path) -> Self {
        Self(base.join("orlop/seccomp"))
    }

    pub(super) fn get(&self, key: &Key) -> Option<Filter> {
        let directory = self.open()?;
        let entry = openat(&directory, key.0.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = Vec::with_capacity(fstat(&entry).ok()?.st_size as usize);
        File::from(entry).read_to_end(&mut bytes).ok()?;
        unwrap(&bytes)
    }

    /// Keeps a filter, or forgets it if that is impossible.
    pub(super) fn put(&self, key: &Key, filter: &Filter) {
        if let Err(error) = self.store(key, filter) {
            log::debug!("{}: filter not kept: {}: {}", self.0.display(), error.call, error.errno.desc());
        }
    }

    fn store(&self, key: &Key, filter: &Filter) -> Result<()> {
        let Some(directory) = self.open().or_else(|| self.create()) else { return Ok(()) };
        // Readers see all of an entry or nothing.
        let temporary = format!("{}.{}", key.0, std::process::id());
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&directory, temporary.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).call("openat")?;
        let stored = File::from(file)
            .write_all(&wrap(filter))
            .call("write")
            .and_then(|()| renameat(&directory, temporary.as_str(), &directory, key.0.as_str()).call("renameat"));
        if stored.is_err() {
            let _ = unlinkat(&directory, temporary.as_str(), nix::unistd::UnlinkatFlags::NoRemoveDir);
        }
        self.remove_oldest();
        stored
    }

    /// The directory, if nobody else can have put anything there.
    fn open(&self) -> Option<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = open(&self.0, flags, Mode::empty()).ok()?;
        let status = fstat(&directory).ok()?;
        let trusted = status.st_uid == geteuid().as_raw() && status.st_mode & 0o022 == 0;
        trusted.then_some(directory)
    }

    fn create(&self) -> Option<OwnedFd> {
        for path in [self.0.parent()?, &self.0] {
            // That it exists already is one reason to fail, and fine.
            let _ = DirBuilder::new().mode(0o700).create(path);
        }
        self.open()
    }

    /// Leaves the newest entries; what a killed process left half written goes the same way.
    fn remove_oldest(&self) {
        let Ok(directory) = fs::read_dir(&self.0) else { return };
        let mut entries: Vec<(SystemTime, PathBuf)> =
            directory.flatten().filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))).collect();
        entries.sort();
        for (_, path) in &entries[..entries.len().saturating_sub(ENTRIES)] {
            let _ = fs::remove_file(path);
        }
    }
}

/// An entry: magic, digest of what follows, the filter.
fn wrap(filter: &Filter) -> Vec<u8> {
    let filter = filter.to_bytes();
    [MAGIC, Sha256::digest(&filter).as_slice(), &filter].concat()
}

/// `None` for an entry that a crash or a full disk has cut, or that is something else.
fn unwrap(entry: &[u8]) -> Option<Filter> {
    let (digest, filter) = entry.strip_prefix(MAGIC)?.split_at_checked(32)?;
    if Sha256::digest(filter).as_slice() != digest {
        return None;
    }
    Filter::from_bytes(filter)
}
