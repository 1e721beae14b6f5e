//! Entering the container's namespaces, from the parent and from init.
//!
//! Runs in: both · namespaces(7), setns(2)
//!
//! ```text
//! parent   setns(pid), unshare(time) + offsets          only children are affected
//!          setns(network, ipc, …)                       only if there is a user namespace
//!          clone3(user | pid)                           a new user namespace owns all that follows
//!          back to the own namespaces
//! init     setns(user)  ·  ids mapped  ·  setns(others)  ·  unshare(mount | ipc | uts | net)
//! ```
//!
//! A process in a user namespace cannot join what belongs to the host's any more, so root joins
//! before it, on behalf of its child.
//!
//! A pid namespace that is made together with a *joined* user namespace has to belong to it, or
//! /proc could not be mounted; so there one more process joins the user namespace first, and
//! clones init as its sibling (`Launch::Relay`).

use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;

use crate::error::code::Code;
use crate::error::{Error, For as _, On as _, Property, Result};
use crate::host::Host;
use crate::sync::Channel;
use crate::sys::clone::{ChildOf, Process, clone3, exit_now};
use crate::sys::{self, ns};

use super::{Joined, NEWTIME, Namespaces, name};

const USER: CloneFlags = CloneFlags::CLONE_NEWUSER;
const PID: CloneFlags = CloneFlags::CLONE_NEWPID;

/// How many processes it takes to get init into its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Launch {
    Direct,
    Relay,
}

impl Namespaces {
    pub(crate) fn launch(&self, host: &Host) -> Launch {
        let pid_below_joined_user = self.joins(USER) && (self.makes(PID) || (self.joins(PID) && !host.is_root()));
        if pid_below_joined_user { Launch::Relay } else { Launch::Direct }
    }

    /// The flags of the clone that makes init, or the relay.
    pub(crate) fn clone_flags(&self, launch: Launch) -> CloneFlags {
        match launch {
            Launch::Direct => self.new & (USER | PID),
            Launch::Relay => CloneFlags::empty(),
        }
    }

