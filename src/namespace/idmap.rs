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

use crate::error::code::Code;
use crate::error::{Error, For as _, On as _, Property, Result};
use crate::explain::Steps;
use crate::host::Host;
use crate::spec::config::{IdMapping, Linux, Mount};
use crate::sys::clone::{ChildOf, Process, clone3, exit_now};
use crate::sys::{self, Call as _};

use super::subid::{self, Caller};

const UIDS: Property = Property::of("linux.uidMappings");
const GIDS: Property = Property::of("linux.gidMappings");

/// As many lines as the kernel takes (Linux 4.15).
const MOST_LINES: usize = 340;

/// The smallest there are.
const PAGE: usize = 4096;

/// Both maps; empty when the container has no user namespace, or joins one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) uids: Vec<Line>,
    pub(crate) gids: Vec<Line>,
}

/// `size` ids from `inside` on are `host` and following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(super) inside: u32,
    pub(super) host: u32,
    pub(super) size: u32,
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
        }
        let plan = Self { uids: lines(&linux.uid_mappings, UIDS)?, gids: lines(&linux.gid_mappings, GIDS)? };
        for (property, has_zero) in [(UIDS, plan.maps_user(0)), (GIDS, plan.maps_group(0))] {
            if new.contains(user) && !has_zero {
                return Err(property.invalid("id 0 is not mapped, and a container is set up as root of its namespace"));
            }
        }
        Ok(plan)
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

    /// Whether a process in the container may have these ids. Where nothing is known of the maps, as of
    /// a namespace that is joined, the kernel has the word.
    pub(crate) fn maps_user(&self, id: u32) -> bool {
        self.uids.is_empty() || self.uids.iter().any(|line| line.covers(id))
    }

    pub(crate) fn maps_group(&self, id: u32) -> bool {
        self.gids.is_empty() || self.gids.iter().any(|line| line.covers(id))
    }

    /// The maps of a process.
    pub(crate) fn of_process(pid: i32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            std::fs::read_to_string(&path).call("read").on(&path).map(|text| parse(&text))
        };
        Ok(Self { uids: read("uid_map")?, gids: read("gid_map")? })
    }

    /// Whether ids inside and outside are the same.
    pub(crate) fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.gids.is_empty()
    }

    /// What an id of the host is in the container; without maps, the same.
    pub(crate) fn user_inside(&self, host: u32) -> Option<u32> {
        inside(&self.uids, host)
    }

    pub(crate) fn group_inside(&self, host: u32) -> Option<u32> {
        inside(&self.gids, host)
    }

    /// Writes the maps of a process that is alone in its new user namespace.
    pub(crate) fn apply(&self, host: &Host, pid: Pid) -> Result<()> {
        if !host.is_root() && (!single(&self.uids, host.euid) || !single(&self.gids, host.egid)) {
            let caller = Caller::current();
            Helper { program: "newuidmap", file: "/etc/subuid", own: host.euid, property: UIDS }
                .run(pid, &self.uids, &caller)?;
            return Helper { program: "newgidmap", file: "/etc/subgid", own: host.egid, property: GIDS }
                .run(pid, &self.gids, &caller);
        }
        if !host.is_root() {
            // Who maps a group without privileges must not be able to leave it (CVE-2014-8989).
            write(pid, "setgroups", "deny", GIDS)?;
        }
        write(pid, "uid_map", &text(&self.uids), UIDS)?;
        write(pid, "gid_map", &text(&self.gids), GIDS)
    }

    pub(crate) fn explain(&self, host: &Host, steps: &mut Steps) {
        let helped = !host.is_root() && (!single(&self.uids, host.euid) || !single(&self.gids, host.egid));
        for (property, lines, file, program) in
            [(UIDS, &self.uids, "uid_map", "newuidmap"), (GIDS, &self.gids, "gid_map", "newgidmap")]
        {
            let map = text(lines).trim_end().replace('\n', ", ");
            match helped {
                true => steps.add_for(property, format_args!("run {program} PID {map}")),
                false => steps.add_for(property, format_args!("write /proc/PID/{file}: {map}")),
            }
        }
    }

    /// A joined namespace together with mappings: fine if they say what is so (LNX-20).
    pub(crate) fn check_joined(&self) -> Result<()> {
        for (lines, file, property) in [(&self.uids, "uid_map", UIDS), (&self.gids, "gid_map", GIDS)] {
            if lines.is_empty() {
                continue;
            }
            let path = format!("/proc/self/{file}");
            let actual = std::fs::read_to_string(&path).call("read").on(&path)?;
            if parse(&actual) != sorted(lines) {
                return Err(property.invalid("differs from the mappings of the user namespace that is joined"));
            }
        }
        Ok(())
    }
}

/// Every reason for which the kernel would say EINVAL to the whole map.
fn lines(mappings: &[IdMapping], property: Property) -> Result<Vec<Line>> {
    if mappings.len() > MOST_LINES {
        return Err(property.invalid(format!("{} entries, and Linux takes {MOST_LINES}", mappings.len())));
    }
    let mut lines: Vec<Line> = Vec::with_capacity(mappings.len());
    for (index, mapping) in mappings.iter().enumerate() {
        let line = Line { inside: mapping.container_id, host: mapping.host_id, size: mapping.size };
        if line.size == 0 {
            return Err(property.invalid(format!("entry {index} has size 0")));
        }
        // 4294967295 stands for no id.
        if line.inside.checked_add(line.size).is_none() || line.host.checked_add(line.size).is_none() {
            return Err(property.invalid(format!("entry {index} goes beyond the highest id, {}", u32::MAX - 1)));
        }
        if let Some(other) = lines.iter().position(|other| line.overlaps(other)) {
            return Err(property.invalid(format!("entries {other} and {index} overlap")));
        }
        lines.push(line);
    }
    Ok(lines)
}

