//! sched_setattr(2) and ioprio_set(2): how much of processors and disks a process gets.
//!
//! Runs in: both · sched_setattr Linux 3.14, utilisation clamps 5.3

use nix::errno::Errno;

use super::{Call as _, Result};

/// `struct sched_attr`, in the length of Linux 5.3 (SCHED_ATTR_SIZE_VER1).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) util_min: u32,
    pub(crate) util_max: u32,
}

/// Of the process with this pid, or with 0 of the caller.
pub(crate) fn sched_setattr(pid: i32, attr: Attr) -> Result<()> {
    let attr = Attr { size: size_of::<Attr>() as u32, ..attr };
    // SAFETY: the kernel only reads `attr`, whose size is in its first field.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attr, 0) };
    Errno::result(result).map(drop).call("sched_setattr")
}

/// Of the process with this pid, or with 0 of the caller. The class is in the bits from 13 on.
pub(crate) fn ioprio_set(pid: i32, priority: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, priority) };
    Errno::result(result).map(drop).call("ioprio_set")
}
