//! linux.uidMappings and linux.gidMappings: which ids of the host the container's ids are.
//!
//! Runs in: both · config-linux.md#user-namespace-mappings, LNX-17…LNX-20, user_namespaces(7)

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use crate::error::{Error, For as _, On as _, Property, Result};
use crate::host::Host;
use crate::spec::config::{IdMapping, Linux, Mount};
use crate::sys::clone::{ChildOf, Process, clone3, exit_now};
use crate::sys::{self, Call as _};

const UIDS: Property = Property::of("linux.uidMappings");
const GIDS: Property = Property::of("linux.gidMappings");

/// As many lines as the kernel takes (Linux 4.15).
const MOST_LINES: usize = 340;

/// Both maps; empty when the container has no user namespace, or joins one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) uids: Vec<Line>,
    pub(crate) gids: Vec<Line>,
}

/// `size` ids from `inside` on are `host` and following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    inside: u32,
    host: u32,
    size: u32,
}

impl Plan {
    pub(crate) fn compile(linux: &Linux, new: CloneFlags, listed: CloneFlags) -> Result<Self> {
        let user = CloneFlags::CLONE_NEWUSER;
        for (property, mappings) in [(UIDS, &linux.uid_mappings), (GIDS, &linux.gid_mappings)] {
            if !mappings.is_empty() && !listed.contains(user) {
                return Err(property.invalid("needs a user namespace in linux.namespaces"));
            }
            if mappings.is_empty() && new.contains(user) {
                return Err(property.invalid("a new user namespace needs at least one mapping"));
            }
            if mappings.len() > MOST_LINES {
                return Err(property.invalid(format!("{} mappings, and Linux takes {MOST_LINES}", mappings.len())));
            }
        }
        Ok(Self { uids: lines(&linux.uid_mappings, UIDS)?, gids: lines(&linux.gid_mappings, GIDS)? })
    }

    /// Those of an idmapped mount.
    pub(crate) fn of_mount(mount: &Mount, property: Property) -> Result<Self> {
        let uids = lines(&mount.uid_mappings, property.field("uidMappings"))?;
        Ok(Self { uids, gids: lines(&mount.gid_mappings, property.field("gidMappings"))? })
    }

    /// A user namespace with these maps and nobody in it: the form in which a mount takes them.
    pub(crate) fn user_namespace(&self) -> Result<OwnedFd> {
        let (ours, theirs) = sys::socket::pair()?;
        match clone3(CloneFlags::CLONE_NEWUSER, ChildOf::Caller, None).on("user namespace of an idmapped mount")? {
            Process::Child => {
                drop(ours);
                // Holds the namespace until we have it open, or are gone.
                let _ = sys::socket::receive(theirs.as_fd(), &mut [0]);
                exit_now(0)
            }
            Process::Parent { child, .. } => {
                drop(theirs);
                let namespace = self.fill(child);
                drop(ours);
                let _ = sys::retry(|| nix::sys::wait::waitpid(child, None));
                namespace
            }
        }
    }

    fn fill(&self, pid: Pid) -> Result<OwnedFd> {
        write(pid, "uid_map", &text(&self.uids), UIDS)?;
        write(pid, "gid_map", &text(&self.gids), GIDS)?;
        let path = format!("/proc/{pid}/ns/user");
        sys::path::open(&sys::c_string(&path)?, OFlag::O_RDONLY).on(path)
    }

    /// Whether the container has an id 0 to set things up as.
    pub(crate) fn has_root(&self) -> bool {
        let zero = |lines: &[Line]| lines.iter().any(|line| line.inside == 0);
        zero(&self.uids) && zero(&self.gids)
    }

    /// Writes the maps of a process that is alone in its new user namespace.
    pub(crate) fn apply(&self, host: &Host, pid: Pid) -> Result<()> {
        if !host.is_root() && (!single(&self.uids, host.euid) || !single(&self.gids, host.egid)) {
            helper("newuidmap", pid, &self.uids, UIDS)?;
            return helper("newgidmap", pid, &self.gids, GIDS);
        }
        if !host.is_root() {
            // Who maps a group without privileges must not be able to leave it (CVE-2014-8989).
            write(pid, "setgroups", "deny", GIDS)?;
        }
        write(pid, "uid_map", &text(&self.uids), UIDS)?;
        write(pid, "gid_map", &text(&self.gids), GIDS)
    }

