//! Waiting for the lock of a container, which another command holds: not for ever, and not for one
//! that waits for us.
//!
//! Runs in: parent
//!
//! Hooks run under the lock. One that calls a command which needs it would wait for the command
//! that waits for the hook; /proc/locks tells who that is.

use std::fs::{File, TryLockError};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc::{major, minor};

use super::status;
use crate::error::{Error, On as _, Result};
use crate::sys::{Call as _, pidfd};

/// How long another command may take, its hooks included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until another look: a command may let go of the lock without ending.
const LOOK: Duration = Duration::from_millis(20);

/// Locks the state directory of a container.
pub(super) fn acquire(dir: &File, path: &Path) -> Result<()> {
    acquire_within(PATIENCE, dir, path)
}

fn acquire_within(patience: Duration, dir: &File, path: &Path) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !try_lock(dir, path)? {
        let holder = holder(dir);
        if holder.is_some_and(waits_for_us) {
            return Err(busy(path, holder, "is running the hook that called this command"));
        }
        if Instant::now() >= deadline {
            return Err(busy(path, holder, &format!("is still at work on it after {} s", patience.as_secs())));
        }
        match holder.and_then(|pid| pidfd::open(pid).ok()) {
            Some(process) => drop(pidfd::wait(process.as_fd(), LOOK).on(path.display())?),
            None => std::thread::sleep(LOOK),
        }
    }
    Ok(())
}

fn try_lock(dir: &File, path: &Path) -> Result<bool> {
    match dir.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).call("flock").on(path.display()),
    }
}

fn busy(path: &Path, holder: Option<i32>, what: &str) -> Error {
    let who = holder.map_or_else(|| "another command".to_owned(), |pid| format!("another command (process {pid})"));
    Error::state(path.file_name().unwrap_or_default().display(), format!("{who} {what}"))
}

/// The process that locked the directory, as far as our /proc knows it.
fn holder(dir: &File) -> Option<i32> {
    let metadata = dir.metadata().ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    find(&locks, (major(metadata.dev()), minor(metadata.dev()), metadata.ino()))
}

/// `7: FLOCK  ADVISORY  WRITE 4242 00:1b:1234 0 EOF`; with `->` before FLOCK it is one who waits.
fn find(locks: &str, file: (u32, u32, u64)) -> Option<i32> {
    let pid = |line: &str| match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, "WRITE", pid, place, ..] if parse_place(place) == Some(file) => pid.parse().ok(),
        _ => None,
    };
    locks.lines().find_map(pid).filter(|pid| *pid > 0)
}

fn parse_place(place: &str) -> Option<(u32, u32, u64)> {
    let mut parts = place.split(':');
    let mut hex = || u32::from_str_radix(parts.next()?, 16).ok();
    Some((hex()?, hex()?, parts.next()?.parse().ok()?))
}

/// Whether we are a descendant of this process.
fn waits_for_us(holder: i32) -> bool {
    let mut pid = std::process::id().cast_signed();
    while let Some(parent) = status::parent(pid).filter(|parent| *parent > 0) {
        if parent == holder {
            return true;
        }
        pid = parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock() {
        let locks = "1: POSIX  ADVISORY  WRITE 5 00:1b:1234 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 6 fd:01:1234 0 EOF\n\
                     3: FLOCK  ADVISORY  READ  7 00:1b:1234 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 8 00:1b:1234 0 EOF\n\
                     4: -> FLOCK  ADVISORY  WRITE 9 00:1b:1234 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 0 00:1b:77 0 EOF\nx\n";
        assert_eq!(find(locks, (0, 0x1b, 1234)), Some(8));
        assert_eq!(find(locks, (0xfd, 1, 1234)), Some(6));
        assert_eq!((find(locks, (0, 0x1b, 77)), find(locks, (0, 0, 0)), find("", (0, 0, 0))), (None, None, None));
    }

    #[test]
    fn another_command_is_not_waited_for_for_ever() {
        let path = std::env::temp_dir().join(format!("orlop-lock-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let (first, second) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        acquire(&first, &path).unwrap();
        let error = acquire_within(Duration::ZERO, &second, &path).unwrap_err().to_string();
        assert!(error.contains("still at work") && error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        acquire_within(Duration::ZERO, &second, &path).unwrap();
        std::fs::remove_dir(&path).unwrap();
    }

    #[test]
    fn our_parent_waits_for_us_and_we_do_not() {
        assert!(waits_for_us(std::os::unix::process::parent_id().cast_signed()));
        assert!(!waits_for_us(std::process::id().cast_signed()));
    }
}
