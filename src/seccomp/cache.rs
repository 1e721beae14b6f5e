//! Finished filters, kept in files together with what they were made from.
//!
//! Runs in: parent
//!
//! Whoever can write here decides what containers may do, so the directory must be the caller's own.
//! The cache only saves time: whatever is wrong with it, a filter is built instead.

use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use libseccomp::ScmpVersion;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{geteuid, unlinkat};

use super::Filter;
use crate::sys::{Call as _, Result};

/// As many profiles as an engine may use, with room to spare: 2 MB of them.
const ENTRIES: usize = 64;

const MAGIC: &[u8; 8] = b"orlopbpf";

/// Everything that decides what a filter looks like; a hash of it names the file.
#[derive(Debug)]
pub(super) struct Key {
    inputs: Vec<u8>,
    file: String,
}

impl Key {
    /// libseccomp asks the running kernel what it can do, so its release belongs to the key.
    pub(super) fn of(text: &str) -> Self {
        let libseccomp = ScmpVersion::current().map_or([0; 3], |v| [v.major, v.minor, v.micro]);
        let kernel = nix::sys::utsname::uname();
        let mut inputs = Vec::with_capacity(text.len() + 128);
        inputs.extend(COMPILER.to_ne_bytes());
        inputs.extend(libseccomp.map(u32::to_ne_bytes).as_flattened());
        for name in [
            env!("CARGO_PKG_VERSION").as_bytes(),
            std::env::consts::ARCH.as_bytes(),
            kernel.as_ref().map_or(&[], |kernel| kernel.release().as_encoded_bytes()),
            text.as_bytes(),
        ] {
            inputs.extend(name);
            inputs.push(0);
        }
        let file = format!("{:016x}", hash(&inputs));
        Self { inputs, file }
    }
}

/// Of the compiler's source, so that a changed one never meets filters of its predecessor.
const COMPILER: u64 = hash(include_bytes!("compile.rs"))
    ^ hash(include_bytes!("listener.rs"))
    ^ hash(include_bytes!("newer.rs"))
    ^ hash(include_bytes!("ranges.rs"))
    ^ hash(include_bytes!("mod.rs"));

/// Multiplies and mixes eight bytes at a time (the constant is FNV's). Against accidents only: entries
/// with equal hashes are told apart by comparing their inputs, and nobody else can write entries.
const fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk() {
        hash = (hash ^ u64::from_ne_bytes(*chunk)).wrapping_mul(0x100_0000_01b3);
        hash ^= hash >> 29;
        rest = after;
    }
    while let Some((&byte, after)) = rest.split_first() {
        hash = (hash ^ byte as u64).wrapping_mul(0x100_0000_01b3);
        rest = after;
    }
    hash ^ hash >> 32
}

/// `orlop/seccomp` below a directory for caches that exists, or not.
#[derive(Debug)]
pub(super) struct Cache(PathBuf);

impl Cache {
    /// Root's is the system's, everybody else's is at home: a user's, and that of the "root" of a user's
    /// namespace, to whom /var/cache belongs to nobody.
    pub(super) fn of_caller() -> Option<Self> {
        let caller = geteuid();
        let own = |base: &PathBuf| fs::metadata(base).is_ok_and(|status| status.uid() == caller.as_raw());
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        let system = caller.is_root().then(|| PathBuf::from("/var/cache"));
        system.filter(own).or_else(|| home().filter(own)).map(|base| Self::below(&base))
    }

    pub(super) fn below(base: &Path) -> Self {
        Self(base.join("orlop/seccomp"))
    }

    pub(super) fn get(&self, key: &Key) -> Option<Filter> {
        let directory = self.open()?;
        let entry = openat(&directory, key.file.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = vec![0; usize::try_from(fstat(&entry).ok()?.st_size).ok()?];
        File::from(entry).read_exact(&mut bytes).ok()?;
        unwrap(&bytes, key)
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
        let temporary = format!("{}.{}", key.file, std::process::id());
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&directory, temporary.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).call("openat")?;
        let stored = File::from(file)
            .write_all(&wrap(key, filter))
            .call("write")
            .and_then(|()| renameat(&directory, temporary.as_str(), &directory, key.file.as_str()).call("renameat"));
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

/// An entry: magic, hash of what follows, length of the inputs, inputs, filter.
fn wrap(key: &Key, filter: &Filter) -> Vec<u8> {
    let body = [&(key.inputs.len() as u64).to_ne_bytes(), key.inputs.as_slice(), &filter.to_bytes()].concat();
    [MAGIC, hash(&body).to_ne_bytes().as_slice(), &body].concat()
}

/// `None` for an entry that a crash or a full disk has cut, or that is something else.
fn unwrap(entry: &[u8], key: &Key) -> Option<Filter> {
    let (expected, body) = entry.strip_prefix(MAGIC)?.split_first_chunk()?;
    if hash(body) != u64::from_ne_bytes(*expected) {
        return None;
    }
    let (length, rest) = body.split_first_chunk()?;
    let (inputs, filter) = rest.split_at_checked(usize::try_from(u64::from_ne_bytes(*length)).ok()?)?;
    if inputs == key.inputs { Filter::from_bytes(filter) } else { None }
}
