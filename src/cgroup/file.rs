//! Reading and writing the small files of cgroupfs.
//!
//! Runs in: parent
//!
//! Never with O_CREAT: a file that is missing is then ENOENT, not the EACCES of a failed creation.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::AccessFlags;

use crate::error::{On as _, Result};
use crate::sys::{self, Call as _, retry};

/// A file of cgroupfs holds at most a page, but for the lists of processes.
const PAGE: usize = 4096;

pub(super) fn open(dir: impl AsFd, name: &Path, flags: OFlag) -> sys::Result<OwnedFd> {
    retry(|| openat(&dir, name, flags | OFlag::O_CLOEXEC, Mode::empty())).call("open")
}

pub(super) fn open_path(path: &Path, flags: OFlag) -> Result<OwnedFd> {
    open(AT_FDCWD, path, flags).on(path.display())
}

pub(super) fn write(dir: impl AsFd, name: &Path, value: &str) -> sys::Result<()> {
    write_to(&open(dir, name, OFlag::O_WRONLY)?, value)
}

/// In one call: cgroupfs takes each write as a whole value.
pub(super) fn write_to(file: &OwnedFd, value: &str) -> sys::Result<()> {
    retry(|| nix::unistd::write(file, value.as_bytes())).call("write").map(drop)
}

pub(super) fn write_path(path: &Path, value: &str) -> Result<()> {
    write(AT_FDCWD, path, value).on(format_args!("{} ({value})", path.display()))
}

/// A list of any length, such as `cgroup.procs`.
pub(super) fn read_path(path: &Path) -> Result<String> {
    text_of(&open_path(path, OFlag::O_RDONLY)?).on(path.display())
}

pub(super) fn text_of(file: &OwnedFd) -> sys::Result<String> {
    let mut text = Vec::new();
    let mut buffer = [0; PAGE];
    loop {
        match read(file, &mut buffer)? {
            0 => break,
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A value or a few: all of it comes with the first read.
pub(super) fn read_value(path: &Path) -> Result<String> {
    value_of(&open_path(path, OFlag::O_RDONLY)?).on(path.display())
}

pub(super) fn value_of(file: &OwnedFd) -> sys::Result<String> {
    let mut buffer = [0; PAGE];
    let count = read(file, &mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..count]).trim_end().to_owned())
}

/// What a file says now that has been read before: poll(2) waits for a change since the last read.
pub(super) fn value_again(file: &OwnedFd) -> sys::Result<String> {
    let mut buffer = [0; PAGE];
    let count = retry(|| nix::sys::uio::pread(file, &mut buffer, 0)).call("pread")?;
    Ok(String::from_utf8_lossy(&buffer[..count]).trim_end().to_owned())
}

fn read(file: &OwnedFd, buffer: &mut [u8]) -> sys::Result<usize> {
    retry(|| nix::unistd::read(file, buffer)).call("read")
}

pub(super) fn exists(path: &Path) -> bool {
    nix::unistd::access(path, AccessFlags::F_OK).is_ok()
}

pub(super) fn mkdir(path: &Path) -> sys::Result<()> {
    nix::unistd::mkdir(path, Mode::from_bits_truncate(0o755)).call("mkdir")
}

pub(super) fn rmdir(path: &Path) -> sys::Result<()> {
    std::fs::remove_dir(path).call("rmdir")
}
