//! What the kernel tells of processes killed for want of memory: a counter, and notices to poll for.
//!
//! Runs in: parent · kernel documentation cgroup-v1/memory (OOM control), cgroup-v2 (memory.events)

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::tree::gone;
use super::{Cgroup, Group, Version, file};
use crate::error::{On as _, Result};
use crate::sys::Call as _;

/// A descriptor that polls ready when there is something new.
#[derive(Debug)]
pub(crate) enum OomNotices {
    /// Each out-of-memory condition counts it up. v1 tells so too when the cgroup is removed.
    V1 { event: EventFd, control: OwnedFd },
    /// The file `memory.events`, and the kills that are known of.
    V2 { events: OwnedFd, kills: u64 },
}

/// What has happened since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Nothing,
    Oom,
    /// The cgroup is gone: nothing more will come.
    End,
}

impl Cgroup {
    /// Processes of the container that were killed, in cgroups below its own too; none where nobody
    /// counts.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let group = self.find("memory")?;
        kills(&file::read_value(&group.dir.join(file_of(group))).ok()?)
    }

    /// None where memory is not controlled, or the cgroup is gone.
    pub(crate) fn oom_notices(&self) -> Result<Option<OomNotices>> {
        let Some(group) = self.find("memory") else { return Ok(None) };
        let path = group.dir.join(file_of(group));
        let watched = file::open_path(&path, OFlag::O_RDONLY).and_then(|file| match group.version {
            Version::V1 => register(&group.dir, file),
            Version::V2 => {
                let kills = kills(&file::value_again(&file).on(path.display())?).unwrap_or(0);
                Ok(OomNotices::V2 { events: file, kills })
            }
        });
        match watched {
            Err(error) if gone(&error) => Ok(None),
            watched => watched.map(Some),
        }
    }
}

fn file_of(group: &Group) -> &'static str {
    match group.version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    }
}

fn register(dir: &Path, control: OwnedFd) -> Result<OomNotices> {
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).call("eventfd2").on("events")?;
    let numbers = format!("{} {}", event.as_fd().as_raw_fd(), control.as_raw_fd());
    file::write_path(&dir.join("cgroup.event_control"), &numbers)?;
    Ok(OomNotices::V1 { event, control })
}

impl OomNotices {
    pub(crate) fn poll_flags(&self) -> PollFlags {
        match self {
            Self::V1 { .. } => PollFlags::POLLIN,
            Self::V2 { .. } => PollFlags::POLLPRI,
        }
    }

    /// Takes what is there, without waiting. Several notices at once are one.
    pub(crate) fn take(&mut self) -> Notice {
        match self {
            Self::V1 { event, control } => {
                let told = event.read().is_ok();
                match file::value_again(control) {
                    Err(_) => Notice::End,
                    Ok(_) if told => Notice::Oom,
                    Ok(_) => Notice::Nothing,
                }
            }
            Self::V2 { events, kills: known } => match file::value_again(events).map(|text| kills(&text)) {
                Err(_) => Notice::End,
                Ok(Some(now)) if now > *known => {
                    *known = now;
                    Notice::Oom
                }
                Ok(_) => Notice::Nothing,
            },
        }
    }
}

impl AsFd for OomNotices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::V1 { event, .. } => event.as_fd(),
            Self::V2 { events, .. } => events.as_fd(),
        }
    }
}

/// Both files have a line for it.
fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_of_both_versions() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(kills("low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        for odd in ["", "oom_kill", "oom_kill \n", "oom_kill x", "oom_kill -1"] {
            assert_eq!(kills(odd), None, "{odd:?}");
        }
    }
}
