//! A pid that belongs to somebody else by now: no command hits a stranger (RT-09, RT-31, RT-52).

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::harness::{Bundle, Container, eventually};

/// A process of this test's that has a certain pid; ended when dropped.
struct Stranger(Pid);

impl Stranger {
    /// clone3(2), `set_tid`: if nobody has the pid.
    fn with_pid(pid: i32) -> Result<Self, Errno> {
        #[repr(C)]
        #[derive(Default)]
        struct Args {
            flags: u64,
            pidfd: u64,
            child_tid: u64,
            parent_tid: u64,
            exit_signal: u64,
            stack: u64,
            stack_size: u64,
            tls: u64,
            set_tid: u64,
            set_tid_size: u64,
            cgroup: u64,
        }
        let exit_signal = Signal::SIGCHLD as u64;
        let args = Args { exit_signal, set_tid: &raw const pid as u64, set_tid_size: 1, ..Args::default() };
        // SAFETY: the arguments have the kernel's layout and outlive the call. The child, a copy of one of
        // several threads, makes no call but pause(2).
        #[allow(unsafe_code)]
        let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<Args>()) };
        if child == 0 {
            loop {
                nix::unistd::pause();
            }
        }
        Errno::result(child).map(|_| Self(Pid::from_raw(pid)))
    }

    fn is_unharmed(&self) -> bool {
        waitpid(self.0, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) == Ok(WaitStatus::StillAlive)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// A stopped container whose pid a stranger has.
#[track_caller]
fn reused(bundle: &Bundle) -> Option<(Container, Stranger)> {
    let container = bundle.create();
    container.start().stop();
    let stranger = eventually("the pid did not come free", || match Stranger::with_pid(container.pid()) {
        Err(Errno::EEXIST) => None,
        other => Some(other),
    });
    match stranger {
        Ok(stranger) => Some((container, stranger)),
        // Only in the first pid namespace of a kernel that has set_tid, and with the right to use it.
        Err(_) => None,
    }
}

#[test]
fn no_command_hits_a_stranger() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let Some((container, stranger)) = reused(&bundle) else {
        skip!("pids cannot be chosen here");
    };
    assert_eq!(container.status(), "stopped");
    assert_eq!(container.state().get("pid").and_then(serde_json::Value::as_i64).unwrap_or(0), 0);
    for words in [&["kill"][..], &["kill", "--all"], &["start"], &["pause"], &["resume"], &["ps"]] {
        let (command, flags) = words.split_first().unwrap();
        let output = container.command(&[&[*command], flags, &[&container.id]].concat());
        assert!(output.code != 0 || *command == "ps", "{words:?} succeeded");
        assert!(stranger.is_unharmed(), "{words:?}");
    }
    container.exec(&[], &["/bin/true"]).failure(&["stopped"]);
    container.try_delete(&[]).success();
    assert!(stranger.is_unharmed(), "delete");
}

#[test]
fn forced_deletes_hit_no_stranger() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    // With the pid namespace shared it is by the cgroup that what is left is found.
    for shared in [false, true] {
        if shared {
            bundle.share("pid");
        }
        let Some((container, stranger)) = reused(&bundle) else {
            skip!("pids cannot be chosen here");
        };
        container.try_delete(&["--force"]).success();
        assert!(stranger.is_unharmed());
        assert!(fs::read_dir(bundle.state_root()).unwrap().next().is_none());
    }
}
