//! A container seen from outside: its id, its state directory, and what commands do to it.
//!
//! Runs in: parent · runtime.md

mod attend;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod id;
mod kernel_log;
pub(crate) mod kill;
pub(crate) mod layers;
pub(crate) mod list;
mod lock;
mod notify_socket;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod update;

use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::cgroup::Driver;
use crate::error::{Error, On as _, Result};
use crate::process::listen_fds::ListenFds;
use crate::spec::Config;
use crate::sys::{Call as _, socket};
pub(crate) use id::ContainerId;
pub(crate) use record::Record;
pub(crate) use state::StateDir;
pub(crate) use status::Status;

/// What `create` and `run` were asked for.
#[derive(Debug)]
pub(crate) struct CreateOptions {
    /// Where the state directories are.
    pub(crate) root: PathBuf,
    pub(crate) id: ContainerId,
    /// Absolute, otherwise as given: symbolic links are not resolved.
    pub(crate) bundle: PathBuf,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) console_socket: Option<PathBuf>,
    /// `run` without `--detach`: a terminal is relayed by us instead of sent to a console socket.
    pub(crate) foreground: bool,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// Descriptors 3 to 3 + n - 1 stay open for the container's process.
    pub(crate) preserve_fds: u32,
    /// Which of them a supervisor opened.
    pub(crate) listen_fds: Option<ListenFds>,
    /// Where a supervisor wants to hear that the process is ready: $NOTIFY_SOCKET.
    pub(crate) notify_socket: Option<OsString>,
    pub(crate) rootless: Rootless,
    /// Who manages the cgroup.
    pub(crate) driver: Driver,
}

/// `--rootless`: whether a refused cgroup is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rootless {
    /// By who calls.
    #[default]
    Auto,
    Yes,
    No,
}

/// A container that has been created, and its record as it is now.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) dir: StateDir,
    pub(crate) record: Record,
}

/// Engines read the file as a number as a whole, and may look at any time.
pub(crate) fn write_pid_file(path: Option<&Path>, pid: i32) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{pid}"));
    let written =
        std::fs::write(&new, pid.to_string()).call("write").and_then(|()| std::fs::rename(&new, path).call("rename"));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written.on(path.display())
}

/// `--pidfd-socket`: one message with the descriptor, to whoever wants to watch or signal the process.
pub(crate) fn send_pidfd(path: Option<&Path>, process: BorrowedFd<'_>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    socket::connect_stream(path)
        .and_then(|socket| socket::send(socket.as_fd(), b"pidfd", &[process.as_raw_fd()]))
        .on(path.display())
}

impl Container {
    pub(crate) fn find(root: &Path, id: &ContainerId) -> Result<Self> {
        Self::lookup(root, id)?.ok_or_else(|| Error::no_such_container(id))
    }

    pub(crate) fn lookup(root: &Path, id: &ContainerId) -> Result<Option<Self>> {
        let Some(dir) = StateDir::open(root, id)? else { return Ok(None) };
        Ok(dir.load()?.map(|record| Self { dir, record }))
    }

    /// As it was when the container was created.
    pub(crate) fn config(&self) -> Result<Config> {
        self.dir.load_config()
    }
}
