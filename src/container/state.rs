//! The directory of a container, `<root>/<id>`: its record (state.json), its configuration, the lock.
//!
//! Runs in: parent · runtime.md#state
//!
//! An id is claimed by holding the lock (flock) of its directory while there is no state.json in
//! it; the directory alone claims nothing. So a `create` that is killed at any point leaves either
//! an empty directory, which the next `create` takes over, or a state.json that tells `delete` what
//! to undo. state.json is replaced by rename: who reads needs no lock.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;

use super::{ContainerId, Record, lock, notify_socket};
use crate::error::code::Code;
use crate::error::{Error, On as _, Result};
use crate::spec::{self, Config};
use crate::sys::{self, Call as _};

/// The socket at which init waits for `start`; gone once the container runs.
pub(crate) const START_SOCKET: &str = "start.sock";

/// The bundle's config.json as `create` read it: the bundle itself may change or go (RT-19).
const CONFIG: &str = "config.json";

const NEW_CONFIG: &str = "config.json.new";

const RECORD: &str = "state.json";
const NEW_RECORD: &str = "state.json.new";

/// `<root>/<id>`. Dropped, it takes the directory of a failed `create` with it.
#[derive(Debug)]
pub(crate) struct StateDir {
    dir: File,
    path: PathBuf,
    remove_on_drop: bool,
}

impl StateDir {
    /// Claims the id for a new container and writes down what it is going to be. The lock is held
    /// until `unlock` or drop; of several claims at the same time exactly one succeeds (RT-41).
    pub(crate) fn claim(root: &Path, id: &ContainerId, record: &Record) -> Result<Self> {
        let path = root.join(id);
        loop {
            let is_new = make_dir(&path)?;
            match Self::take(&path, id, record) {
                Ok(Some(claimed)) => return Ok(claimed),
                Ok(None) => {}
                Err(error) => {
                    // Not one that another create has locked. What is in it keeps it.
                    if is_new && error.errno().is_some() {
                        let _ = std::fs::remove_dir(&path);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// `None` if somebody has just removed the directory.
    fn take(path: &Path, id: &ContainerId, record: &Record) -> Result<Option<Self>> {
        let taken = |how: &str| {
            Error::state(id, format!("container with given ID already exists{how}")).code_is(Code::ContainerExists)
        };
        let Some(dir) = open_dir(path)? else { return Ok(None) };
        match dir.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken("")),
            Err(TryLockError::Error(error)) => return Err(error).call("flock").on(path.display()),
        }
        // By whoever had it, after we opened and before we locked it.
        if dir.metadata().call("fstat").on(path.display())?.nlink() == 0 {
            return Ok(None);
        }
        let mut claimed = Self { dir, path: path.to_owned(), remove_on_drop: false };
        match claimed.load()? {
            None => {
                claimed.remove_on_drop = true;
                claimed.save(record).map(|()| Some(claimed))
            }
            Some(Record { init: None, .. }) => {
                Err(taken(": left by a create that was interrupted, which delete removes"))
            }
            Some(_) => Err(taken("")),
        }
    }

    pub(crate) fn open(root: &Path, id: &ContainerId) -> Result<Option<Self>> {
        let path = root.join(id);
        Ok(open_dir(&path)?.map(|dir| Self { dir, path, remove_on_drop: false }))
    }

    /// Waits for other commands that change this container. The lock ends with this value.
    pub(crate) fn lock(&self) -> Result<()> {
        lock::acquire(&self.dir, &self.path)
    }

    /// Lets others go on; a process cloned meanwhile shares the lock, so closing is not enough. What was
    /// done under the lock is done, whatever comes of this.
    pub(crate) fn unlock(&self) {
        if let Err(error) = self.dir.unlock().call("flock").on(self.path.display()) {
            log::warn!("{error}");
        }
    }

    /// Whether some command is at work on this container.
    pub(crate) fn is_locked(&self) -> Result<bool> {
        match self.dir.try_lock_shared() {
            Ok(()) => {
                self.unlock();
                Ok(false)
            }
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error).call("flock").on(self.path.display()),
        }
    }

    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(|error| Error::other(format!("{RECORD}: {error}")))?;
        self.write(NEW_RECORD, &text)?;
        let renamed = nix::fcntl::renameat(&self.dir, NEW_RECORD, &self.dir, RECORD).call("renameat");
        renamed.on(self.file(RECORD))
    }

    /// Before init is in the record: nobody reads it earlier.
    pub(crate) fn save_config(&self, text: &[u8]) -> Result<()> {
        self.write(CONFIG, text)
    }

    /// Writes down a configuration that is to take the place of the present one.
    pub(crate) fn stage_config(&self, text: &[u8]) -> Result<()> {
        self.write(NEW_CONFIG, text)
    }

    /// Has the one that was staged take its place; who reads sees either.
    pub(crate) fn commit_config(&self) -> Result<()> {
        let renamed = nix::fcntl::renameat(&self.dir, NEW_CONFIG, &self.dir, CONFIG).call("renameat");
        renamed.on(self.file(CONFIG))
    }

    pub(crate) fn discard_config(&self) -> Result<()> {
        self.unlink(NEW_CONFIG)
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&self.dir, name, flags, Mode::from_bits_truncate(0o600)).call("openat");
        File::from(file.on(self.file(name))?).write_all(text).call("write").on(self.file(name))
    }

