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

/// The processors that the caller may run on: bit n is number n.
pub(crate) fn affinity() -> Result<Vec<u64>> {
    // The kernel refuses a mask that is shorter than its own, which was fixed when it was built.
    let mut cpus = vec![0; 1024];
    // SAFETY: the kernel writes at most as many bytes as it is told, which outlive the call.
    let length = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&*cpus), cpus.as_mut_ptr()) };
    cpus.truncate(Errno::result(length).call("sched_getaffinity")? as usize / size_of::<u64>());
    Ok(cpus)
}

/// Those of them that exist and are not beyond the cgroup's; none is an error.
pub(crate) fn set_affinity(cpus: &[u64]) -> Result<()> {
    // SAFETY: the kernel reads as many bytes as it is told, which outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(cpus), cpus.as_ptr()) };
    Errno::result(result).map(drop).call("sched_setaffinity")
}

/// Of the process with this pid, or with 0 of the caller. The class is in the bits from 13 on.
pub(crate) fn ioprio_set(pid: i32, priority: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, priority) };
    Errno::result(result).map(drop).call("ioprio_set")
}
