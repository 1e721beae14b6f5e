//! The namespaces of a container that runs already, all entered at once: for `exec`.
//!
//! Runs in: both · setns(2) with a pidfd: Linux 5.8
//!
//! One call takes a process into all of them, and into the user namespace first. Only a new child
//! can be in another pid namespace, so that one is entered before the clone. A plain user has the
//! right to do that in the container's user namespace only, which a relay enters for it
//! (`Launch::Relay`).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;

use super::enter::Launch;
use super::{ALL, Namespaces, file_name};
use crate::error::{On as _, Result};
use crate::sync::Channel;
use crate::sys::clone::{ChildOf, Process, clone3, exit_now};
use crate::sys::{self, Call as _, ns, prctl};

const USER: CloneFlags = CloneFlags::CLONE_NEWUSER;
const PID: CloneFlags = CloneFlags::CLONE_NEWPID;

#[derive(Debug)]
pub(crate) struct Running<'a> {
    init: BorrowedFd<'a>,
    pid: i32,
    kinds: CloneFlags,
    /// Init's root directory, where it is not the root of its mount namespace.
    root: Option<OwnedFd>,
}

impl<'a> Running<'a> {
    /// `init` is the descriptor of the process `pid`, which was alive when this began: should it end
    /// meanwhile, entering its namespaces fails.
    pub(crate) fn of(init: BorrowedFd<'a>, pid: i32, namespaces: &Namespaces) -> Result<Self> {
        let mut kinds = ALL.into_iter().collect::<CloneFlags>();
        // The kernel refuses to enter the user namespace one is in.
        if is_ours(pid, USER)? {
            kinds -= USER;
        }
        // In a mount namespace that others made, init may have called chroot(2).
        let root = if namespaces.makes(CloneFlags::CLONE_NEWNS) { None } else { Some(root_of(pid)?) };
        Ok(Self { init, pid, kinds, root })
    }

    pub(crate) fn has_user(&self) -> bool {
        self.kinds.contains(USER)
    }

    /// Parent: lets its next child be born in the container's pid namespace, if it has the right.
    pub(crate) fn prepare(&self) -> Result<Launch> {
        match ns::setns(self.init, PID) {
            Ok(()) => Ok(Launch::Direct),
            Err(error) if error.errno == Errno::EPERM && self.has_user() => Ok(Launch::Relay),
            Err(error) => Err(error.on("the container's pid namespace")),
        }
    }

    /// Child, or relay: becomes a process of the container; with a relay, as its sibling.
    pub(crate) fn enter(&self, launch: Launch, channel: &Channel) -> Result<()> {
        let kinds = if launch == Launch::Direct { self.kinds - PID } else { self.kinds };
        self.join(kinds)?;
        // New credentials have made it the machine's default again.
        prctl::set_dumpable(false).on("exec")?;
        if let Some(root) = &self.root {
            enter_root(root.as_fd())?;
        }
        if launch == Launch::Direct {
            return Ok(());
        }
        match clone3(CloneFlags::empty(), ChildOf::CallersParent, None).on("exec")? {
            Process::Child => Ok(()),
            Process::Parent { child, pidfd } => exit_now(i32::from(channel.introduce(child, pidfd.as_fd()).is_err())),
        }
    }

    /// All at once, or none: a kernel without one of the types refuses, and so does any kernel where a
    /// plain user's container shares one with the host. Then only those that there are to enter.
    fn join(&self, kinds: CloneFlags) -> Result<()> {
        let on = "the container's namespaces";
        match ns::setns(self.init, kinds) {
            Err(error) if matches!(error.errno, Errno::EINVAL | Errno::EPERM) => match self.needed(kinds)? {
                needed if needed == kinds => Err(error.on(on)),
                needed => ns::setns(self.init, needed).on(on),
            },
            result => result.on(on),
        }
    }

    /// Those that this kernel has, and we are not in.
    fn needed(&self, kinds: CloneFlags) -> Result<CloneFlags> {
        let mut needed = CloneFlags::empty();
        for kind in ALL.into_iter().filter(|kind| kinds.contains(*kind)) {
            match is_ours(self.pid, kind) {
                Ok(false) => needed |= kind,
                Ok(true) => {}
                Err(error) if error.errno() == Some(Errno::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(needed)
    }
}

fn is_ours(pid: i32, kind: CloneFlags) -> Result<bool> {
    Ok(identity("self", kind)? == identity(&pid.to_string(), kind)?)
}

fn identity(process: &str, kind: CloneFlags) -> Result<(u64, u64)> {
    let path = format!("/proc/{process}/ns/{}", file_name(kind));
    let stat = nix::sys::stat::stat(path.as_str()).call("stat").on(&path)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn root_of(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    sys::c_string(&path).and_then(|path| sys::path::open(&path, OFlag::O_PATH | OFlag::O_DIRECTORY)).on(&path)
}

fn enter_root(root: BorrowedFd<'_>) -> Result<()> {
    let enter = || {
        sys::path::fchdir(root)?;
        nix::unistd::chroot(".").call("chroot")
    };
    enter().on("the container's root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespaces_are_ours() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(is_ours(pid, USER).unwrap());
        assert!(is_ours(i32::MAX, USER).unwrap_err().to_string().contains("ENOENT"));
    }

    #[test]
    fn what_we_are_in_need_not_be_entered() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let init = sys::pidfd::open(pid).unwrap();
        let all = ALL.into_iter().collect();
        let running = Running { init: init.as_fd(), pid, kinds: all, root: None };
        assert_eq!(running.needed(all).unwrap(), CloneFlags::empty());
    }
}
