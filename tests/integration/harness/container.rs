//! A created container: its commands, what the host sees of it, and its end.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::runtime::{self, Output, Running};
use super::scratch::{Scratch, path};
use super::{Value, eventually};

#[derive(Debug)]
pub(crate) struct Container {
    scratch: Rc<Scratch>,
    pub(crate) id: String,
    pid: i32,
    reaped: Cell<Option<i32>>,
    creator: Output,
    out: Running,
}

impl Container {
    /// Takes over what a `create` (or a detached `run`) in progress has made; it must succeed.
    #[track_caller]
    pub(crate) fn created(scratch: &Rc<Scratch>, id: &str, running: Running) -> Self {
        let (creator, out) = running.finish_keeping();
        if creator.code != 0 {
            panic!("create failed: {creator:?}");
        }
        let state = command(scratch, &["state", id]).success();
        let state: Value = serde_json::from_str(&state.stdout).unwrap();
        let pid = state["pid"].as_i64().unwrap_or(0) as i32;
        assert!(pid > 0, "no process right after create: {state}");
        Self { scratch: Rc::clone(scratch), id: id.to_owned(), pid, reaped: Cell::new(None), creator, out }
    }

    /// The pid that `state` gave right after create.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// What the creating command itself printed until it exited.
    pub(crate) fn creator(&self) -> &Output {
        &self.creator
    }

    #[track_caller]
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        command(&self.scratch, args)
    }

    #[track_caller]
    pub(crate) fn start(&self) -> &Self {
        self.try_start().success();
        self
    }

    #[track_caller]
    pub(crate) fn try_start(&self) -> Output {
        self.command(&["start", &self.id])
    }

    /// Runs another process inside, to its end.
    #[track_caller]
    pub(crate) fn exec(&self, flags: &[&str], args: &[&str]) -> Output {
        self.spawn_exec(flags, args).finish()
    }

    #[track_caller]
    pub(crate) fn spawn_exec(&self, flags: &[&str], args: &[&str]) -> Running {
        let root = self.scratch.state_root();
        let words = [&["--root", path(&root), "exec"], flags, &[&self.id], args].concat();
        runtime::spawn(&self.scratch.dir, &words)
    }

    /// What a shell script inside prints.
    #[track_caller]
    pub(crate) fn exec_script(&self, flags: &[&str], script: &str) -> String {
        self.exec(flags, &["/bin/sh", "-c", script]).success().stdout
    }

    /// The document that `state` prints.
    #[track_caller]
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.command(&["state", &self.id]).success().stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn kill(&self, signal: &str) -> &Self {
        self.try_kill(signal).success();
        self
    }

    #[track_caller]
    pub(crate) fn try_kill(&self, signal: &str) -> Output {
        self.command(&["kill", &self.id, signal])
    }

    #[track_caller]
    pub(crate) fn delete(self) {
        self.try_delete(&[]).success();
    }

    #[track_caller]
    pub(crate) fn try_delete(&self, flags: &[&str]) -> Output {
        self.command(&[&["delete"], flags, &[&self.id]].concat())
    }

    /// Waits for the end of the container's process: its exit status, or 128 and the signal.
    #[track_caller]
    pub(crate) fn wait(&self) -> i32 {
        if let Some(code) = self.reaped.get() {
            return code;
        }
        let code = eventually("the container's process did not end", || {
            match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
                Ok(_) => None,
                Err(errno) => panic!("waitpid({}): {errno}", self.pid),
            }
        });
        self.reaped.set(Some(code));
        code
    }

    /// Waits until the process has ended, and leaves it a zombie.
    #[track_caller]
    pub(crate) fn wait_zombie(&self) -> &Self {
        eventually("the container's process did not end", || super::host::is_zombie(self.pid).then_some(()));
        self
    }

    /// SIGKILL, and the end.
    #[track_caller]
    pub(crate) fn stop(&self) -> &Self {
        self.kill("KILL");
        self.wait();
        self
    }

    /// What the container has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.out.stdout()
    }

    pub(crate) fn stderr(&self) -> String {
        self.out.stderr()
    }

    /// Waits until the container has printed a line that holds `text`.
    #[track_caller]
    pub(crate) fn wait_output(&self, text: &str) -> String {
        eventually(&format!("no {text:?} in the output"), || Some(self.stdout()).filter(|output| output.contains(text)))
    }

    /// Starts the container, waits for its end; what it printed.
    #[track_caller]
    pub(crate) fn output(self) -> String {
        self.start();
        let code = self.wait();
        assert_eq!(code, 0, "stdout {:?}, stderr {}", self.stdout(), self.stderr());
        let output = self.stdout();
        self.delete();
        output
    }

    /// A file below `/proc/<pid>`.
    #[track_caller]
    pub(crate) fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid)).unwrap()
    }

    /// A line of `/proc/<pid>/status`, without its name.
    #[track_caller]
    pub(crate) fn proc_status(&self, field: &str) -> String {
        super::field(&self.proc("status"), field).to_owned()
    }

    /// The target of a link below `/proc/<pid>`, such as `ns/net`.
    #[track_caller]
    pub(crate) fn link(&self, name: &str) -> String {
        fs::read_link(format!("/proc/{}/{name}", self.pid)).unwrap().to_str().unwrap().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // After a failure, the scratch directory's end takes care of all that is left.
        if !std::thread::panicking() && self.scratch.ids().contains(&self.id) {
            let output = self.command(&["delete", "--force", &self.id]);
            assert_eq!(output.code, 0, "delete --force: {}", output.stderr);
        }
        if self.reaped.get().is_none() && self.pid > 0 {
            let _ = waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

#[track_caller]
fn command(scratch: &Scratch, args: &[&str]) -> Output {
    let root = scratch.state_root();
    runtime::spawn(&scratch.dir, &[&["--root", path(&root)], args].concat()).finish()
}
