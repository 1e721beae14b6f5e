//! A connection to a message bus: blocking, without threads, and with an end to every wait.
//!
//! Runs in: parent · D-Bus Specification, "Authentication Protocol", "Server Addresses"
//!
//! zbus is used for what messages consist of, not for its connections: those need an asynchronous
//! runtime, and a process with threads can neither clone a container nor be sure to end.

use std::fmt::{self, Display};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};
use serde::Serialize;
use zbus::DynamicType;

use super::message::{self, Message, PRELUDE, Role, Target};
use crate::error::Meaning;

/// How long any answer may take; sd-bus waits as long.
pub(super) const PATIENCE: Duration = Duration::from_secs(25);

/// Nobody's name: the bus takes it from the socket, which also is right in a user namespace, where we
/// do not know our own.
const AUTHENTICATION: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
const LONGEST_LINE: usize = 1024;

const BUS: Target =
    Target { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    System(&'static str, Errno),
    Late,
    Closed,
    Refused,
    Nonsense(String),
    /// An error's name and its text.
    Answer(String, String),
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(call, errno) => write!(f, "{call}: {}", Meaning(*errno)),
            Self::Late => write!(f, "no answer within {} s", PATIENCE.as_secs()),
            Self::Closed => f.write_str("the bus closed the connection"),
            Self::Refused => f.write_str("the bus refused the authentication"),
            Self::Nonsense(what) => write!(f, "the answer makes no sense: {what}"),
            Self::Answer(name, text) if text.is_empty() => f.write_str(name),
            Self::Answer(name, text) => write!(f, "{} ({name})", text.trim_end_matches('.')),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Late,
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::System("bus", Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Self::Nonsense(error.to_string())
    }
}

impl Failure {
    pub(super) fn is(&self, error: &str) -> bool {
        matches!(self, Self::Answer(name, _) if name == error)
    }
}

#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Signals that came while something else was waited for.
    signals: Vec<Message>,
}

impl Bus {
    /// The first of the addresses in the list that can be reached.
    pub(super) fn connect(addresses: &str) -> Result<Self> {
        let mut failure = Failure::Nonsense(format!("{addresses:?} has no address of a Unix socket"));
        for address in addresses.split(';').filter_map(parse) {
            match open(&address?) {
                Ok(stream) => return Self::introduce(stream),
                Err(errno) => failure = Failure::System("connect", errno),
            }
        }
        Err(failure)
    }

    fn introduce(stream: UnixStream) -> Result<Self> {
        let mut bus = Self { stream, serial: 0, signals: Vec::new() };
        let deadline = Instant::now() + PATIENCE;
        bus.send(AUTHENTICATION, deadline)?;
        // It asks who we are, and is content.
        if bus.line(deadline)? != "DATA" || !bus.line(deadline)?.starts_with("OK ") {
            return Err(Failure::Refused);
        }
        bus.call(BUS, "Hello", &())?;
        Ok(bus)
    }