impl Line {
    fn covers(&self, id: u32) -> bool {
        id.checked_sub(self.inside).is_some_and(|offset| offset < self.size)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meet = |one: u32, another: u32| {
            if one < another { another - one < self.size } else { one - another < other.size }
        };
        meet(self.inside, other.inside) || meet(self.host, other.host)
    }
}

/// The kernel may show a long map in another order than it was written.
fn sorted(lines: &[Line]) -> Vec<Line> {
    let mut lines = lines.to_vec();
    lines.sort_unstable_by_key(|line| line.inside);
    lines
}

fn inside(lines: &[Line], host: u32) -> Option<u32> {
    if lines.is_empty() {
        return Some(host);
    }
    let mapped =
        |line: &Line| host.checked_sub(line.host).filter(|offset| *offset < line.size).map(|n| line.inside + n);
    lines.iter().find_map(mapped)
}

/// The lines of a uid_map file.
pub(crate) fn parse(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|number| number.parse().ok());
        Some(Line { inside: numbers.next()?, host: numbers.next()?, size: numbers.next()? })
    };
    sorted(&text.lines().filter_map(line).collect::<Vec<_>>())
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
    match std::fs::write(&path, text).call("write") {
        Err(error) if error.errno == Errno::EINVAL && text.len() >= PAGE => {
            Err(property.invalid(format!("{} bytes as text, and Linux takes less than a page", text.len())))
        }
        Err(error) if error.errno == Errno::EPERM => Err(super::enter::not_mapped(error.on(&path).property(property))),
        result => result.on(&path).property(property),
    }
}

/// The set-uid programs that map the ranges of /etc/subuid and /etc/subgid.
struct Helper {
    program: &'static str,
    /// Which ranges it allows.
    file: &'static str,
    own: u32,
    property: Property,
}

impl Helper {
    fn run(&self, pid: Pid, lines: &[Line], caller: &Caller) -> Result<()> {
        let Self { program, file, own, property } = *self;
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
        let error = property.invalid(format!("{program} failed ({}): {}", output.status, said.trim()));
        let error = error.code_is(Code::IdMap);
        let ranges = std::fs::read_to_string(file).unwrap_or_default();
        Err(match subid::missing(file, &ranges, caller, own, lines) {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }
}

fn missing(program: &'static str, error: &std::io::Error, property: Property) -> Error {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    if errno == Errno::ENOENT {
        let needs = format!("a plain user needs {program} (Debian: uidmap) to map more than the own id");
        property.unsupported(needs).code_is(Code::IdMap)
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
        let gap = r#"{"uidMappings": [{"containerID": 1, "hostID": 1, "size": 9}],
                      "gidMappings": [{"containerID": 0, "hostID": 1, "size": 9}]}"#;
        assert!(compile(gap, USER, USER).unwrap_err().to_string().contains("linux.uidMappings: id 0 is not mapped"));
        assert!(compile(gap, none, USER).is_ok());
        assert!(compile(&many, none, USER).unwrap_err().to_string().contains("340"));
    }

    /// LNX-17, LNX-19, MNT-85
    #[test]
    fn entries_that_clash_are_named() {
        for (entries, problem) in [
            (&[(0, 1000, 10), (9, 5000, 1)][..], "linux.uidMappings: entries 0 and 1 overlap"),
            (&[(0, 1000, 10), (20, 2000, 5), (30, 1009, 1)], "linux.uidMappings: entries 0 and 2 overlap"),
            (&[(5, 10, 1), (0, 0, 6)], "linux.uidMappings: entries 0 and 1 overlap"),
            (&[(7, 7, 7), (7, 7, 7)], "linux.uidMappings: entries 0 and 1 overlap"),
            (&[(0, u32::MAX - 1, 2)], "linux.uidMappings: entry 0 goes beyond the highest id, 4294967294"),
            (&[(u32::MAX, 0, 1)], "linux.uidMappings: entry 0 goes beyond the highest id, 4294967294"),
        ] {
            let mappings: Vec<IdMapping> = entries
                .iter()
                .map(|&(container_id, host_id, size)| IdMapping { container_id, host_id, size })
                .collect();
            assert_eq!(lines(&mappings, UIDS).unwrap_err().to_string(), problem);
        }
        let whole = [IdMapping { container_id: 0, host_id: 0, size: u32::MAX }];
        assert_eq!(lines(&whole, UIDS).unwrap().len(), 1);
        let beside = [(10, 20, 10), (20, 10, 10), (0, 30, 10)].map(|(container_id, host_id, size)| IdMapping {
            container_id,
            host_id,
            size,
        });
        assert_eq!(lines(&beside, UIDS).unwrap().len(), 3);
    }

    /// LNX-20
    #[test]
    fn the_order_of_a_map_says_nothing() {
        let plan = compile(BOTH, USER, USER).unwrap();
        assert_eq!(parse("         1     100000          9\n         0       1000          1\n"), sorted(&plan.uids));
        assert_ne!(parse("0 1000 1\n1 100000 8\n"), sorted(&plan.uids));
    }

    #[test]
    fn who_is_mapped() {
        let plan = compile(BOTH, USER, USER).unwrap();
        assert!(plan.maps_user(0) && plan.maps_user(9) && !plan.maps_user(10));
        assert!(plan.maps_group(0) && !plan.maps_group(1));
        assert!(Plan::default().maps_user(77));
        assert_eq!([1000, 100_008, 100_009, 0].map(|id| plan.user_inside(id)), [Some(0), Some(9), None, None]);
        assert_eq!(Plan::default().group_inside(77), Some(77));
    }
}
