//! Foreground `run`: copies between our own stdio and the master's end of the container's terminal.
//!
//! Runs in: parent
//!
//! One step of copying is done whenever `poll` says that one is possible, so that the caller can
//! wait for signals and the container's end in the same loop. Nothing is read before the last
//! piece has been written: whoever reads or writes slowly slows down the other side alone.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::termios::Termios;

use crate::error::{For as _, Property, Result};
use crate::sys::{self, Call as _, tty};

const PROPERTY: Property = Property::of("process.terminal");

/// A pipe that can be written to takes this much at once without blocking (pipe(7), PIPE_BUF).
const PIECE: usize = 4096;

/// What is still read from a terminal whose container has ended: more than its buffers hold.
const MOST_REMAINS: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Relay {
    input: BorrowedFd<'static>,
    output: BorrowedFd<'static>,
    master: OwnedFd,
    typed: Piece,
    printed: Piece,
    /// The last thing typed was not the end of a line.
    in_line: bool,
    input_ended: bool,
    output_ended: bool,
    master_ended: bool,
    /// Of our own terminal, to go back to.
    modes: Option<Termios>,
}

/// Of the terminal that we have, if any.
pub(super) fn own_size() -> Option<tty::Size> {
    [0, 1, 2].into_iter().find_map(|fd| tty::size(sys::fd::standard(fd)).ok())
}

/// Bytes read and not written yet.
#[derive(Debug)]
struct Piece {
    bytes: [u8; PIECE],
    start: usize,
    end: usize,
}

impl Relay {
    /// Takes over our terminal, if standard input is one, until dropped.
    pub(crate) fn new(master: OwnedFd) -> Result<Self> {
        let relay = Self::between(sys::fd::standard(0), sys::fd::standard(1), master)?;
        relay.resize();
        Ok(relay)
    }

    fn between(input: BorrowedFd<'static>, output: BorrowedFd<'static>, master: OwnedFd) -> Result<Self> {
        // Nobody else uses this open file: the container has the slave's end. Our stdio is shared
        // with the caller, and must not be made non-blocking.
        nix::fcntl::fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).call("fcntl(F_SETFL)").property(PROPERTY)?;
        let modes = if tty::is_terminal(input) { Some(tty::make_raw(input).property(PROPERTY)?) } else { None };
        Ok(Self {
            input,
            output,
            master,
            typed: Piece::new(),
            printed: Piece::new(),
            in_line: false,
            input_ended: false,
            output_ended: false,
            master_ended: false,
            modes,
        })
    }

    /// Gives the container's terminal the size of ours: at the start, and on SIGWINCH.
    pub(crate) fn resize(&self) {
        if let Some(size) = own_size() {
            // A terminal that has just ended has no size to be set.
            let _ = tty::set_size(self.master.as_fd(), size);
        }
    }

    /// What to wait for until `pump` can do something; nothing once the other side has ended.
    pub(crate) fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let mut fds = Vec::with_capacity(3);
        let mut events = PollFlags::empty();
        if !self.master_ended {
            match (self.typed.is_empty(), self.input_ended) {
                (true, false) => fds.push(PollFd::new(self.input, PollFlags::POLLIN)),
                (true, true) => {}
                (false, _) => events |= PollFlags::POLLOUT,
            }
            if self.printed.is_empty() {
                events |= PollFlags::POLLIN;
            }
        }
        if !self.printed.is_empty() {
            fds.push(PollFd::new(self.output, PollFlags::POLLOUT));
        }
        // Without events, poll would still report that the other side has hung up.
        if !events.is_empty() {
            fds.push(PollFd::new(self.master.as_fd(), events));
        }
        fds
    }

    /// Copies what can be copied without waiting.
    pub(crate) fn pump(&mut self) -> Result<()> {
        if !self.master_ended && self.typed.is_empty() && !self.input_ended && can_read(self.input)? {
            self.read_input()?;
        }
        if !self.typed.is_empty() {
            self.write_master()?;
        }
        if self.printed.is_empty() && !self.master_ended {
            self.read_master()?;
        }
        if !self.printed.is_empty() && can_write(self.output)? {
            self.write_output()?;
        }
        Ok(())
    }

    /// Once the container has ended: prints what it had written before.
    pub(crate) fn finish(mut self) -> Result<()> {
        let mut left = MOST_REMAINS;
        while left > 0 {
            if self.printed.is_empty() && !self.master_ended {
                self.read_master()?;
            }
            if self.printed.is_empty() {
                break;
            }
            left = left.saturating_sub(self.printed.length());
            wait_until_writable(self.output)?;
            self.write_output()?;
        }
        Ok(())
    }

    fn read_input(&mut self) -> Result<()> {
        match self.typed.fill(self.input) {
            Ok(length @ 1..) => self.in_line = self.typed.bytes[length - 1] != b'\n',
            // The end of a file typed in: as if typed at a terminal that edits lines, where the
            // first one ends a line that was begun.
            Ok(0) => {
                self.input_ended = true;
                if let Some(end) = tty::end_of_file_character(self.master.as_fd()) {
                    self.typed.put(&[end, end][usize::from(!self.in_line)..]);
                }
            }
            // Our own terminal is gone.
            Err(Errno::EIO) => self.input_ended = true,
            Err(Errno::EAGAIN) => {}
            Err(errno) => return failed(errno, "read"),
        }
        Ok(())
    }

    fn write_master(&mut self) -> Result<()> {
        match self.typed.drain(self.master.as_fd()) {
            Ok(()) | Err(Errno::EAGAIN) => Ok(()),
            Err(Errno::EIO) => {
                self.typed.clear();
                Ok(())
            }
            Err(errno) => failed(errno, "write"),
        }
    }

    fn read_master(&mut self) -> Result<()> {
        match self.printed.fill(self.master.as_fd()) {
            // EIO: nobody has the slave open any more.
            Ok(0) | Err(Errno::EIO) => self.master_ended = true,
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(errno) => return failed(errno, "read"),
        }
        Ok(())
    }

    fn write_output(&mut self) -> Result<()> {
        if self.output_ended {
            self.printed.clear();
            return Ok(());
        }
        match self.printed.drain(self.output) {
            Ok(()) | Err(Errno::EAGAIN) => Ok(()),
            // Nobody reads any more. The container goes on, and what it prints is dropped.
            Err(Errno::EPIPE | Errno::EIO) => {
                self.output_ended = true;
                self.printed.clear();
                Ok(())
            }
            Err(errno) => failed(errno, "write"),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(modes) = &self.modes {
            // A terminal that is gone needs no modes.
            let _ = tty::set_modes(self.input, modes);
        }
    }
}

