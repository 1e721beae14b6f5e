//! Unix sockets: one message, one call; descriptors with it where it carries some.
//!
//! Runs in: both

use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
};

use super::{Call as _, Error, Result, retry};

/// Most descriptors one message carries (SCM_MAX_FD is 253).
const MOST_FDS: usize = 64;

/// Two ends of a channel that keeps message boundaries.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    nix::sys::socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .call("socketpair")
}

/// Sends one message. A receiver that is gone is an error, not a SIGPIPE.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> Result<()> {
    let control = [ControlMessage::ScmRights(fds)];
    let control = if fds.is_empty() { &[][..] } else { &control[..] };
    let flags = MsgFlags::MSG_NOSIGNAL;
    retry(|| nix::sys::socket::sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None))
        .call("sendmsg")
        .map(drop)
}

/// Receives one message: its length (0 at the end of file) and the descriptors that came with it.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; MOST_FDS]);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match nix::sys::socket::recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            result => break result.call("recvmsg")?,
        }
    };
    let truncated = message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    let mut fds = Vec::new();
    for control in message.cmsgs().call("recvmsg")? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
            fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if truncated { Err(Error { call: "recvmsg", errno: Errno::EMSGSIZE }) } else { Ok((message.bytes, fds)) }
}

/// A listening socket at `/proc/self/fd/DIR/NAME`: the address of a Unix socket is limited to 107
/// bytes, a state directory is not.
pub(crate) fn listen(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let socket = seqpacket()?;
    nix::sys::socket::bind(socket.as_raw_fd(), &below(dir, name).call("bind")?).call("bind")?;
    nix::sys::socket::listen(&socket, Backlog::new(1).call("listen")?).call("listen")?;
    Ok(socket)
}

pub(crate) fn connect(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let socket = seqpacket()?;
    retry(|| nix::sys::socket::connect(socket.as_raw_fd(), &below(dir, name)?)).call("connect")?;
    Ok(socket)
}

/// A stream to a path of the caller's, such as a console socket.
pub(crate) fn connect_stream(path: &std::path::Path) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, flags, None).call("socket")?;
    let address = UnixAddr::new(path).call("connect")?;
    retry(|| nix::sys::socket::connect(socket.as_raw_fd(), &address)).call("connect")?;
    Ok(socket)
}

/// For datagrams to a supervisor: its address is a path or, with `@`, a name without a file.
pub(crate) fn connect_datagram(address: &OsStr) -> Result<OwnedFd> {
    let socket = datagram(SockFlag::empty())?;
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => UnixAddr::new_abstract(name),
        None => UnixAddr::new(address),
    };
    let address = address.call("connect")?;
    retry(|| nix::sys::socket::connect(socket.as_raw_fd(), &address)).call("connect")?;
    Ok(socket)
}

/// A socket at `NAME` below `DIR` that takes datagrams, and is never waited for.
pub(crate) fn bind_datagram(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let socket = datagram(SockFlag::SOCK_NONBLOCK)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &below(dir, name).call("bind")?).call("bind")?;
    Ok(socket)
}

/// Receives one datagram, without what may be attached to it. Its length, which is beyond the buffer if
/// it did not fit; None if there is none.
pub(crate) fn receive_datagram(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Option<usize>> {
    match retry(|| nix::sys::socket::recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC)) {
        Err(Errno::EAGAIN) => Ok(None),
        length => length.call("recvfrom").map(Some),
    }
}

pub(crate) fn accept(socket: BorrowedFd<'_>) -> Result<OwnedFd> {
    let fd = retry(|| nix::sys::socket::accept4(socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC)).call("accept4")?;
    // SAFETY: accept4 succeeded, so this is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn datagram(flags: SockFlag) -> Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    nix::sys::socket::socket(AddressFamily::Unix, SockType::Datagram, flags, None).call("socket")
}

fn seqpacket() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    nix::sys::socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).call("socket")
}

fn below(dir: BorrowedFd<'_>, name: &str) -> nix::Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()).as_str())
}
