//! set_mempolicy: on which NUMA nodes this process's memory is allocated.
//!
//! Runs in: init · Linux 2.6.6

use std::ptr;

use nix::errno::Errno;

use super::{Call as _, Result};

/// `mode` with its flags; bit n of `nodes` is node n.
pub(crate) fn set_mempolicy(mode: libc::c_int, nodes: &[u64]) -> Result<()> {
    // The kernel takes one bit less than it is told.
    let (mask, bits) = if nodes.is_empty() { (ptr::null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64 + 1) };
    // SAFETY: the kernel reads `bits - 1` bits of an array that has as many, and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) };
    Errno::result(result).call("set_mempolicy").map(drop)
}
