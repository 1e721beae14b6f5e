//! `NOTIFY_SOCKET`: the container's process tells orlop that it is ready, and orlop tells the supervisor (sd_notify(3)).
//!
//! Runs in: parent · no part of the runtime-spec: as runc
//!
//! The supervisor's socket stays outside. The container gets one of its own, in a directory of the state
//! directory that is mounted at /run/notify; whoever starts the container reads it. What comes from
//! there is untrusted: nothing but the word that it is ready is passed on, and in our own words.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Container, StateDir, kill};
use crate::error::{For as _, On as _, Property, Result};
use crate::plan::Plan;
use crate::rootfs::mount::{MountStep, What};
use crate::rootfs::options::Options;
use crate::rootfs::{InRoot, Switch};
use crate::sys::{self, Call as _, path, socket};
use crate::tree;

const PROPERTY: Property = Property::of("NOTIFY_SOCKET");
/// In the state directory.
const DIRECTORY: &CStr = c"notify";
const SOCKET: &str = "notify/notify.sock";
/// In the container.
const MOUNT_POINT: &str = "/run/notify";
const VARIABLE: &CStr = c"NOTIFY_SOCKET=/run/notify/notify.sock";

/// Longer messages are passed over: the one that counts has eight bytes.
const LONGEST: usize = 4096;
/// Messages that are still looked at when the container has ended, more than a socket's queue holds.
const LAST_MESSAGES: usize = 64;
/// How long a supervisor may take to confirm, in milliseconds.
const CONFIRMATION: u16 = 30_000;

/// `create`, once there is a state directory: a directory in it, its mount and the variable. The mount
/// is the last one, because the configuration may put a file system at /run.
pub(super) fn set_up(dir: &StateDir, plan: &mut Plan) -> Result<Option<MountStep>> {
    if plan.rootfs.root.switch == Switch::Chroot {
        log::warn!("{PROPERTY}: the container has no mount namespace, and so no way to say when it is ready");
        return Ok(None);
    }
    let source = dir.path().join("notify");
    // An interrupted delete may have left one.
    remove(dir.fd())?;
    // Whatever the umask: the process may be any user of any user namespace.
    path::mkdirat(dir.fd(), DIRECTORY, 0o755)
        .and_then(|()| path::chmodat(dir.fd(), DIRECTORY, 0o755))
        .on(source.display())
        .property(PROPERTY)?;
    if let Some(process) = &mut plan.process {
        process.set_env(VARIABLE);
    }
    mount(&source).map(Some)
}

fn mount(source: &Path) -> Result<MountStep> {
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(String::from);
    Ok(MountStep {
        property: PROPERTY,
        dest: InRoot::new(MOUNT_POINT, PROPERTY)?,
        what: What::Bind { source: sys::c_path(source)?, recursive: false },
        options: Options::compile(&options, PROPERTY)?,
        idmap: None,
    })
}

/// What is not there is no error.
pub(super) fn remove(state: BorrowedFd<'_>) -> Result<()> {
    tree::remove(state, DIRECTORY).on("notify")
}

/// Between the container's socket and the supervisor's.
pub(super) struct Proxy {
    inside: OwnedFd,
    host: OwnedFd,
}

impl Proxy {
    /// Before the program runs. None if the container was created without a socket.
    pub(super) fn open(dir: &StateDir, address: &OsStr) -> Result<Option<Self>> {
        if !dir.holds("notify")? {
            return Ok(None);
        }
        let host = socket::connect_datagram(address).on(address.display()).property(PROPERTY)?;
        // Every user of the container may write to it.
        let umask = sys::ids::umask(0);
        let inside = socket::bind_datagram(dir.fd(), SOCKET);
        sys::ids::umask(umask);
        Ok(Some(Self { inside: inside.on(dir.path().join(SOCKET).display()).property(PROPERTY)?, host }))
    }

    /// `start` and `run --detach`: until the container is ready or has ended.
    pub(super) fn wait(&self, container: &Container) -> Result<()> {
        let Some(init) = container.record.init else { return Ok(()) };
        let process = kill::open_init(init)?;
        loop {
            let has_ended = match &process {
                Some(process) => {
                    let mut fds = [readable(&self.inside), readable(process)];
                    sys::retry(|| poll(&mut fds, PollTimeout::NONE)).call("poll").on("process")?;
                    fds[1].any().unwrap_or_default()
                }
                None => true,
            };
            let messages = if has_ended { LAST_MESSAGES } else { 1 };
            for _ in 0..messages {
                if self.read()? {
                    return self.announce(init.pid).and_then(|()| self.confirm());
                }
            }
            if has_ended {
                return Ok(());
            }
        }
    }

    /// `run` in the foreground: after each message, whether it was the one. Orlop itself stays what the
    /// supervisor looks after.
    pub(super) fn pump(&self) -> Result<bool> {
        let is_ready = self.read()?;
        if is_ready {
            self.announce(nix::unistd::getpid().as_raw())?;
        }
        Ok(is_ready)
    }

    /// Looks at one message, if there is one: whether it says that the container is ready.
    fn read(&self) -> Result<bool> {
        let mut message = [0; LONGEST];
        let length = socket::receive_datagram(self.inside.as_fd(), &mut message).on(MOUNT_POINT)?;
        Ok(length.and_then(|length| message.get(..length)).is_some_and(says_ready))
    }

    fn announce(&self, pid: i32) -> Result<()> {
        self.tell(b"READY=1\n", None)?;
        self.tell(format!("MAINPID={pid}\n").as_bytes(), None)
    }

    /// Waits until the supervisor has read it all, because it asks the kernel who the sender is, and we
    /// are about to end (sd_notify_barrier(3)): it closes the descriptor that it is sent.
    fn confirm(&self) -> Result<()> {
        let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC).call("pipe2").on("barrier")?;
        self.tell(b"BARRIER=1", Some(&theirs))?;
        drop(theirs);
        let mut fds = [readable(&ours)];
        match sys::retry(|| poll(&mut fds, CONFIRMATION)).call("poll").on("barrier")? {
            0 => log::warn!("{PROPERTY}: no confirmation after {} s", CONFIRMATION / 1000),
            _ => log::debug!("{PROPERTY}: ready"),
        }
        Ok(())
    }

    fn tell(&self, message: &[u8], with: Option<&OwnedFd>) -> Result<()> {
        let fds: Vec<_> = with.iter().map(|fd| fd.as_raw_fd()).collect();
        socket::send(self.host.as_fd(), message, &fds).on("supervisor").property(PROPERTY)
    }
}

impl AsFd for Proxy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }
}

fn readable(fd: &OwnedFd) -> PollFd<'_> {
    PollFd::new(fd.as_fd(), PollFlags::POLLIN)
}

/// One assignment a line, in any order.
fn says_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_a_line_of_its_own() {
        for message in ["READY=1", "READY=1\n", "STATUS=up\nREADY=1\nMAINPID=1", "\n\nREADY=1"] {
            assert!(says_ready(message.as_bytes()), "{message:?}");
        }
        for message in ["", "READY=0", "READY=12", "XREADY=1", "STATUS=READY=1", "READY=1 ", "READY=1\0"] {
            assert!(!says_ready(message.as_bytes()), "{message:?}");
        }
    }
}
