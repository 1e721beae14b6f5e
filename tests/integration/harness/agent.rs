//! A seccomp agent: takes listeners from a socket, and answers every notification as it is told to.

use std::io::{IoSliceMut, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::{Value, eventually};

/// What becomes of a system call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The kernel makes it, as if nobody had asked.
    Continue,
    Result(i64),
    Errno(i32),
}

/// What came over one connection, and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) state: Value,
    pub(crate) descriptors: usize,
}

#[derive(Default)]
struct Seen {
    connections: Vec<Connection>,
    calls: Vec<i64>,
}

/// Listens until it is dropped.
pub(crate) struct Agent {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// `answer` is asked with the number of each system call.
    pub(crate) fn listen(path: &Path, answer: impl Fn(i64) -> Answer + Send + 'static) -> Self {
        let socket = UnixListener::bind(path).unwrap();
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (seen_there, stop_there) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || serve(&socket, &answer, &seen_there, &stop_there));
        Self { seen, stop, thread: Some(thread) }
    }

    /// The one connection that there has to be.
    #[track_caller]
    pub(crate) fn connection(&self) -> Connection {
        eventually("nobody connected to the agent", || self.connections().first().cloned());
        let mut connections = self.connections();
        assert_eq!(connections.len(), 1, "{connections:?}");
        connections.remove(0)
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.seen.lock().unwrap().connections.clone()
    }

    /// The numbers of the calls it was asked about so far.
    pub(crate) fn calls(&self) -> Vec<i64> {
        self.seen.lock().unwrap().calls.clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || ended.is_ok(), "the agent panicked");
        }
    }
}

fn serve(socket: &UnixListener, answer: &dyn Fn(i64) -> Answer, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut listeners: Vec<OwnedFd> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let ready: Vec<PollFlags> = {
            let fds = std::iter::once(socket.as_fd()).chain(listeners.iter().map(|fd| fd.as_fd()));
            let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            nix::poll::poll(&mut fds, PollTimeout::from(20u8)).unwrap();
            fds.iter().map(|fd| fd.revents().unwrap()).collect()
        };
        for (listener, ready) in listeners.iter().zip(&ready[1..]) {
            if ready.contains(PollFlags::POLLIN) {
                seen.lock().unwrap().calls.extend(notification(listener.as_fd(), answer));
            }
        }
        // Nobody is left under the filter.
        let mut gone = ready[1..].iter().map(|ready| ready.contains(PollFlags::POLLHUP));
        listeners.retain(|_| !gone.next().unwrap());
        if ready[0].contains(PollFlags::POLLIN) {
            let (connection, mut received) = receive(socket.accept().unwrap().0);
            seen.lock().unwrap().connections.push(connection);
            listeners.append(&mut received);
        }
    }
}

/// Everything up to the end of the connection. Descriptors come with the first message.
fn receive(mut stream: UnixStream) -> (Connection, Vec<OwnedFd>) {
    let mut space = nix::cmsg_space!([i32; 8]);
    let mut text = vec![0; 1 << 16];
    let (length, descriptors) = {
        let mut slices = [IoSliceMut::new(&mut text)];
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC);
        let message = message.unwrap();
        let mut descriptors = Vec::new();
        for control in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(received) = control {
                #[allow(unsafe_code)]
                // SAFETY: the kernel has just made these descriptors for us.
                descriptors.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        (message.bytes, descriptors)
    };
    text.truncate(length);
    // LNX-132: it has to end by itself.
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    stream.read_to_end(&mut text).expect("the connection is not closed");
    let state = serde_json::from_slice(&text).unwrap();
    (Connection { state, descriptors: descriptors.len() }, descriptors)
}

/// Answers one notification; the number of its call, unless the caller has died meanwhile.
fn notification(listener: BorrowedFd<'_>, answer: &dyn Fn(i64) -> Answer) -> Option<i64> {
    #[allow(unsafe_code)]
    // SAFETY: both are structures of integers, and of the size that the kernel expects of these requests.
    unsafe {
        let mut asked: libc::seccomp_notif = std::mem::zeroed();
        if libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) < 0 {
            return None;
        }
        let mut response: libc::seccomp_notif_resp = std::mem::zeroed();
        response.id = asked.id;
        match answer(asked.data.nr.into()) {
            Answer::Continue => response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            Answer::Result(value) => response.val = value,
            Answer::Errno(errno) => response.error = -errno,
        }
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response);
        Some(asked.data.nr.into())
    }
}
