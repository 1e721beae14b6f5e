//! rtnetlink's messages: a request, and the kernel's answers to it.
//!
//! Runs in: parent · netlink(7), rtnetlink(7)
//!
//! A socket belongs to the network namespace that its maker is in, and goes on to be about that one.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvfrom, send, socket,
};

use super::{Call as _, Error, Result, retry};

/// Length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// More than any answer: the kernel splits lists at 32 KiB.
const LONGEST: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// One message: of a type, with a fixed part and attributes, each padded to four bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u16,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn new(kind: u16, fixed: &[u8]) -> Self {
        let mut message = Self { kind, body: fixed.to_vec() };
        message.pad();
        message
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        // Names and addresses are short.
        let length = (4 + value.len()) as u16;
        self.body.extend_from_slice(&length.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(value);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    /// The attributes behind a fixed part of this length.
    pub(crate) fn attributes(&self, fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = self.body.get(fixed..).unwrap_or_default();
        std::iter::from_fn(move || {
            let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
            let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
            let value = rest.get(4..length)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            // Two bits of the type say how the value is to be read.
            Some((kind & 0x3fff, value))
        })
    }
}

impl Netlink {
    pub(crate) fn open() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).call("socket")?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends one request; what the kernel answers until it says that it is done.
    pub(crate) fn request(&mut self, message: &Message, flags: i32, call: &'static str) -> Result<Vec<Message>> {
        self.sequence += 1;
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
        let mut bytes = Vec::with_capacity(HEADER + message.body.len());
        bytes.extend_from_slice(&((HEADER + message.body.len()) as u32).to_ne_bytes());
        bytes.extend_from_slice(&message.kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&message.body);
        retry(|| send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())).call(call)?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; LONGEST];
        loop {
            let received = retry(|| recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut buffer)).call(call)?;
            let (length, Some(sender)) = received else { continue };
            // A process may write to the socket, if it rules over a namespace that was joined.
            if sender.pid() != 0 {
                continue;
            }
            if read_answers(&buffer[..length], self.sequence, &mut answers).call(call)? {
                return Ok(answers);
            }
        }
    }
}

/// Whether the answer is complete.
fn read_answers(mut bytes: &[u8], sequence: u32, answers: &mut Vec<Message>) -> nix::Result<bool> {
    let number = |bytes: &[u8], at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    while let (Some(length), Some(of)) = (number(bytes, 0), number(bytes, 8)) {
        let length = length as usize;
        let body = bytes.get(HEADER..length).ok_or(Errno::EBADMSG)?;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        if of == sequence {
            match i32::from(kind) {
                // An acknowledgement is an error, number 0; the end of a list may come with one, too.
                libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                    return match number(body, 0).map_or(0, |error| error.cast_signed()) {
                        0.. => Ok(true),
                        error => Err(Errno::from_raw(-error)),
                    };
                }
                _ => answers.push(Message { kind, body: body.to_vec() }),
            }
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// A datagram without a request.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse(bytes: &[u8]) -> nix::Result<Vec<Message>> {
    let mut answers = Vec::new();
    read_answers(bytes, 1, &mut answers).map(|_| answers)
}

/// For an answer that holds less than it should.
pub(crate) fn malformed(call: &'static str) -> Error {
    Error { call, errno: Errno::EBADMSG }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: i32, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&(kind as u16).to_ne_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn attributes_come_back() {
        let message = Message::new(16, &[7; 16]).attribute(3, b"eth0\0").attribute(0x8001, &[1, 2, 3, 4]);
        assert_eq!(message.body.len(), 16 + 12 + 8);
        let all: Vec<_> = message.attributes(16).collect();
        assert_eq!(all, [(3, &b"eth0\0"[..]), (1, &[1, 2, 3, 4][..])]);
        let broken = Message { kind: 16, body: vec![200, 0, 3, 0, 1] };
        assert_eq!(broken.attributes(0).count(), 0);
        assert_eq!(broken.attributes(99).count(), 0);
    }

    #[test]
    fn answers_end_with_an_acknowledgement() {
        let mut answers = Vec::new();
        let mut bytes = framed(16, 5, &[1; 8]);
        bytes.extend(framed(16, 4, &[9; 8]));
        assert_eq!(read_answers(&bytes, 5, &mut answers), Ok(false));
        assert_eq!(answers, [Message { kind: 16, body: vec![1; 8] }]);
        assert_eq!(read_answers(&framed(libc::NLMSG_ERROR, 5, &[0; 20]), 5, &mut answers), Ok(true));
        assert_eq!(read_answers(&framed(libc::NLMSG_DONE, 5, &[0; 4]), 5, &mut answers), Ok(true));
        let refused = framed(libc::NLMSG_ERROR, 5, &(-libc::ENODEV).to_ne_bytes());
        assert_eq!(read_answers(&refused, 5, &mut answers), Err(Errno::ENODEV));
        assert_eq!(read_answers(&refused[..18], 5, &mut answers), Err(Errno::EBADMSG));
    }

    #[test]
    fn the_kernel_answers() {
        let mut netlink = Netlink::open().unwrap();
        let all = netlink.request(&Message::new(libc::RTM_GETLINK, &[0; 16]), libc::NLM_F_DUMP, "RTM_GETLINK").unwrap();
        assert!(all.iter().all(|message| message.kind == libc::RTM_NEWLINK) && !all.is_empty());
        let none = Message::new(libc::RTM_GETLINK, &[0; 16]).attribute(libc::IFLA_IFNAME, b"nosuch-device\0");
        let error = netlink.request(&none, 0, "RTM_GETLINK").unwrap_err();
        assert_eq!((error.call, error.errno), ("RTM_GETLINK", Errno::ENODEV));
    }
}