    /// A directory without a record is what an interrupted claim or `delete` left: no container.
    pub(crate) fn load(&self) -> Result<Option<Record>> {
        let text = match self.read(RECORD, 2048) {
            Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(None),
            text => text?,
        };
        match serde_json::from_slice(&text) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(Error::other(format!("{}: {error}", self.file(RECORD)))),
        }
    }

    /// The configuration that the container was created with, and as updates have changed it.
    pub(crate) fn load_config(&self) -> Result<Config> {
        let text = self.config_text()?;
        spec::parse_again(&text).map_err(|error| Error::other(format!("{}: damaged: {error}", self.file(CONFIG))))
    }

    pub(crate) fn config_text(&self) -> Result<Vec<u8>> {
        self.read(CONFIG, 16 * 1024)
    }

    fn read(&self, name: &str, usual_length: usize) -> Result<Vec<u8>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&self.dir, name, flags, Mode::empty()).call("openat").on(self.file(name))?;
        let mut text = Vec::with_capacity(usual_length);
        // Of no known size, so that nobody asks for it: it fits, as a rule.
        File::from(file).take(u64::MAX).read_to_end(&mut text).call("read").on(self.file(name))?;
        Ok(text)
    }

    /// Whether `name` is in the directory.
    pub(crate) fn holds(&self, name: &str) -> Result<bool> {
        match nix::sys::stat::fstatat(&self.dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(sys::Error { call: "fstatat", errno }.on(self.file(name))),
        }
    }

    /// Removes a file of the directory, which may be gone already.
    pub(crate) fn unlink(&self, name: &str) -> Result<()> {
        match nix::unistd::unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            result => result.call("unlinkat").on(self.file(name)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor, to bind and find the start socket by.
    pub(crate) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.dir)
    }

    /// `create` succeeded: the directory stays.
    pub(crate) fn keep(&mut self) {
        self.remove_on_drop = false;
    }

    /// The last step of `delete`. The record goes last: until then `delete` can be repeated.
    pub(crate) fn remove(&self) -> Result<()> {
        for name in [START_SOCKET, CONFIG, RECORD] {
            self.unlink(name)?;
        }
        let removed = match std::fs::remove_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                // Seldom there: what an update or a create that was killed had not yet put in its place.
                self.unlink(NEW_CONFIG)?;
                self.unlink(NEW_RECORD)?;
                notify_socket::remove(self.fd())?;
                std::fs::remove_dir(&self.path)
            }
            removed => removed,
        };
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.call("rmdir").on(self.path.display()),
        }
    }

    fn file(&self, name: &str) -> impl std::fmt::Display {
        self.path.join(name).display().to_string()
    }
}

/// Only root, or the user whose containers these are, may look. The sticky bit on directories above
/// keeps clean-up of `$XDG_RUNTIME_DIR` away (XDG Base Directory Specification). False if it was there.
fn make_dir(path: &Path) -> Result<bool> {
    let make = || DirBuilder::new().mode(0o700).create(path);
    let made = match make() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let root = path.parent().unwrap_or(path);
            DirBuilder::new().recursive(true).mode(0o1700).create(root).call("mkdir").on(root.display())?;
            make()
        }
        made => made,
    };
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        made => made.call("mkdir").on(path.display()).map(|()| true),
    }
}