impl Piece {
    fn new() -> Self {
        Self { bytes: [0; PIECE], start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn length(&self) -> usize {
        self.end - self.start
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        (self.start, self.end) = (0, bytes.len());
    }

    fn fill(&mut self, from: BorrowedFd<'_>) -> nix::Result<usize> {
        let length = sys::retry(|| nix::unistd::read(from, &mut self.bytes))?;
        (self.start, self.end) = (0, length);
        Ok(length)
    }

    fn drain(&mut self, to: BorrowedFd<'_>) -> nix::Result<()> {
        self.start += sys::retry(|| nix::unistd::write(to, &self.bytes[self.start..self.end]))?;
        Ok(())
    }
}

fn failed(errno: Errno, call: &'static str) -> Result<()> {
    Err(sys::Error { call, errno }).property(PROPERTY)
}

fn can_read(fd: BorrowedFd<'_>) -> Result<bool> {
    ready(fd, PollFlags::POLLIN)
}

fn can_write(fd: BorrowedFd<'_>) -> Result<bool> {
    ready(fd, PollFlags::POLLOUT)
}

/// For an output that the caller has made non-blocking.
fn wait_until_writable(fd: BorrowedFd<'_>) -> Result<()> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    sys::retry(|| nix::poll::poll(&mut fds, PollTimeout::NONE)).call("poll").property(PROPERTY).map(drop)
}

/// Also when it has ended, as reading or writing then says so at once.
fn ready(fd: BorrowedFd<'_>, events: PollFlags) -> Result<bool> {
    let mut fds = [PollFd::new(fd, events)];
    let count = sys::retry(|| nix::poll::poll(&mut fds, PollTimeout::ZERO)).call("poll").property(PROPERTY)?;
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Plan, Pty};
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;

    /// A relay between two pipes and a terminal; the pipes' other ends; the container's end.
    struct Bench {
        relay: Relay,
        keyboard: Option<File>,
        screen: File,
        slave: Option<OwnedFd>,
    }

    /// A descriptor that stays open to the end of the test program.
    fn forever(fd: OwnedFd) -> BorrowedFd<'static> {
        let fd: &'static OwnedFd = Box::leak(Box::new(fd));
        fd.as_fd()
    }