    /// Calls a method and waits for its return.
    pub(super) fn call<B>(&mut self, target: Target, member: &'static str, arguments: &B) -> Result<Message>
    where
        B: Serialize + DynamicType,
    {
        let deadline = Instant::now() + PATIENCE;
        self.serial += 1;
        let serial = self.serial;
        self.send(&message::call(serial, target, member, arguments)?, deadline)?;
        loop {
            let message = self.receive(deadline)?;
            match message.role() {
                Role::Reply(to) if to == serial => return Ok(message),
                Role::Error(to, name) if to == serial => {
                    return Err(Failure::Answer(name.to_owned(), message.text()));
                }
                Role::Signal(_) => self.signals.push(message),
                _ => {}
            }
        }
    }

    /// Has the bus pass on signals.
    pub(super) fn listen(&mut self, rule: &'static str) -> Result<()> {
        self.call(BUS, "AddMatch", &(rule,)).map(drop)
    }

    /// The next signal with this name.
    pub(super) fn signal(&mut self, name: &str, deadline: Instant) -> Result<Message> {
        loop {
            let message = if self.signals.is_empty() { self.receive(deadline)? } else { self.signals.remove(0) };
            if message.role() == Role::Signal(name) {
                return Ok(message);
            }
        }
    }

    fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<()> {
        self.stream.set_write_timeout(Some(left(deadline)?))?;
        Ok(self.stream.write_all(bytes)?)
    }

    fn receive(&mut self, deadline: Instant) -> Result<Message> {
        let mut prelude = [0; PRELUDE];
        self.read(&mut prelude, deadline)?;
        let length = message::length(&prelude).ok_or_else(|| Failure::Nonsense("no message".to_owned()))?;
        let mut bytes = vec![0; length];
        bytes[..PRELUDE].copy_from_slice(&prelude);
        self.read(&mut bytes[PRELUDE..], deadline)?;
        Ok(Message::parse(bytes)?)
    }

    /// A line of the authentication, byte by byte: messages follow at once.
    fn line(&mut self, deadline: Instant) -> Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() == LONGEST_LINE {
                return Err(Failure::Refused);
            }
            let mut byte = [0];
            self.read(&mut byte, deadline)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Fills the buffer; a peer that sends a byte now and then does not gain time.
    fn read(&mut self, mut buffer: &mut [u8], deadline: Instant) -> Result<()> {
        while !buffer.is_empty() {
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn left(deadline: Instant) -> Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Failure::Late) } else { Ok(left) }
}

/// A full queue of connections would let connect(2) wait for ever.
fn open(address: &UnixAddr) -> nix::Result<UnixStream> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let patience = TimeVal::seconds(i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX));
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    connect(socket.as_raw_fd(), address)?;
    Ok(UnixStream::from(socket))
}

/// `unix:path=/run/dbus/system_bus_socket` or `unix:abstract=...`; other kinds are passed over.
fn parse(address: &str) -> Option<Result<UnixAddr>> {
    let keys = address.strip_prefix("unix:")?;
    let unusable = |errno| Failure::System("connect", errno);
    keys.split(',').find_map(|key| match key.split_once('=')? {
        ("path", path) => Some(UnixAddr::new(unescape(path).as_slice()).map_err(unusable)),
        ("abstract", name) => Some(UnixAddr::new_abstract(&unescape(name)).map_err(unusable)),
        _ => None,
    })
}

/// `%2c` is a comma.
fn unescape(value: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &others[2..];
            }
            _ => {
                bytes.push(first);
                rest = others;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn addresses() {
        let path = |address: &str| parse(address).unwrap().unwrap().path().map(Path::to_path_buf);
        assert_eq!(path("unix:path=/run/user/1000/bus,guid=1").unwrap(), Path::new("/run/user/1000/bus"));
        assert_eq!(path("unix:guid=1,path=/a%20b%2Cc").unwrap(), Path::new("/a b,c"));
        assert_eq!(parse("unix:abstract=/tmp/x").unwrap().unwrap().as_abstract(), Some(&b"/tmp/x"[..]));
        assert!(parse("tcp:host=localhost").is_none());
        assert!(parse("unix:guid=1").is_none());
        assert!(Bus::connect("").unwrap_err().to_string().contains("no address"));
        let missing = Bus::connect("unix:path=/nowhere/at/all").unwrap_err().to_string();
        assert_eq!(missing, "connect: ENOENT: no such file or directory");
    }

    #[test]
    fn a_bus_that_hangs_up_or_refuses() {
        for (said, expected) in
            [("", "closed"), ("REJECTED ANONYMOUS\r\n", "refused"), ("DATA\r\nERROR\r\n", "refused")]
        {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(said.as_bytes()).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let failure = Bus::introduce(ours).unwrap_err().to_string();
            assert!(failure.contains(expected), "{said:?}: {failure}");
        }
    }
}
