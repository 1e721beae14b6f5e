//! prctl(2) and personality(2): attributes of this process.
//!
//! Runs in: both

use std::ffi::CStr;

use libc::{c_int, c_ulong};
use nix::errno::Errno;
use nix::sys::prctl as nix_prctl;
use nix::sys::signal::Signal;

use super::{Call as _, Result};

/// Only options without pointers may be given: the arguments are plain numbers.
fn prctl(option: c_int, second: c_ulong, third: c_ulong) -> nix::Result<c_int> {
    let zero: c_ulong = 0;
    // SAFETY: none of the options used in this file takes a pointer.
    Errno::result(unsafe { libc::prctl(option, second, third, zero, zero) })
}

/// Removes a capability from the bounding set for good. EINVAL: the kernel has no such capability.
pub(crate) fn drop_from_bounding_set(capability: u8) -> Result<()> {
    prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).map(drop).call("prctl(PR_CAPBSET_DROP)")
}

pub(crate) fn is_in_bounding_set(capability: u8) -> Result<bool> {
    prctl(libc::PR_CAPBSET_READ, capability.into(), 0).map(|value| value == 1).call("prctl(PR_CAPBSET_READ)")
}

pub(crate) fn raise_ambient(capability: u8) -> Result<()> {
    let raise = libc::PR_CAP_AMBIENT_RAISE as c_ulong;
    prctl(libc::PR_CAP_AMBIENT, raise, capability.into()).map(drop).call("prctl(PR_CAP_AMBIENT_RAISE)")
}

pub(crate) fn clear_ambient() -> Result<()> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    prctl(libc::PR_CAP_AMBIENT, clear, 0).map(drop).call("prctl(PR_CAP_AMBIENT_CLEAR_ALL)")
}

/// Keeps the permitted capabilities when the user id changes from 0; execve turns it off again.
pub(crate) fn keep_capabilities() -> Result<()> {
    nix_prctl::set_keepcaps(true).call("prctl(PR_SET_KEEPCAPS)")
}

pub(crate) fn set_no_new_privileges() -> Result<()> {
    nix_prctl::set_no_new_privs().call("prctl(PR_SET_NO_NEW_PRIVS)")
}

/// Whether other processes of this user may look into this one (ptrace, `/proc/<pid>/fd`).
pub(crate) fn set_dumpable(dumpable: bool) -> Result<()> {
    nix_prctl::set_dumpable(dumpable).call("prctl(PR_SET_DUMPABLE)")
}

/// The signal this process gets when its parent dies. Any change of credentials clears it.
pub(crate) fn set_parent_death_signal(signal: Option<Signal>) -> Result<()> {
    nix_prctl::set_pdeathsig(signal).call("prctl(PR_SET_PDEATHSIG)")
}

/// Orphaned descendants become our children instead of those of the machine's init.
pub(crate) fn become_subreaper() -> Result<()> {
    nix_prctl::set_child_subreaper(true).call("prctl(PR_SET_CHILD_SUBREAPER)")
}

/// The name that `ps` and `/proc/<pid>/comm` show.
pub(crate) fn set_name(name: &CStr) -> Result<()> {
    nix_prctl::set_name(name).call("prctl(PR_SET_NAME)")
}

/// Execution domains of the kernel's linux/personality.h; the second makes uname(2) show a 32-bit
/// machine.
pub(crate) const PER_LINUX: c_ulong = 0;
pub(crate) const PER_LINUX32: c_ulong = 8;

pub(crate) fn personality(domain: c_ulong) -> Result<()> {
    // SAFETY: takes an integer only.
    Errno::result(unsafe { libc::personality(domain) }).map(drop).call("personality")
}
