//! `ps`: the processes of a container, as the host and as the container counts them.
//!
//! Runs in: parent
//!
//! Whose processes they are, the cgroups alone say. What else is told of them is the kernel's own
//! text, in which a container can choose nothing but names; the kernel escapes those.

pub(crate) mod host;

use std::fmt::Write as _;
use std::io::Read as _;

use nix::unistd::Pid;
use serde::Serialize;

use super::{Container, Status};
use crate::cgroup::Cgroup;
use crate::error::Result;

/// Pids on the host, in their order.
pub(crate) fn pids(container: &Container) -> Result<Vec<i32>> {
    let cgroup = Cgroup::open(&container.record.cgroup);
    cgroup.require("ps")?;
    let mut pids: Vec<i32> = cgroup.pids()?.into_iter().map(Pid::as_raw).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// What /proc/PID/status tells of a process.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    /// On the host.
    pid: i32,
    /// In the pid namespace of the container's first process; none for one that came from outside.
    container_pid: Option<i32>,
    /// Parent, on the host.
    ppid: i32,
    /// Effective user id, on the host.
    uid: u32,
    name: String,
}

/// Those of `pids` that are still there.
pub(crate) fn processes(container: &Container, pids: &[i32]) -> Result<Vec<Process>> {
    let init = container.pid(container.status().unwrap_or(Status::Stopped));
    let level = init.and_then(|pid| Some(ids(field(&status(pid)?, "NSpid")?).len())).unwrap_or(1);
    Ok(pids.iter().filter_map(|pid| Process::parse(*pid, &status(*pid)?, level)).collect())
}

impl Process {
    /// `level`: how many pid namespaces the container's own is below and including /proc's.
    fn parse(pid: i32, status: &str, level: usize) -> Option<Self> {
        Some(Self {
            pid,
            container_pid: ids(field(status, "NSpid")?).get(level.checked_sub(1)?).copied(),
            ppid: field(status, "PPid")?.parse().ok()?,
            uid: field(status, "Uid")?.split_whitespace().nth(1)?.parse().ok()?,
            name: field(status, "Name")?.to_owned(),
        })
    }
}

fn status(pid: i32) -> Option<String> {
    const ENOUGH: u64 = 64 << 10;
    let mut text = Vec::new();
    let file = std::fs::File::open(format!("/proc/{pid}/status")).ok()?;
    file.take(ENOUGH).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn ids(list: &str) -> Vec<i32> {
    list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// For a host without ps(1).
pub(crate) fn table(processes: &[Process]) -> String {
    let mut text = "    UID     PID    PPID CONTAINER-PID CMD\n".to_owned();
    for Process { pid, container_pid, ppid, uid, name } in processes {
        let inside = container_pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{uid:7} {pid:7} {ppid:7} {inside:>13} {}", name.escape_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tsl\\nee p:\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t42\nPPid:\t7\n\
                          Uid:\t1000\t1001\t1002\t1003\nNSpid:\t42\t9\t1\n";

    #[test]
    fn a_process_has_a_pid_at_each_level() {
        let at = |level| Process::parse(42, STATUS, level).unwrap();
        assert_eq!(
            at(2),
            Process { pid: 42, container_pid: Some(9), ppid: 7, uid: 1001, name: "sl\\nee p:".to_owned() }
        );
        assert_eq!((at(1).container_pid, at(3).container_pid, at(4).container_pid), (Some(42), Some(1), None));
        assert_eq!(Process::parse(42, STATUS, 0), None);
    }

    #[test]
    fn odd_texts_are_no_process() {
        for text in ["", "NSpid:\n", "NSpid:\t1\nPPid:\tx\n", &STATUS[..40]] {
            assert_eq!(Process::parse(1, text, 1), None, "{text}");
        }
    }

    #[test]
    fn names_stay_on_their_line() {
        let process = Process { name: "a\nb\u{1b}[1m".to_owned(), ..Process::default() };
        assert_eq!(table(&[process]).lines().count(), 2);
    }
}
