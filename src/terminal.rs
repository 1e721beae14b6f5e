//! `process.terminal`: the pseudo-terminal pair, who gets which end.
//!
//! Runs in: both · config.md "process" (CFG-10 … CFG-12)
//!
//! ```text
//! parent   Console::prepare   connects to --console-socket, or makes a socket pair for itself
//! init     Plan::open         a pair of the container's own devpts
//!          Pty::hand_over     the master's end, through that socket
//!          Pty::attach        the slave becomes stdio and the controlling terminal
//! parent   Console::receive   in the foreground: `relay` copies between it and our own terminal
//! ```

pub(crate) mod relay;

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};

use crate::error::{Error, For as _, On as _, Property, Result};
use crate::spec::config::ConsoleSize;
use crate::sys::{self, ids, socket, tty};

const PROPERTY: Property = Property::of("process.terminal");

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    size: Option<tty::Size>,
    owner: u32,
}

/// Both ends of a pair.
#[derive(Debug)]
pub(crate) struct Pty {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

/// Where the master's end goes.
#[derive(Debug)]
pub(crate) struct Console {
    /// Init sends it here.
    init: OwnedFd,
    /// Our end, when we are the ones who want it.
    own: Option<OwnedFd>,
}

impl Plan {
    pub(crate) fn compile(size: Option<ConsoleSize>, owner: u32) -> Self {
        Self { size: size.map(|size| tty::Size { rows: size.height, columns: size.width }), owner }
    }

    /// For a program that runs before its terminal is relayed: the size of ours from the start.
    pub(crate) fn adopt_size(&mut self) {
        self.size = relay::own_size().or(self.size);
    }

    /// Opens a pair of the container's devpts, whose root directory is given. Nothing is looked up
    /// by a name that the image could have prepared, and the slave by no name at all
    /// (CVE-2025-52565).
    pub(crate) fn open(&self, devpts: BorrowedFd<'_>) -> Result<Pty> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
        let is_devpts = sys::fd::filesystem(devpts).property(PROPERTY)? == libc::DEVPTS_SUPER_MAGIC;
        if !is_devpts {
            return Err(PROPERTY.invalid("needs a mount of type devpts at /dev/pts"));
        }
        let open = || {
            let master = sys::path::openat2(devpts, c"ptmx", flags, resolve)?;
            tty::unlock(master.as_fd())?;
            let slave = tty::peer(master.as_fd())?;
            if let Some(size) = self.size {
                tty::set_size(slave.as_fd(), size)?;
            }
            ids::fchown_user(slave.as_fd(), self.owner)?;
            Ok(Pty { master, slave })
        };
        open().on("/dev/pts/ptmx").property(PROPERTY)
    }
}

impl Pty {
    pub(crate) fn hand_over(&self, console: &Console) -> Result<()> {
        // Receivers expect a name with the descriptor; which one is of no importance.
        socket::send(console.init.as_fd(), b"/dev/ptmx", &[self.master.as_raw_fd()])
            .on("console socket")
            .property(PROPERTY)
    }

    /// The slave becomes stdio and, since setsid(2) was called, the controlling terminal.
    pub(crate) fn attach(&self) -> Result<()> {
        tty::set_controlling(self.slave.as_fd()).property(PROPERTY)?;
        for fd in 0..3 {
            sys::fd::dup_onto(self.slave.as_fd(), fd).property(PROPERTY)?;
        }
        Ok(())
    }
}

impl Console {
    /// Before the clone. None without a terminal.
    pub(crate) fn prepare(plan: Option<&Plan>, socket: Option<&Path>, foreground: bool) -> Result<Option<Self>> {
        match (plan, socket) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::other("--console-socket is of no use: process.terminal is false")),
            (Some(_), Some(path)) => {
                let init = socket::connect_stream(path).on(path.display()).property(PROPERTY)?;
                Ok(Some(Self { init, own: None }))
            }
            (Some(_), None) if foreground => {
                let (own, init) = socket::pair().on("console socket").property(PROPERTY)?;
                Ok(Some(Self { init, own: Some(own) }))
            }
            (Some(_), None) => {
                Err(PROPERTY.invalid("a detached container with a terminal needs --console-socket, to send it to"))
            }
        }
    }

    /// Once init is ready: the master's end, if it was for us. Our copy of init's end is closed.
    pub(crate) fn receive(self) -> Result<Option<OwnedFd>> {
        drop(self.init);
        let Some(own) = self.own else { return Ok(None) };
        let mut name = [0; 64];
        let (_, fds) = socket::receive(own.as_fd(), &mut name).on("console socket").property(PROPERTY)?;
        match fds.into_iter().next() {
            Some(master) => Ok(Some(master)),
            None => {
                let error = sys::Error { call: "recvmsg", errno: Errno::EBADMSG };
                Err(error.on("console socket").property(PROPERTY))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(size: Option<(u16, u16)>) -> Plan {
        Plan { size: size.map(|(rows, columns)| tty::Size { rows, columns }), owner: nix::unistd::getuid().as_raw() }
    }

    fn error<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    /// CFG-10
    #[test]
    fn terminal_and_socket_belong_together() {
        let missing = Path::new("/nonexistent");
        assert!(Console::prepare(None, None, true).unwrap().is_none());
        assert!(error(Console::prepare(None, Some(missing), false)).contains("process.terminal is false"));
        assert!(error(Console::prepare(Some(&plan(None)), None, false)).contains("needs --console-socket"));
        let text = error(Console::prepare(Some(&plan(None)), Some(missing), false));
        assert_eq!(text, "process.terminal: /nonexistent: connect: ENOENT: no such file or directory");
    }

    /// CFG-10, CFG-12: on the devpts of the machine that runs the test.
    #[test]
    fn a_pair_is_opened_and_handed_over() {
        let console = Console::prepare(Some(&plan(None)), None, true).unwrap().unwrap();
        let devpts = std::fs::File::open("/dev/pts").unwrap();
        let pty = plan(Some((50, 132))).open(devpts.as_fd()).unwrap();
        pty.hand_over(&console).unwrap();
        let master = console.receive().unwrap().unwrap();
        assert_eq!(tty::size(pty.slave.as_fd()).unwrap(), tty::Size { rows: 50, columns: 132 });
        nix::unistd::write(&master, b"typed\n").unwrap();
        let mut line = [0; 16];
        let length = nix::unistd::read(&pty.slave, &mut line).unwrap();
        assert_eq!(&line[..length], b"typed\n");
    }

    #[test]
    fn another_file_system_is_refused() {
        let directory = std::fs::File::open("/proc").unwrap();
        let text = error(plan(None).open(directory.as_fd()));
        assert_eq!(text, "process.terminal: needs a mount of type devpts at /dev/pts");
    }
}
