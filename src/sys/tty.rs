//! Terminals: pseudo-terminal pairs, sizes, modes.
//!
//! Runs in: both

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use libc::{c_int, winsize};
use nix::errno::Errno;
use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};

use super::fd::own;
use super::{Call as _, Result};

/// Lets the other end of a new pair be opened.
pub(crate) fn unlock(master: BorrowedFd<'_>) -> Result<()> {
    let off: c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, which outlives the call.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const off) };
    Errno::result(result).map(drop).call("ioctl(TIOCSPTLCK)")
}

/// The other end of the pair, without looking for it under any name.
pub(crate) fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags by value and returns a new descriptor.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    own(result.into(), "ioctl(TIOCGPTPEER)")
}

/// Makes it the controlling terminal of this session, which has none.
pub(crate) fn set_controlling(slave: BorrowedFd<'_>) -> Result<()> {
    let no_stealing: c_int = 0;
    // SAFETY: TIOCSCTTY takes an int by value.
    let result = unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, no_stealing) };
    Errno::result(result).map(drop).call("ioctl(TIOCSCTTY)")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

pub(crate) fn size(tty: BorrowedFd<'_>) -> Result<Size> {
    let mut size = winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills one `winsize`, which outlives the call.
    let result = unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(result).call("ioctl(TIOCGWINSZ)")?;
    Ok(Size { rows: size.ws_row, columns: size.ws_col })
}

pub(crate) fn set_size(tty: BorrowedFd<'_>, size: Size) -> Result<()> {
    let size = winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize`, which outlives the call.
    let result = unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(result).map(drop).call("ioctl(TIOCSWINSZ)")
}

pub(crate) fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    termios::tcgetattr(fd).is_ok()
}

/// Passes every key on as it is, and returns the modes to go back to.
pub(crate) fn make_raw(tty: BorrowedFd<'_>) -> Result<Termios> {
    let before = termios::tcgetattr(tty).call("tcgetattr")?;
    let mut raw = before.clone();
    termios::cfmakeraw(&mut raw);
    set_modes(tty, &raw)?;
    Ok(before)
}

pub(crate) fn set_modes(tty: BorrowedFd<'_>, modes: &Termios) -> Result<()> {
    termios::tcsetattr(tty, SetArg::TCSANOW, modes).call("tcsetattr")
}

/// The character that ends input, while the terminal edits lines.
pub(crate) fn end_of_file_character(tty: BorrowedFd<'_>) -> Option<u8> {
    let modes = termios::tcgetattr(tty).ok()?;
    let edits_lines = modes.local_flags.contains(LocalFlags::ICANON);
    edits_lines.then(|| modes.control_chars[SpecialCharacterIndices::VEOF as usize])
}