    /// A joined namespace together with mappings: fine if they say what is so (LNX-20).
    pub(crate) fn check_joined(&self) -> Result<()> {
        for (lines, file, property) in [(&self.uids, "uid_map", UIDS), (&self.gids, "gid_map", GIDS)] {
            if lines.is_empty() {
                continue;
            }
            let path = format!("/proc/self/{file}");
            let actual = std::fs::read_to_string(&path).call("read").on(&path)?;
            let actual: Vec<&str> = actual.split_whitespace().collect();
            if actual != text(lines).split_whitespace().collect::<Vec<_>>() {
                return Err(property.invalid("differs from the mappings of the user namespace that is joined"));
            }
        }
        Ok(())
    }
}

fn lines(mappings: &[IdMapping], property: Property) -> Result<Vec<Line>> {
    let line = |mapping: &IdMapping| Line { inside: mapping.container_id, host: mapping.host_id, size: mapping.size };
    let lines: Vec<Line> = mappings.iter().map(line).collect();
    match lines.iter().position(|line| line.size == 0) {
        Some(index) => Err(property.invalid(format!("entry {index} has size 0"))),
        None => Ok(lines),
    }
}

/// Whether this is the one mapping a plain user may write without help: of the own id.
fn single(lines: &[Line], own: u32) -> bool {
    matches!(lines, [line] if line.size == 1 && line.host == own)
}

fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    for Line { inside, host, size } in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{inside} {host} {size}");
    }
    text
}

fn write(pid: Pid, file: &str, text: &str, property: Property) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).call("write").on(&path).property(property)
}

/// The set-uid programs that map the ranges of /etc/subuid and /etc/subgid.
fn helper(program: &'static str, pid: Pid, lines: &[Line], property: Property) -> Result<()> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for Line { inside, host, size } in lines {
        command.args([inside.to_string(), host.to_string(), size.to_string()]);
    }
    let output = command.output().map_err(|error| missing(program, &error, property))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{property}: {program} failed ({}): {}", output.status, said.trim())))
}

fn missing(program: &'static str, error: &std::io::Error, property: Property) -> Error {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    if errno == Errno::ENOENT {
        property.unsupported(format!("a plain user needs {program} (Debian: uidmap) to map more than the own id"))
    } else {
        crate::sys::Error { call: "execve", errno }.on(program).property(property)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str, new: CloneFlags, listed: CloneFlags) -> Result<Plan> {
        Plan::compile(&serde_json::from_str(json).unwrap(), new, listed)
    }

    const BOTH: &str = r#"{"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 9}],
                           "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]}"#;
    const USER: CloneFlags = CloneFlags::CLONE_NEWUSER;

    #[test]
    fn maps() {
        let plan = compile(BOTH, USER, USER).unwrap();
        assert_eq!(text(&plan.uids), "0 1000 1\n1 100000 9\n");
        assert!(plan.has_root());
        assert!(single(&plan.gids, 1000) && !single(&plan.gids, 0) && !single(&plan.uids, 1000));
    }

    /// LNX-17, LNX-19, LNX-20
    #[test]
    fn refusals() {
        let none = CloneFlags::empty();
        assert!(compile(BOTH, none, none).is_err());
        assert!(compile("{}", USER, USER).is_err());
        assert!(compile("{}", none, USER).is_ok());
        assert!(compile(r#"{"uidMappings": [{"containerID": 0, "hostID": 0, "size": 0}]}"#, none, USER).is_err());
        assert!(serde_json::from_str::<Linux>(r#"{"uidMappings": [{"containerID": 0, "size": 1}]}"#).is_err());
        let entry = r#"{"containerID": 0, "hostID": 0, "size": 1}"#;
        let many = format!(r#"{{"uidMappings": [{}]}}"#, vec![entry; 341].join(","));
        assert!(compile(&many, none, USER).unwrap_err().to_string().contains("340"));
    }
}
