//! `run`: create, start, wait and delete in one.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::runtime::Running;
use crate::harness::{Bundle, Container, eventually};

fn wait_output(running: &Running, text: &str) {
    eventually(&format!("no {text:?} in the output"), || running.stdout().contains(text).then_some(()));
}

/// The container's exit status is the command's, and nothing is left.
#[test]
fn exit_status() {
    for code in [0, 1, 7, 255] {
        let bundle = Bundle::with_script(&format!("echo out; echo err >&2; exit {code}"));
        let output = bundle.run();
        assert_eq!((output.code, &*output.stdout, &*output.stderr), (code, "out\n", "err\n"));
        bundle.assert_clean();
    }
}

/// A container that dies of a signal yields 128 and the signal's number.
#[test]
fn exit_by_signal() {
    let mut bundle = Bundle::with_script("kill -9 $$");
    bundle.share("pid");
    assert_eq!(bundle.run().code, 137);
    bundle.script("kill -15 $$");
    assert_eq!(bundle.run().code, 143);
}

/// Signals sent to `run` reach the container's process.
#[test]
fn forwards_signals() {
    let bundle = Bundle::with_script(
        "trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 1000 & wait $!; done",
    );
    let running = bundle.spawn_run(&[]);
    wait_output(&running, "ready");
    kill(Pid::from_raw(running.pid()), Signal::SIGUSR1).unwrap();
    wait_output(&running, "usr1");
    kill(Pid::from_raw(running.pid()), Signal::SIGTERM).unwrap();
    let output = running.finish();
    assert_eq!((output.code, &*output.stdout), (5, "ready\nusr1\nterm\n"));
    bundle.assert_clean();
}

/// SIGCHLD and the like are the command's own business.
#[test]
fn keeps_its_own_signals() {
    let bundle = Bundle::with_script("trap 'echo chld' CHLD; trap 'exit 0' TERM; echo ready; read x");
    let mut command = bundle.write().prepare(&["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
    command.stdin(Stdio::piped());
    let mut running = bundle.begin(command);
    wait_output(&running, "ready");
    kill(Pid::from_raw(running.pid()), Signal::SIGCHLD).unwrap();
    kill(Pid::from_raw(running.pid()), Signal::SIGURG).unwrap();
    running.child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(running.finish().success().stdout, "ready\n");
}

/// Standard input is the container's.
#[test]
fn standard_input() {
    let mut bundle = Bundle::new();
    bundle.args(&["/bin/cat"]).write();
    let mut command = bundle.prepare(&["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
    command.stdin(Stdio::piped());
    let mut running = bundle.begin(command);
    running.child.stdin.take().unwrap().write_all(b"through\n").unwrap();
    assert_eq!(running.finish().success().stdout, "through\n");
}

/// `--detach` leaves a running container behind, and its pid, without a newline, in the pid file.
#[test]
fn detach() {
    for flag in ["--detach", "-d"] {
        let bundle = Bundle::with_script("echo up; exec sleep 1000");
        let pid_file = bundle.file("pid");
        let running = bundle.spawn_run(&[flag, "--pid-file", pid_file.to_str().unwrap()]);
        let container = Container::created(bundle.scratch(), &bundle.id, running);
        container.wait_output("up");
        assert_eq!(container.status(), "running");
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), container.pid().to_string());
        container.stop();
        container.delete();
    }
}

/// The pid file of `create`, and of `run` in the foreground, is complete whenever it is there.
#[test]
fn pid_file() {
    let bundle = Bundle::with_script("echo up; read line < /tmp/wait");
    nix::unistd::mkfifo(&bundle.rootfs("tmp/wait"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pid_file = bundle.file("pid");
    let flag = format!("--pid-file={}", pid_file.display());
    let container = bundle.create_with(&[&flag]);
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), container.pid().to_string());
    drop(container);
    fs::remove_file(&pid_file).unwrap();

    let running = bundle.spawn_run(&[&flag]);
    wait_output(&running, "up");
    let pid = fs::read_to_string(&pid_file).unwrap();
    let state = bundle.command(&["state", &bundle.id]).success().stdout;
    assert!(state.contains(&format!("\"pid\": {pid}")) || state.contains(&format!("\"pid\":{pid}")), "{state}");
    fs::write(bundle.rootfs("tmp/wait"), "\n").unwrap();
    running.finish().success();
}

/// `--keep` keeps the stopped container; otherwise it is gone.
#[test]
fn keep() {
    let bundle = Bundle::with_script("exit 3");
    assert_eq!(bundle.run_with(&["--keep"]).code, 3);
    let state = bundle.command(&["state", &bundle.id]).success().stdout;
    assert!(state.contains("stopped"), "{state}");
    bundle.command(&["delete", &bundle.id]).success();
    assert_eq!(bundle.run().code, 3);
    bundle.command(&["state", &bundle.id]).failure(&["does not exist"]);
}

/// RT-41: `run` with a taken id fails and leaves the first container alone.
#[test]
fn taken_id() {
    let bundle = Bundle::with_script("echo up; exec sleep 1000");
    let container = bundle.create();
    container.start().wait_output("up");
    bundle.run().failure(&["container with given ID already exists"]);
    assert_eq!(container.status(), "running");
}

/// A program that cannot be executed: an error that engines recognise, and nothing left.
#[test]
fn program_is_missing() {
    let mut bundle = Bundle::new();
    bundle.args(&["no-such-program"]);
    bundle.run().failure(&["no-such-program", "executable file not found in $PATH"]);
    bundle.assert_clean();
    bundle.args(&["/bin/no-such-program"]);
    bundle.run().failure(&["/bin/no-such-program", "no such file or directory"]);
    bundle.assert_clean();
    bundle.args(&["/etc"]);
    bundle.run().failure(&["/etc", "permission denied"]);
    bundle.assert_clean();
    fs::write(bundle.rootfs("bin/plain"), "").unwrap();
    bundle.args(&["/bin/plain"]);
    bundle.run().failure(&["/bin/plain", "permission denied"]);
    bundle.assert_clean();
}

/// As subreaper, `run` outlives the container's own process only as long as it takes to clean up:
/// children that it leaves in a shared pid namespace do not stay.
#[test]
fn orphans() {
    let mut bundle = Bundle::with_script("sleep 1000 & exit 4");
    bundle.share("pid");
    assert_eq!(bundle.run().code, 4);
    bundle.assert_clean();
    assert_eq!(bundle.run_with(&["--no-subreaper"]).code, 4);
    bundle.assert_clean();
}

/// The program is the only process in its pid namespace besides what it starts.
#[test]
fn alone_inside() {
    let bundle = Bundle::with_script("echo /proc/[0-9]*");
    assert_eq!(bundle.output(), "/proc/1\n");
}