    fn bench() -> Bench {
        let devpts = File::open("/dev/pts").unwrap();
        let owner = nix::unistd::getuid().as_raw();
        let Pty { master, slave } = Plan { size: None, owner }.open(devpts.as_fd()).unwrap();
        let (input, keyboard) = nix::unistd::pipe().unwrap();
        let (screen, output) = nix::unistd::pipe().unwrap();
        let relay = Relay::between(forever(input), forever(output), master).unwrap();
        Bench { relay, keyboard: Some(keyboard.into()), screen: screen.into(), slave: Some(slave) }
    }

    impl Bench {
        /// As the caller's loop does, until nothing more is to be waited for at this moment.
        fn settle(&mut self) {
            for _ in 0..10_000 {
                let mut fds = self.relay.poll_fds();
                if fds.is_empty() || nix::poll::poll(&mut fds, PollTimeout::from(50_u8)).unwrap() == 0 {
                    return;
                }
                self.relay.pump().unwrap();
            }
            panic!("the relay spins");
        }

        fn slave_reads(&self) -> String {
            let mut line = [0; 256];
            let length = nix::unistd::read(self.slave.as_ref().unwrap(), &mut line).unwrap();
            String::from_utf8_lossy(&line[..length]).into_owned()
        }
    }

    #[test]
    fn copies_both_ways() {
        let mut bench = bench();
        bench.keyboard.as_mut().unwrap().write_all(b"typed\n").unwrap();
        bench.settle();
        assert_eq!(bench.slave_reads(), "typed\n");
        nix::unistd::write(bench.slave.as_ref().unwrap(), b"printed\n").unwrap();
        bench.settle();
        let mut screen = [0; 64];
        let length = bench.screen.read(&mut screen).unwrap();
        assert_eq!(&screen[..length], b"typed\r\nprinted\r\n", "the echo and the output");
    }

    #[test]
    fn the_end_of_input_is_typed() {
        let mut bench = bench();
        bench.keyboard = None;
        bench.settle();
        assert_eq!(bench.slave_reads(), "", "cat would end now");
        assert_eq!(bench.relay.poll_fds().len(), 1, "only the terminal is waited for");
    }

    #[test]
    fn a_line_without_end_is_typed_before_the_end() {
        let mut bench = bench();
        bench.keyboard.take().unwrap().write_all(b"half").unwrap();
        bench.settle();
        assert_eq!((bench.slave_reads(), bench.slave_reads()), ("half".to_owned(), String::new()));
    }

    #[test]
    fn the_last_words_are_printed() {
        let mut bench = bench();
        nix::unistd::write(bench.slave.take().unwrap(), b"last\n").unwrap();
        bench.relay.finish().unwrap();
        let mut screen = [0; 64];
        let length = bench.screen.read(&mut screen).unwrap();
        assert_eq!(&screen[..length], b"last\r\n");
    }

    #[test]
    fn nothing_is_waited_for_after_the_end() {
        let mut bench = bench();
        bench.slave = None;
        bench.settle();
        assert!(bench.relay.poll_fds().is_empty());
    }

    #[test]
    fn a_slow_reader_loses_nothing() {
        let mut bench = bench();
        let slave = bench.slave.take().unwrap();
        let text = "x".repeat(999);
        let writer = std::thread::spawn(move || {
            for _ in 0..200 {
                let line = format!("{text}\n");
                let mut rest = line.as_bytes();
                while !rest.is_empty() {
                    rest = &rest[nix::unistd::write(&slave, rest).unwrap()..];
                }
            }
        });
        let mut total = 0;
        let mut screen = [0; 10_000];
        let expected = 200 * 1001;
        while total < expected {
            bench.settle();
            total += bench.screen.read(&mut screen).unwrap();
        }
        writer.join().unwrap();
        assert_eq!(total, expected);
    }

    /// What was raw is restored; seen on a terminal in place of ours.
    #[test]
    fn our_terminal_gets_its_modes_back() {
        let devpts = File::open("/dev/pts").unwrap();
        let plan = Plan { size: None, owner: nix::unistd::getuid().as_raw() };
        let (own, container) = (plan.open(devpts.as_fd()).unwrap(), plan.open(devpts.as_fd()).unwrap());
        let input = forever(own.slave);
        let edits_lines = || tty::end_of_file_character(input).is_some();
        let relay = Relay::between(input, input, container.master).unwrap();
        assert!(!edits_lines());
        drop(relay);
        assert!(edits_lines());
        assert!(own.master.as_raw_fd() >= 0);
    }
}
