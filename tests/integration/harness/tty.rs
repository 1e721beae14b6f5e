//! Pseudo terminals: a console socket for detached containers, and a terminal for `run`.

use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use nix::pty::Winsize;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::eventually;

/// A listening console socket.
pub(crate) struct ConsoleSocket {
    pub(crate) path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    pub(crate) fn new(path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        Self { path, listener }
    }

    /// The terminal that the runtime has sent.
    pub(crate) fn receive(&self) -> Terminal {
        Terminal::new(self.receive_descriptor())
    }

    /// One message with one descriptor.
    pub(crate) fn receive_descriptor(&self) -> OwnedFd {
        self.listener.set_nonblocking(true).unwrap();
        let (stream, _) = eventually("nobody connected to the console socket", || self.listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        let mut bytes = [0; 4096];
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; 4]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
        assert!(message.bytes > 0, "a message needs at least a byte");
        let mut descriptors = Vec::new();
        for control in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(list) = control {
                descriptors.extend(list);
            }
        }
        assert_eq!(descriptors.len(), 1);
        #[allow(unsafe_code)]
        // SAFETY: the kernel has just made this descriptor for us.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptors[0]) };
        descriptor
    }
}

/// The master end of a pseudo terminal, read in the background.
pub(crate) struct Terminal {
    pub(crate) master: File,
    chunks: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    pub(crate) fn new(master: OwnedFd) -> Self {
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let (sender, chunks) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: the last slave end was closed.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { master, chunks, seen: String::new() }
    }

    /// A new pseudo terminal of the host: its master end, and the slave end for a program.
    pub(crate) fn open(rows: u16, columns: u16) -> (Self, OwnedFd) {
        let pair = nix::pty::openpty(&size(rows, columns), None).unwrap();
        (Self::new(pair.master), pair.slave)
    }

    /// Everything printed until `text` has appeared.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> &str {
        eventually(&format!("no {text:?} on the terminal"), || {
            self.drain();
            self.seen.contains(text).then_some(())
        });
        &self.seen
    }

    fn drain(&mut self) {
        while let Ok(chunk) = self.chunks.try_recv() {
            self.seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = size(rows, columns);
        #[allow(unsafe_code)]
        // SAFETY: TIOCSWINSZ reads a winsize.
        let result = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        assert_eq!(result, 0);
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// A path short enough for a socket address, wherever the scratch directory is.
pub(crate) fn is_bindable(path: &Path) -> bool {
    path.as_os_str().len() < 108
}
