//! Who was killed, and for what: as far as the kernel's log tells it.
//!
//! Runs in: parent (`events`) · Documentation/ABI/testing/dev-kmsg, mm/oom_kill.c, kernel/auditsc.c
//!
//! Best effort: the log can be read by root, and not in every environment; with auditd records of seccomp go
//! there instead.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Whence, lseek, read};
use serde::Serialize;

use crate::sys;

/// A record is not longer (PRINTK_MESSAGE_MAX).
const LONGEST: usize = 2048;

/// More come at once only when somebody floods the log.
const MOST: usize = 10_000;

#[derive(Debug)]
pub(super) struct KernelLog(OwnedFd);

/// A process that the kernel killed for want of memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Victim {
    /// As the host counts.
    pid: i32,
    name: String,
}

impl KernelLog {
    /// From here on.
    pub(super) fn open() -> Option<Self> {
        let log = sys::path::open(c"/dev/kmsg", OFlag::O_RDONLY | OFlag::O_NONBLOCK).ok()?;
        lseek(&log, 0, Whence::SeekEnd).ok()?;
        Some(Self(log))
    }

    /// What has come since.
    pub(super) fn records(&self) -> Vec<String> {
        let mut records = Vec::new();
        let mut buffer = [0; LONGEST];
        while records.len() < MOST {
            match read(&self.0, &mut buffer) {
                Ok(length @ 1..) => records.push(String::from_utf8_lossy(&buffer[..length]).into_owned()),
                // Overwritten before it was read: there are later ones.
                Err(Errno::EPIPE | Errno::EINTR) => {}
                _ => break,
            }
        }
        records
    }
}

/// Of a cgroup, by its path in the hierarchy, or of one below it.
pub(super) fn victim(records: &[String], cgroup: &Path) -> Option<Victim> {
    let of = |record: &String| {
        let fields = record.split_once("oom-kill:")?.1.trim_end();
        let field = |name: &str| fields.split(',').find_map(|field| field.strip_prefix(name));
        let memcg = field("task_memcg=")?;
        let victim = Victim { pid: field("pid=")?.parse().ok()?, name: field("task=")?.to_owned() };
        Path::new(memcg).starts_with(cgroup).then_some(victim)
    };
    records.iter().rev().find_map(of)
}

/// The number of the system call that a filter killed a process for.
pub(super) fn forbidden_call(records: &[String], pid: i32) -> Option<i32> {
    let of = |record: &String| {
        let is_it =
            record.contains("type=1326 ") && record.contains(" sig=31 ") && record.contains(&format!(" pid={pid} "));
        record.split(" syscall=").nth(1).filter(|_| is_it)?.split(' ').next()?.parse().ok()
    };
    records.iter().rev().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OOM: &str = "6,1234,5678,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,\
                       oom_memcg=/pod/box,task_memcg=/pod/box/inner,task=stress,pid=4711,uid=0\n";
    const SECCOMP: &str = "5,1235,5679,-;audit: type=1326 audit(1.2:3): auid=4 uid=0 gid=0 ses=4 subj=? pid=42 \
                           comm=\"a\" exe=\"/a\" sig=31 arch=c000003e syscall=83 compat=0 ip=0x1 code=0x80000000\n";

    #[test]
    fn who_was_killed_for_want_of_memory() {
        let records = ["7,1,1,-;other\n".to_owned(), OOM.to_owned()];
        let found = Some(Victim { pid: 4711, name: "stress".to_owned() });
        assert_eq!(victim(&records, Path::new("/pod/box")), found);
        assert_eq!(victim(&records, Path::new("/pod/box/inner")), found);
        assert_eq!(victim(&records, Path::new("/pod/bo")), None);
        assert_eq!(victim(&records, Path::new("/box")), None);
        assert_eq!(victim(&records[..1], Path::new("/pod/box")), None);
    }

    #[test]
    fn what_a_filter_killed_for() {
        let records = [SECCOMP.to_owned()];
        assert_eq!(forbidden_call(&records, 42), Some(83));
        assert_eq!(forbidden_call(&records, 4), None);
        assert_eq!(forbidden_call(&[SECCOMP.replace("sig=31", "sig=0")], 42), None);
    }
}
