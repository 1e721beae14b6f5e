//! bpf(2), as far as a cgroup's device program needs it.
//!
//! Runs in: parent · cgroup device programs Linux 4.15, BPF_F_REPLACE 5.6
//!
//! Attributes are passed in full, zeroed structures of 256 bytes: BPF_PROG_QUERY of Linux 6.17 and
//! later writes a field that lies beyond a short one.

use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::{Call as _, Result, fd};

const BPF_PROG_LOAD: u32 = 5;
const BPF_PROG_ATTACH: u32 = 8;
const BPF_PROG_DETACH: u32 = 9;
const BPF_PROG_GET_FD_BY_ID: u32 = 13;
const BPF_PROG_QUERY: u32 = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// The kernel's own limit on programs at one cgroup.
const MOST_PROGRAMS: usize = 64;

/// `struct bpf_insn`
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u8,
    /// Destination register in the low half, source register in the high one.
    pub(crate) registers: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
    rest: [u64; 23],
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
    relative: u32,
    rest: [u64; 29],
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
    rest: [u64; 28],
}

#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
    padding: u32,
    rest: [u64; 30],
}

/// Has the kernel check and take a device program.
pub(crate) fn load(program: &[Instruction]) -> Result<OwnedFd> {
    let mut name = [0; 16];
    name[..5].copy_from_slice(b"orlop");
    let mut attributes = Load {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        name,
        attach_type: BPF_CGROUP_DEVICE,
        ..Load::default()
    };
    fd::own(bpf(BPF_PROG_LOAD, &mut attributes), "bpf(BPF_PROG_LOAD)")
}

/// Attaches a program to a cgroup, beside others. Those of its ancestors stay in force as well.
pub(crate) fn attach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    change(BPF_PROG_ATTACH, cgroup, program, BPF_F_ALLOW_MULTI, None)
}

/// Attaches a program in place of those that are attached to the cgroup itself: without a moment
/// when none is.
pub(crate) fn replace(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let old = query(cgroup)?;
    if let [one] = old.as_slice() {
        return change(BPF_PROG_ATTACH, cgroup, program, BPF_F_ALLOW_MULTI | BPF_F_REPLACE, Some(&by_id(*one)?));
    }
    attach(cgroup, program)?;
    old.iter().try_for_each(|id| change(BPF_PROG_DETACH, cgroup, by_id(*id)?.as_fd(), 0, None))
}

fn change(
    command: u32,
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    flags: u32,
    replaced: Option<&OwnedFd>,
) -> Result<()> {
    let mut attributes = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags,
        replaced: replaced.map_or(0, |program| program.as_raw_fd() as u32),
        ..Attach::default()
    };
    let call = if command == BPF_PROG_ATTACH { "bpf(BPF_PROG_ATTACH)" } else { "bpf(BPF_PROG_DETACH)" };
    Errno::result(bpf(command, &mut attributes)).call(call).map(drop)
}

/// The device programs attached to the cgroup itself.
fn query(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let mut ids = [0u32; MOST_PROGRAMS];
    let mut attributes = Query {
        target: cgroup.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        ..Query::default()
    };
    Errno::result(bpf(BPF_PROG_QUERY, &mut attributes)).call("bpf(BPF_PROG_QUERY)")?;
    Ok(ids.into_iter().take(attributes.count as usize).collect())
}

fn by_id(id: u32) -> Result<OwnedFd> {
    let mut attributes = ById { id, ..ById::default() };
    fd::own(bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes), "bpf(BPF_PROG_GET_FD_BY_ID)")
}

fn bpf<T>(command: u32, attributes: &mut T) -> libc::c_long {
    // SAFETY: `T` is one of the structures above, which begin with the fields of the command and are
    // longer than any kernel's; what their addresses point to lives until the call returns, and the
    // arrays are as long as their counts say.
    unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) }
}
