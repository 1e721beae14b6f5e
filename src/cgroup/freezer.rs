//! The freezer: holding all processes of a cgroup still, and letting them go on.
//!
//! Runs in: parent · kernel documentation cgroup-v1/freezer-subsystem, cgroup-v2 (cgroup.freeze)

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::tree::{self, Visit, gone};
use super::{Group, Version, file};
use crate::error::{On as _, Result};
use crate::sys::{self, Call as _};

/// How long the kernel may take; a task in uninterruptible sleep delays it.
const FREEZING: Duration = Duration::from_secs(10);
/// v1: first and longest pause between two looks, for which there is no event.
const NAPS: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(10));
/// v1: looks before the cgroup is thawed for a moment.
const LOOKS: u32 = 25;

const STATE: &str = "freezer.state";

pub(super) fn is_frozen(group: &Group) -> Result<bool> {
    let (name, mark) = match group.version {
        // Also while it freezes.
        Version::V1 => (STATE, "FR"),
        Version::V2 => ("cgroup.events", "frozen 1"),
    };
    match file::read_value(&group.dir.join(name)) {
        Ok(value) => Ok(value.contains(mark)),
        Err(error) if gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// All or none: what cannot be frozen completely is thawed again.
pub(super) fn freeze(group: &Group) -> Result<()> {
    freeze_until(group, Instant::now() + FREEZING)
}

fn freeze_until(group: &Group, deadline: Instant) -> Result<()> {
    let result = match group.version {
        Version::V1 => freeze_v1(&group.dir, deadline),
        Version::V2 => freeze_v2(&group.dir, deadline),
    };
    match result {
        Err(error) if gone(&error) => Ok(()),
        Err(error) => {
            let _ = thaw(group);
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

pub(super) fn thaw(group: &Group) -> Result<()> {
    let result = match group.version {
        Version::V1 => file::write_path(&group.dir.join(STATE), "THAWED"),
        Version::V2 => file::write_path(&group.dir.join("cgroup.freeze"), "0"),
    };
    result.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })
}

/// On v1 a frozen process cannot even be killed, and a container that may use cgroups can freeze
/// some below its own: those as well.
pub(super) fn thaw_to_be_killed(group: &Group) -> Result<()> {
    struct Thaw;

    impl Visit for Thaw {
        fn enter(&mut self, dir: BorrowedFd<'_>) -> sys::Result<()> {
            file::write(dir, Path::new(STATE), "THAWED")
        }
    }

    match group.version {
        Version::V1 => tree::walk(&group.dir, &mut Thaw),
        Version::V2 => Ok(()),
    }
}

/// A task that is about to freeze while it forks, or is waited for by one that is frozen (vfork),
/// keeps the cgroup in FREEZING: asking again takes in the new ones, thawing it lets them finish.
fn freeze_v1(dir: &Path, deadline: Instant) -> Result<()> {
    let state = dir.join(STATE);
    let (mut nap, longest) = NAPS;
    for look in 1.. {
        file::write_path(&state, "FROZEN")?;
        if file::read_value(&state)? == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > deadline {
            break;
        }
        if look % LOOKS == 0 {
            file::write_path(&state, "THAWED")?;
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(longest);
    }
    Err(Errno::ETIMEDOUT).call("freeze").on(dir.display())
}

fn freeze_v2(dir: &Path, deadline: Instant) -> Result<()> {
    let path = dir.join("cgroup.events");
    let events = file::open_path(&path, OFlag::O_RDONLY)?;
    file::write_path(&dir.join("cgroup.freeze"), "1")?;
    if tree::await_line(&events, "frozen 1", deadline).on(path.display())? {
        return Ok(());
    }
    Err(Errno::ETIMEDOUT).call("freeze").on(dir.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files that behave as those of a cgroup in which something does not freeze.
    #[test]
    fn what_does_not_freeze_is_thawed_again() {
        for (version, file, freezing) in
            [(Version::V1, STATE, "FREEZING for ever"), (Version::V2, "cgroup.freeze", "0")]
        {
            let dir = std::env::temp_dir().join(format!("orlop-freezer-{version:?}-{}", std::process::id()));
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join(file), freezing).unwrap();
            std::fs::write(dir.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
            let group = Group { version, controllers: "freezer".into(), dir: dir.clone(), made: 0 };
            let error = freeze_until(&group, Instant::now() + Duration::from_millis(5)).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ETIMEDOUT), "{error}");
            let left = std::fs::read_to_string(dir.join(file)).unwrap();
            assert!(left.starts_with("THAWED") || left == "0", "{left}");
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}
