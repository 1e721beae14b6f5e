//! tmpcopyup: a tmpfs that begins with what the directory below it holds.
//!
//! Runs in: init · config.md#linux-mount-options, MNT-71
//!
//! The directory belongs to the image: every entry is opened by descriptor and never through a
//! symbolic link.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod};

use crate::sys::{self, Call as _, Result, path};

/// Copies entries, owners and modes from one directory into another.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let readable = path::openat(from, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)?;
    let mut entries = Dir::from_fd(readable).call("fdopendir")?;
    for entry in entries.iter() {
        let entry = entry.call("getdents")?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let stat = path::lstatat(from, name)?;
    let mode = stat.st_mode & 0o7777;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFDIR => {
            path::mkdirat(to, name, mode)?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let (inner_from, inner_to) = (path::openat(from, name, flags, 0)?, path::openat(to, name, flags, 0)?);
            copy(inner_from.as_fd(), inner_to.as_fd())?;
            return own_file(inner_to.as_fd(), &stat);
        }
        SFlag::S_IFREG => return copy_file(from, to, name, &stat),
        SFlag::S_IFLNK => {
            let target = sys::c_path(&path::readlinkat(from, name)?)?;
            path::symlinkat(&target, to, name)?;
        }
        _ => path::mknodat(to, name, kind, mode, stat.st_rdev)?,
    }
    own(to, name, &stat)?;
    // mkdir(2) makes no set-group-ID bit, and chown(2) takes both away.
    if kind != SFlag::S_IFLNK && mode & 0o6000 != 0 { path::chmodat(to, name, mode) } else { Ok(()) }
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, stat: &FileStat) -> Result<()> {
    // O_NONBLOCK: what was a file a moment ago may be a FIFO now.
    let source = path::openat(from, name, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, 0)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    let mut copy = File::from(path::openat(to, name, flags, stat.st_mode & 0o777)?);
    std::io::copy(&mut File::from(source), &mut copy).call("copy_file_range")?;
    own_file(copy.as_fd(), stat)
}

/// Owner, then mode: mkdir and chown both drop the set-user-ID and set-group-ID bits.
fn own_file(fd: BorrowedFd<'_>, stat: &FileStat) -> Result<()> {
    if (stat.st_uid, stat.st_gid) != (0, 0) {
        path::chown(fd, stat.st_uid, stat.st_gid)?;
    }
    if stat.st_mode & 0o7000 == 0 {
        return Ok(());
    }
    fchmod(fd, Mode::from_bits_truncate(stat.st_mode & 0o7777)).call("fchmod")
}

fn own(dir: BorrowedFd<'_>, name: &CStr, stat: &FileStat) -> Result<()> {
    if (stat.st_uid, stat.st_gid) == (0, 0) {
        return Ok(());
    }
    let fd = path::openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
    path::chown(fd.as_fd(), stat.st_uid, stat.st_gid)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_tree_arrives_as_it_was() {
        let base = std::env::temp_dir().join(format!("orlop-copyup-{}", std::process::id()));
        let (from, to) = (base.join("from"), base.join("to"));
        fs::create_dir_all(from.join("dir")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("dir/file"), "content").unwrap();
        fs::set_permissions(from.join("dir/file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("/etc/shadow", from.join("link")).unwrap();
        copy(File::open(&from).unwrap().as_fd(), File::open(&to).unwrap().as_fd()).unwrap();
        assert_eq!(fs::read_to_string(to.join("dir/file")).unwrap(), "content");
        assert_eq!(fs::metadata(to.join("dir/file")).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_link(to.join("link")).unwrap().to_str(), Some("/etc/shadow"));
        fs::remove_dir_all(&base).unwrap();
    }
}