    /// Why the kernel makes none of these namespaces.
    pub(crate) fn refused(&self, error: sys::Error, host: &Host) -> Error {
        let property = Property::of("linux.namespaces");
        match error.errno {
            Errno::EPERM if !host.is_root() && !self.has(USER) => {
                property.invalid("without a user namespace among them, only root can make namespaces")
            }
            Errno::EPERM if !host.is_root() && self.makes(USER) => {
                let needs = "user namespaces of plain users, which this host does not allow";
                let error = property.unsupported(needs).code_is(Code::UserNamespace);
                match restriction(sysctl) {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            Errno::ENOSPC => {
                let (code, hint) = match self.makes(USER) && sysctl("user/max_user_namespaces").as_deref() == Some("0")
                {
                    true => (Code::UserNamespace, "user.max_user_namespaces is 0"),
                    false => (Code::NoSpace, "there are as many as user.max_*_namespaces allows, or 32 in each other"),
                };
                property.unsupported("more namespaces: see the sysctls user.max_*_namespaces").code_is(code).hint(hint)
            }
            _ => error.on("").property(property),
        }
    }

    /// Whether the parent joins it for its child.
    fn parent_joins(&self, kind: CloneFlags, launch: Launch, host: &Host) -> bool {
        if kind == PID && launch == Launch::Direct {
            return true;
        }
        host.is_root() && self.has(USER) && !(USER | CloneFlags::CLONE_NEWNS).contains(kind)
    }

    /// Of the time namespace: with a new user namespace a plain user has the right to make one
    /// only inside.
    fn parent_makes_time(&self, host: &Host) -> bool {
        self.makes(NEWTIME) && host.is_root()
    }
}

/// Why an id map was not taken: a user namespace may be made, and have no rights.
pub(super) fn not_mapped(error: Error) -> Error {
    let error = error.code_is(Code::IdMap);
    match restriction(sysctl) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn sysctl(name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/sys/{name}")).ok().map(|value| value.trim().to_owned())
}

/// The setting that keeps plain users from having user namespaces.
pub(crate) fn restriction(sysctl: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is = |name: &str, value: &str| sysctl(name).as_deref() == Some(value);
    if is("kernel/unprivileged_userns_clone", "0") {
        Some("the sysctl kernel.unprivileged_userns_clone is 0 (Debian)")
    } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        Some(
            "the sysctl kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu): programs without an AppArmor \
             profile that says `userns,` get user namespaces without rights",
        )
    } else if is("user/max_user_namespaces", "0") {
        Some("the sysctl user.max_user_namespaces is 0")
    } else {
        None
    }
}

/// The parent's own namespaces, left for the sake of its child.
#[derive(Debug)]
pub(crate) struct Detour(Vec<(CloneFlags, OwnedFd)>);

impl Detour {
    pub(crate) fn take(namespaces: &Namespaces, joined: &[Joined], launch: Launch, host: &Host) -> Result<Self> {
        let mut detour = Self(Vec::new());
        for join in joined.iter().filter(|join| namespaces.parent_joins(join.kind, launch, host)) {
            detour.leave(join.kind)?;
            join.enter()?;
        }
        if namespaces.parent_makes_time(host) {
            detour.leave(NEWTIME)?;
            make_time(namespaces)?;
        }
        Ok(detour)
    }

    fn leave(&mut self, kind: CloneFlags) -> Result<()> {
        let own = sys::c_string(format!("/proc/self/ns/{}", file(kind)))?;
        let fd = sys::path::open(&own, OFlag::O_RDONLY).on(own.to_string_lossy())?;
        self.0.push((kind, fd));
        Ok(())
    }

    pub(crate) fn back(self) -> Result<()> {
        self.0.iter().try_for_each(|(kind, fd)| ns::setns(fd.as_fd(), *kind).on("own namespace"))
    }
}

/// Runs in the relay: joins the user namespace and makes init as the relay's sibling, whose pid and
/// pidfd go to the parent. Returns in init only.
pub(crate) fn relay(namespaces: &Namespaces, joined: &[Joined], channel: &Channel) -> Result<()> {
    join_user(joined)?;
    joined.iter().filter(|join| join.kind == PID).try_for_each(Joined::enter)?;
    match clone3(namespaces.new & PID, ChildOf::CallersParent, None).property(Property::of("linux.namespaces"))? {
        Process::Child => Ok(()),
        Process::Parent { child, pidfd } => exit_now(match channel.introduce(child, pidfd.as_fd()) {
            Ok(()) => 0,
            Err(error) => {
                channel.fail(&error);
                1
            }
        }),
    }
}

/// Runs in init: the joined user namespace, before anything that needs privileges in it.
pub(crate) fn user(joined: &[Joined], launch: Launch) -> Result<()> {
    if launch == Launch::Relay { Ok(()) } else { join_user(joined) }
}

/// The mount namespace first, for the sake of one that is the host's; a plain user has the right to
/// join either only the other way round.
fn join_user(joined: &[Joined]) -> Result<()> {
    let Some(user) = joined.iter().find(|join| join.kind == USER) else {
        return Ok(());
    };
    let mount = joined.iter().find(|join| join.kind == CloneFlags::CLONE_NEWNS);
    match mount.map(Joined::enter) {
        Some(Err(error)) if error.errno() == Some(Errno::EPERM) => {
            user.enter()?;
            mount.map_or(Ok(()), Joined::enter)
        }
        Some(Err(error)) => Err(error),
        _ => user.enter(),
    }
}

/// Runs in init, with its ids: every other namespace, but for a new cgroup namespace, whose root is
/// the cgroup that init is in when it is made.
pub(crate) fn others(namespaces: &Namespaces, joined: &[Joined], launch: Launch, host: &Host) -> Result<()> {
    let mount_is_done = namespaces.joins(USER);
    let is_done = |kind| {
        (USER | PID).contains(kind)
            || namespaces.parent_joins(kind, launch, host)
            || (kind == CloneFlags::CLONE_NEWNS && mount_is_done)
    };
    joined.iter().filter(|join| !is_done(join.kind)).try_for_each(Joined::enter)?;
    if namespaces.makes(NEWTIME) && !namespaces.parent_makes_time(host) {
        make_time(namespaces)?;
    }
    let flags = namespaces.new - (USER | PID | NEWTIME | CloneFlags::CLONE_NEWCGROUP);
    if flags.is_empty() {
        return Ok(());
    }
    ns::unshare(flags).map_err(|error| namespaces.refused(error, host))
}

pub(crate) fn cgroup(namespaces: &Namespaces) -> Result<()> {
    if !namespaces.makes(CloneFlags::CLONE_NEWCGROUP) {
        return Ok(());
    }
    ns::unshare(CloneFlags::CLONE_NEWCGROUP).on("cgroup namespace").property(Property::of("linux.namespaces"))
}

fn make_time(namespaces: &Namespaces) -> Result<()> {
    ns::unshare(NEWTIME).on("time namespace").property(Property::of("linux.namespaces"))?;
    namespaces.offsets.as_ref().map_or(Ok(()), super::time::Offsets::apply)
}

/// A namespace's file in /proc/PID/ns.
fn file(kind: CloneFlags) -> &'static str {
    match name(kind) {
        "network" => "net",
        other => other,
    }
}

impl Joined {
    fn enter(&self) -> Result<()> {
        ns::setns(self.fd.as_fd(), self.kind)
            .on(format_args!("{} namespace {}", name(self.kind), self.path.to_string_lossy()))
            .property(self.property)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_restricts_plain_users() {
        let with = |name: &'static str, value: &'static str| {
            restriction(move |asked| (asked == name).then(|| value.to_owned())).unwrap_or_default()
        };
        assert!(with("kernel/unprivileged_userns_clone", "0").contains("unprivileged_userns_clone is 0"));
        assert!(with("kernel/apparmor_restrict_unprivileged_userns", "1").contains("AppArmor"));
        assert!(with("user/max_user_namespaces", "0").contains("max_user_namespaces"));
        assert_eq!(with("user/max_user_namespaces", "100"), "");
        assert_eq!(with("kernel/unprivileged_userns_clone", "1"), "");
    }
}