fn open_dir(path: &Path) -> Result<Option<File>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match nix::fcntl::open(path, flags, Mode::empty()) {
        Ok(dir) => Ok(Some(dir.into())),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(sys::Error { call: "open", errno }.on(path.display())),
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.remove_on_drop
            && let Err(error) = self.remove()
        {
            log::warn!("{error}");
        }
        self.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::record::{Init, fixture as record};

    /// A root of its own for each test, gone with it.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("orlop-state-{name}-{}", std::process::id()));
            assert!(!path.exists());
            Self(path.join("root"))
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
        }
    }

    fn id() -> ContainerId {
        ContainerId::new("box").unwrap()
    }

    /// RT-41
    #[test]
    fn an_id_is_claimed_once() {
        let root = Root::new("once");
        let mut first = StateDir::claim(&root.0, &id(), &record(None)).unwrap();
        let second = StateDir::claim(&root.0, &id(), &record(None)).unwrap_err();
        assert!(second.to_string().contains("container with given ID already exists"), "{second}");
        first.save(&record(Some(Init { pid: 1, start_time: 2 }))).unwrap();
        first.keep();
        drop(first);
        let third = StateDir::claim(&root.0, &id(), &record(None)).unwrap_err();
        assert!(third.to_string().ends_with("container with given ID already exists"), "{third}");
        let kept = StateDir::open(&root.0, &id()).unwrap().unwrap();
        assert_eq!(kept.load().unwrap().unwrap().init, Some(Init { pid: 1, start_time: 2 }));
    }

    /// RT-34
    #[test]
    fn a_claim_that_is_dropped_leaves_nothing() {
        let root = Root::new("dropped");
        drop(StateDir::claim(&root.0, &id(), &record(None)).unwrap());
        assert_eq!(std::fs::read_dir(&root.0).unwrap().count(), 0);
    }

    /// RT-19
    #[test]
    fn the_configuration_is_kept_as_it_was_read() {
        let root = Root::new("config");
        let claimed = StateDir::claim(&root.0, &id(), &record(None)).unwrap();
        let error = claimed.load_config().unwrap_err().to_string();
        assert!(error.ends_with("/box/config.json: openat: ENOENT: no such file or directory"), "{error}");
        let text = br#"{ "ociVersion":"1.3.0", "x-unknown": 1, "hostname": "a"}"#;
        claimed.save_config(text).unwrap();
        assert_eq!(std::fs::read(root.0.join("box").join(CONFIG)).unwrap(), text);
        assert_eq!(claimed.load_config().unwrap().hostname.as_deref(), Some("a"));
        claimed.save_config(&text[..20]).unwrap();
        let error = claimed.load_config().unwrap_err().to_string();
        assert!(error.contains("/box/config.json: damaged: config.json: "), "{error}");
        drop(claimed);
        assert_eq!(std::fs::read_dir(&root.0).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_alone_claims_nothing() {
        let root = Root::new("alone");
        std::fs::create_dir_all(root.0.join("box")).unwrap();
        std::fs::write(root.0.join("box").join(NEW_RECORD), "{").unwrap();
        assert!(StateDir::open(&root.0, &id()).unwrap().unwrap().load().unwrap().is_none());
        let claimed = StateDir::claim(&root.0, &id(), &record(None)).unwrap();
        assert!(claimed.load().unwrap().is_some());
    }

    #[test]
    fn a_killed_create_is_told_from_one_at_work() {
        let root = Root::new("killed");
        let mut create = StateDir::claim(&root.0, &id(), &record(None)).unwrap();
        let other = StateDir::open(&root.0, &id()).unwrap().unwrap();
        assert!(other.is_locked().unwrap());
        create.keep();
        drop(create);
        assert!(!other.is_locked().unwrap());
        let again = StateDir::claim(&root.0, &id(), &record(None)).unwrap_err();
        assert!(again.to_string().contains("interrupted"), "{again}");
    }
}
