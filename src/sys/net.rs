//! Network interfaces: only what needs no netlink.
//!
//! Runs in: init · netdevice(7)

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};

use super::{Call as _, Result};

/// Brings `lo` of this process's network namespace up.
pub(crate) fn loopback_up() -> Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket: OwnedFd =
        nix::sys::socket::socket(AddressFamily::Inet, SockType::Datagram, flags, None).call("socket")?;
    // SAFETY: all-zero is a valid ifreq; the name below is shorter than its field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads name and flags of an initialised ifreq that outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(result).call("ioctl(SIOCSIFFLAGS)").map(drop)
}
