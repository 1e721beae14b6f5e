//! `exec` that cannot be: the phrases that engines look for, the exit status, and what is left.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::exec::{idle, start};
use crate::harness::{Bundle, Container, eventually, host, json};

/// runc's status for whatever hindered the program from starting.
const FAILURE: i32 = 255;

#[track_caller]
fn refused(container: &Container, flags: &[&str], args: &[&str], words: &[&str]) {
    let output = container.exec(flags, args).failure(words);
    assert_eq!(output.code, FAILURE, "{}", output.stderr);
    assert_eq!(output.stdout, "");
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
}

/// Engines turn the first phrases into exit status 127, the last one into 126.
#[test]
fn no_program() {
    let bundle = idle();
    fs::write(bundle.rootfs("tmp/data"), "").unwrap();
    let container = start(&bundle);
    refused(&container, &[], &["nosuch"], &[r#"exec: "nosuch": executable file not found in $PATH"#]);
    refused(&container, &[], &["/nosuch"], &["no such file or directory"]);
    refused(&container, &[], &["/tmp/data"], &["permission denied"]);
    refused(&container, &[], &["/tmp"], &["permission denied"]);
    refused(&container, &["--cwd", "/nosuch"], &["true"], &["cwd", "/nosuch", "no such file or directory"]);
    refused(&container, &["--cwd", "tmp"], &["true"], &["cwd"]);
    refused(&container, &[], &[], &["process.args"]);
}

/// Detached, the caller is told as well, and there is no pid file.
#[test]
fn no_program_detached() {
    let bundle = idle();
    let container = start(&bundle);
    let pid_file = bundle.file("pid");
    let flags = ["--detach", "--pid-file", pid_file.to_str().unwrap()];
    refused(&container, &flags, &["nosuch"], &["executable file not found in $PATH"]);
    assert!(!pid_file.exists());
    let processes = fs::read_to_string(bundle.cgroup("pids").join("cgroup.procs")).unwrap();
    assert_eq!(processes.trim(), container.pid().to_string(), "something is left");
}

#[test]
fn no_process_file() {
    let bundle = idle();
    let container = start(&bundle);
    let file = bundle.file("process.json");
    let path = file.to_str().unwrap();
    refused(&container, &["--process", path], &[], &["process.json", "no such file or directory"]);
    for (text, words) in [
        ("{", &["process.json"][..]),
        (r#"{"args": ["true"], "user": {"uid": 0, "gid": 0}}"#, &["process.json", "cwd"]),
        (r#"{"args": [1], "cwd": "/", "user": {"uid": 0, "gid": 0}}"#, &["process.json", "args[0]"]),
        (r#"{"args": [], "cwd": "/", "user": {"uid": 0, "gid": 0}}"#, &["process.args"]),
        (r#"{"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "oomScoreAdj": 2000}"#, &["oomScoreAdj"]),
    ] {
        fs::write(&file, text).unwrap();
        refused(&container, &["--process", path], &[], words);
    }
}

#[test]
fn no_container() {
    let bundle = Bundle::new();
    assert_eq!(bundle.command(&["exec", "nosuch", "true"]).failure(&["does not exist"]).code, FAILURE);
    bundle.command(&["exec"]).failure(&[]);
}

#[test]
fn stopped() {
    let bundle = idle();
    let container = start(&bundle);
    container.kill("KILL").wait_zombie();
    refused(&container, &[], &["true"], &["cannot exec in a stopped container"]);
    container.wait();
    refused(&container, &["--ignore-paused"], &["true"], &["cannot exec in a stopped container"]);
}

/// A create that was killed has left its intent; there is nothing to enter.
#[test]
fn half_made() {
    if !crate::harness::runtime::is_orlop() {
        skip!("knows the form of orlop's state record only");
    }
    let bundle = idle();
    let container = start(&bundle);
    let record = bundle.scratch().state_root().join(&bundle.id).join("state.json");
    let whole = fs::read_to_string(&record).unwrap();
    let mut intent: serde_json::Value = serde_json::from_str(&whole).unwrap();
    intent["init"] = json!(null);
    fs::write(&record, intent.to_string()).unwrap();
    refused(&container, &[], &["true"], &["cannot exec in a stopped container"]);
    fs::write(&record, &whole).unwrap();
    let config = record.with_file_name("config.json");
    let text = fs::read(&config).unwrap();
    fs::write(&config, "{").unwrap();
    refused(&container, &[], &["true"], &["config.json", "damaged"]);
    fs::remove_file(&config).unwrap();
    refused(&container, &[], &["true"], &["config.json", "no such file or directory"]);
    fs::write(&config, text).unwrap();
    container.exec(&[], &["true"]).success();
}

/// Paused: refused; with the flag it runs once the container goes on.
#[test]
fn paused() {
    let bundle = idle();
    let container = start(&bundle);
    container.command(&["pause", &container.id]).success();
    refused(&container, &[], &["true"], &["cannot exec in a paused container (use --ignore-paused to override)"]);
    let running = container.spawn_exec(&["--ignore-paused"], &["echo", "at last"]);
    let added = || fs::read_to_string(bundle.cgroup("freezer").join("cgroup.procs")).unwrap().lines().count() == 2;
    eventually("the process in the frozen cgroup", || added().then_some(()));
    assert_eq!(running.stdout(), "");
    container.command(&["resume", &container.id]).success();
    assert_eq!(running.finish().success().stdout, "at last\n");
}

/// An exec that is killed before the program runs leaves no process of its own.
#[test]
fn killed_before_the_program() {
    let bundle = idle();
    let container = start(&bundle);
    container.command(&["pause", &container.id]).success();
    let running = container.spawn_exec(&["--ignore-paused"], &["sleep", "1000"]);
    let processes = || fs::read_to_string(bundle.cgroup("freezer").join("cgroup.procs")).unwrap();
    eventually("the process in the frozen cgroup", || (processes().lines().count() == 2).then_some(()));
    let own = container.pid().to_string();
    let added: i32 = processes().lines().find(|pid| *pid != own).unwrap().parse().unwrap();
    kill(Pid::from_raw(running.pid()), Signal::SIGKILL).unwrap();
    running.finish_quietly();
    container.command(&["resume", &container.id]).success();
    eventually("the end of the process", || host::is_zombie(added).then_some(()));
    let _ = nix::sys::wait::waitpid(Pid::from_raw(added), None);
}

/// While its container is killed and deleted, an exec succeeds or fails, and leaves nothing.
#[test]
fn beside_kill_and_delete() {
    for round in 0..12 {
        let mut bundle = idle();
        if round % 2 == 1 {
            bundle.share("pid");
        }
        let container = start(&bundle);
        let execs: Vec<_> = (0..3).map(|_| container.spawn_exec(&[], &["sleep", "1000"])).collect();
        std::thread::sleep(std::time::Duration::from_micros(1500 * round));
        container.try_delete(&["--force"]).success();
        for exec in execs {
            let output = exec.finish();
            assert!(output.code == 137 || output.code == FAILURE, "{output:?}");
        }
        drop(container);
        bundle.assert_clean();
    }
}
