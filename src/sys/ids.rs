//! Who a process is: user and group ids, umask, capability sets, session keyring.
//!
//! Runs in: both (capget), init
//!
//! The C library's id calls signal every thread of the process; here there is one thread, so they
//! cost one system call each.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::{self, Gid, Uid};

use super::{Call as _, Result};

/// Exactly these supplementary groups.
pub(crate) fn setgroups(groups: &[u32]) -> Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    unistd::setgroups(&groups).call("setgroups")
}

/// The real, effective and saved group id (and with them the one used for files).
pub(crate) fn setresgid(gid: u32) -> Result<()> {
    let gid = Gid::from_raw(gid);
    unistd::setresgid(gid, gid, gid).call("setresgid")
}

pub(crate) fn setresuid(uid: u32) -> Result<()> {
    let uid = Uid::from_raw(uid);
    unistd::setresuid(uid, uid, uid).call("setresuid")
}

/// Gives a file to a user and leaves its group alone.
pub(crate) fn fchown_user(fd: BorrowedFd, uid: u32) -> Result<()> {
    unistd::fchown(fd, Some(Uid::from_raw(uid)), None).call("fchown")
}

/// Sets the umask and returns the one before.
pub(crate) fn setdomainname(name: &CStr) -> Result<()> {
    // SAFETY: the kernel reads as many bytes as the name has.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr(), name.to_bytes().len()) }).call("setdomainname").map(drop)
}

pub(crate) fn umask(mask: u32) -> u32 {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask)).bits()
}

/// The three sets that capget(2) and capset(2) know, bit n being capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CapabilitySets {
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
}

impl CapabilitySets {
    /// Effective, permitted and inheritable, as capset(2) takes them: low halves, then high ones.
    pub(super) fn halves(self) -> [[u32; 3]; 2] {
        let sets = [self.effective, self.permitted, self.inheritable];
        [sets.map(|set| set as u32), sets.map(|set| (set >> 32) as u32)]
    }
}

/// `_LINUX_CAPABILITY_VERSION_3`: 64 bits per set, in two halves.
pub(super) const CAPABILITY_VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityHalf {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

pub(crate) fn capget() -> Result<CapabilitySets> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut halves = [CapabilityHalf::default(); 2];
    // SAFETY: version 3 makes the kernel write exactly two halves, which outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) };
    Errno::result(result).call("capget")?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(CapabilitySets {
        effective: join(halves[0].effective, halves[1].effective),
        permitted: join(halves[0].permitted, halves[1].permitted),
        inheritable: join(halves[0].inheritable, halves[1].inheritable),
    })
}

pub(crate) fn capset(sets: CapabilitySets) -> Result<()> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let halves = sets.halves();
    // SAFETY: version 3 makes the kernel read exactly two halves, which outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) };
    Errno::result(result).map(drop).call("capset")
}

/// A keyring's serial number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySerial(libc::c_long);

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
const KEYCTL_SETPERM: libc::c_int = 5;

/// Makes (or finds) the session keyring of this name and makes it ours.
pub(crate) fn join_session_keyring(name: &CStr) -> Result<KeySerial> {
    // SAFETY: `name` is a C string that outlives the call; the kernel copies it.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    Errno::result(result).map(KeySerial).call("keyctl")
}

pub(crate) fn set_key_permissions(key: KeySerial, permissions: u32) -> Result<()> {
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, key.0, permissions) };
    Errno::result(result).map(drop).call("keyctl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capget_agrees_with_proc() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:\t")).unwrap();
        assert_eq!(capget().unwrap().permitted, u64::from_str_radix(line, 16).unwrap());
    }
}
