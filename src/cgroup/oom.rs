//! Whether it was for want of memory that a container could not be created or started.
//!
//! Runs in: parent · kernel documentation cgroup-v2 "memory.events", cgroup-v1 memory
//!
//! The kernel kills without a message to anybody, but it counts.

use std::path::Path;

use super::path::PROPERTY;
use super::resources::LIMIT;
use super::{Group, Version, file};
use crate::error::Error;
use crate::error::code::Code;

/// What v1 says for "no limit" is the largest number of whole pages.
const UNLIMITED: u64 = i64::MAX as u64 - (1 << 20);

/// Names the limit as the reason of a failure, if the cgroup's own counters do.
pub(super) fn explain(memory: Option<&Group>, error: Error) -> Error {
    let Some(counters) = memory.and_then(Counters::read) else { return error };
    let found = if counters.killed > 0 {
        format!("the kernel killed a process of the container for want of memory ({counters})")
    } else if counters.refused > 0 && error.to_string().contains("ENOMEM") {
        format!("the kernel refused memory to a process of the container ({counters})")
    } else {
        return error;
    };
    match counters.limit {
        Some(limit) => LIMIT.invalid(format!("too small: within {limit} bytes {found}: {error}")),
        None => PROPERTY.invalid(format!("a cgroup above has too little memory: {found}: {error}")),
    }
    .code_is(Code::MemoryLimit)
}

struct Counters {
    limit: Option<u64>,
    killed: u64,
    refused: u64,
    version: Version,
}

impl Counters {
    fn read(group: &Group) -> Option<Self> {
        let version = group.version;
        let (limit, events) = match version {
            Version::V1 => ("memory.limit_in_bytes", "memory.oom_control"),
            Version::V2 => ("memory.max", "memory.events"),
        };
        let text = read(&group.dir, events)?;
        let refused = match version {
            Version::V1 => read(&group.dir, "memory.failcnt")?.parse().ok(),
            Version::V2 => field(&text, "max"),
        };
        Some(Self {
            limit: read(&group.dir, limit)?.parse().ok().filter(|limit| *limit < UNLIMITED),
            killed: field(&text, "oom_kill").unwrap_or_default(),
            refused: refused.unwrap_or_default(),
            version,
        })
    }
}

impl std::fmt::Display for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { killed, refused, .. } = self;
        match self.version {
            Version::V1 => write!(f, "memory.oom_control: oom_kill {killed}, memory.failcnt: {refused}"),
            Version::V2 => write!(f, "memory.events: oom_kill {killed}, max {refused}"),
        }
    }
}

fn read(dir: &Path, name: &str) -> Option<String> {
    file::read_value(&dir.join(name)).ok()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0";
        assert_eq!(field(events, "max"), Some(12));
        assert_eq!(field(events, "oom_kill"), Some(2));
        assert_eq!(field(events, "oom_kill_disable"), None);
    }
}
