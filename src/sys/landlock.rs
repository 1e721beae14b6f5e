//! Landlock: a process restricts which files it and its descendants get at, for good.
//!
//! Runs in: both · landlock(7), Linux 5.13

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr;

use bitflags::bitflags;
use nix::errno::Errno;

use super::{Call as _, Result, fd};

bitflags! {
    /// `LANDLOCK_ACCESS_FS_*`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Access: u64 {
        const EXECUTE = 1;
        const WRITE_FILE = 1 << 1;
        const READ_FILE = 1 << 2;
        const READ_DIR = 1 << 3;
        const REMOVE = 1 << 4 | 1 << 5;
        /// Device nodes, directories, files, sockets, FIFOs, links.
        const MAKE = 0b111_1111 << 6;
        /// Links and renames from one directory to another (version 2).
        const REFER = 1 << 13;
        /// Version 3.
        const TRUNCATE = 1 << 14;
        /// Version 5.
        const IOCTL_DEV = 1 << 15;

        /// What can be allowed for a file that is no directory.
        const OF_FILES = Self::EXECUTE.bits()
            | Self::WRITE_FILE.bits()
            | Self::READ_FILE.bits()
            | Self::TRUNCATE.bits()
            | Self::IOCTL_DEV.bits();
    }
}

impl Access {
    /// All that a version of the interface can forbid.
    pub(crate) fn known(version: i64) -> Self {
        let since = |first: i64, access: Self| if version < first { access } else { Self::empty() };
        Self::all() - since(2, Self::REFER) - since(3, Self::TRUNCATE) - since(5, Self::IOCTL_DEV)
    }
}

/// `struct landlock_path_beneath_attr`
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

/// ENOSYS or EOPNOTSUPP: the kernel has no Landlock, or it is not enabled.
pub(crate) fn version() -> Result<i64> {
    let none = ptr::null::<u64>();
    // SAFETY: asked for the version, the kernel reads no attributes.
    let result = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0, CREATE_RULESET_VERSION) };
    Errno::result(result).call("landlock_create_ruleset")
}

/// A ruleset that forbids all of `handled` but for what is allowed.
pub(crate) fn create_ruleset(handled: Access) -> Result<OwnedFd> {
    let handled = handled.bits();
    // SAFETY: the attributes begin with this number, and the size says that this is all.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size_of_val(&handled), 0) };
    fd::own(result, "landlock_create_ruleset")
}

/// Allows this for what is at and below `path`.
pub(crate) fn allow(ruleset: BorrowedFd<'_>, path: BorrowedFd<'_>, allowed: Access) -> Result<()> {
    let rule = PathBeneath { allowed: allowed.bits(), parent: path.as_raw_fd() };
    // SAFETY: `rule` has the layout of rules of this type, and outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_PATH_BENEATH, &raw const rule, 0)
    };
    Errno::result(result).call("landlock_add_rule").map(drop)
}

/// Needs no_new_privs or CAP_SYS_ADMIN.
pub(crate) fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    Errno::result(result).call("landlock_restrict_self").map(drop)
}
