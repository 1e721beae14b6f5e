//! SCMP_ACT_NOTIFY, `linux.seccomp.listenerPath` and `listenerMetadata` (config-linux.md).

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use crate::harness::agent::{Agent, Answer};
use crate::harness::{Bundle, Value, json, runtime};

/// A profile that notifies some calls, with an agent's socket beside the bundle.
fn notify(bundle: &mut Bundle, calls: &[&str]) -> PathBuf {
    let path = bundle.file("agent.sock");
    bundle.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "opaque: ä",
            "syscalls": [{"names": calls, "action": "SCMP_ACT_NOTIFY"}]}),
    );
    path
}

/// A profile without a rule: every call there is.
fn notify_all(bundle: &mut Bundle) -> PathBuf {
    let path = bundle.file("agent.sock");
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": path}));
    path
}

/// The program makes one lseek(2), and prints what came of it.
fn lseek(bundle: &mut Bundle) {
    bundle.payload(&["syscall", &libc::SYS_lseek.to_string(), "-1", "0", "0"]);
}

fn answer_lseek(answer: Answer) -> impl Fn(i64) -> Answer {
    move |call| if call == libc::SYS_lseek { answer } else { Answer::Continue }
}

/// LNX-138: the agent decides about the call: another result, an error, or what it would have been.
#[test]
fn answers() {
    for (answer, expected) in
        [(Answer::Result(1234), "1234"), (Answer::Errno(libc::EXDEV), "EXDEV"), (Answer::Continue, "EBADF")]
    {
        let mut bundle = Bundle::new();
        lseek(&mut bundle);
        let agent = Agent::listen(&notify(&mut bundle, &["lseek"]), answer_lseek(answer));
        assert_eq!(bundle.output().trim(), expected, "{answer:?}");
        assert_eq!(agent.calls(), [libc::SYS_lseek]);
    }
}

/// LNX-130…LNX-132, LNX-135, LNX-141…LNX-143: one connection of a stream socket, one message in JSON,
/// one descriptor, and the end; the second time from the cache of filters.
#[test]
fn the_container_process_state() {
    let mut bundle = Bundle::new();
    lseek(&mut bundle);
    bundle.set("/annotations", json!({"org.example.key": "value"}));
    let path = notify(&mut bundle, &["lseek"]);
    for _ in 0..2 {
        let agent = Agent::listen(&path, answer_lseek(Answer::Result(7)));
        let container = bundle.create();
        assert!(agent.connections().is_empty());
        container.start();
        let connection = agent.connection();
        assert_eq!(connection.descriptors, 1);
        let state = connection.state;
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["pid"], json!(container.pid()));
        assert_eq!(state["metadata"], json!("opaque: ä"));
        assert_eq!(state["ociVersion"], state["state"]["ociVersion"]);
        assert_eq!(state["state"]["id"], json!(container.id));
        assert_eq!(state["state"]["pid"], json!(container.pid()));
        assert_eq!(state["state"]["status"], "created");
        assert_eq!(state["state"]["bundle"], json!(bundle.dir));
        assert_eq!(state["state"]["annotations"], json!({"org.example.key": "value"}));
        assert_eq!(container.wait(), 0);
        assert_eq!(container.stdout().trim(), "7");
        container.delete();
        drop(agent);
        std::fs::remove_file(&path).unwrap();
    }
}

/// execve itself, and every other call that comes between the filter and the program's first
/// instruction, whoever the program runs as: nothing waits for itself.
#[test]
fn no_call_is_needed_before_the_agent_is_there() {
    for no_new_privileges in [true, false] {
        for uid in [0, 1000] {
            for user_namespace in [false, true] {
                let mut bundle = Bundle::new();
                bundle.args(&["/bin/cat", "/proc/self/status"]);
                bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
                bundle.set("/process/user", json!({"uid": uid, "gid": uid}));
                if user_namespace {
                    bundle.user_namespace(100_000, 65_536);
                }
                let agent = Agent::listen(&notify_all(&mut bundle), |_| Answer::Continue);
                let text = bundle.output();
                assert!(text.contains("Seccomp:\t2\n") && text.contains(&format!("Uid:\t{uid}\t")), "{text}");
                let calls = agent.calls();
                assert_eq!(calls[0], libc::SYS_execve, "{calls:?}");
                assert_eq!(calls.iter().filter(|call| **call == libc::SYS_execve).count(), 1, "{calls:?}");
                assert_eq!(calls.last(), Some(&libc::SYS_exit_group), "{calls:?}");
            }
        }
    }
}

/// The same with the runtime's own calls one by one, over create and start, and with hooks.
#[test]
fn no_call_of_the_runtime_is_notified() {
    for call in ["execve", "sendmsg", "recvmsg", "close", "close_range", "write", "prlimit64", "rt_sigaction", "exit"] {
        let mut bundle = Bundle::new();
        bundle.args(&["/bin/true"]);
        bundle.hook("poststart", "true").push("/hooks/startContainer", json!({"path": "/bin/true", "args": ["true"]}));
        let agent = Agent::listen(&notify(&mut bundle, &[call]), |_| Answer::Continue);
        let container = bundle.create();
        container.start();
        assert_eq!(container.wait(), 0, "{call}");
        container.delete();
        assert!(call != "execve" || agent.calls() == [libc::SYS_execve], "{:?}", agent.calls());
    }
}

/// A relative path starts from the bundle; the flag needs Linux 5.19.
#[test]
fn relative_path_and_killable() {
    let mut bundle = Bundle::new();
    lseek(&mut bundle);
    notify(&mut bundle, &["lseek"]);
    bundle.set("/linux/seccomp/listenerPath", json!("../agent.sock"));
    bundle.set("/linux/seccomp/flags", json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG"]));
    let _agent = Agent::listen(&bundle.file("agent.sock"), answer_lseek(Answer::Result(5)));
    assert_eq!(bundle.output().trim(), "5");
}

/// LNX-133: nobody to send to is an error of `start`, and not a single instruction of the program runs.
#[test]
fn no_agent() {
    let mut bundle = Bundle::with_script("echo ran");
    let path = notify(&mut bundle, &["lseek"]);
    let container = bundle.create();
    let text = format!("linux.seccomp.listenerPath: {}: connect: ENOENT: no such file or directory", path.display());
    container.try_start().failure(&[&text]);
    assert_eq!(container.wait(), 128 + libc::SIGKILL);
    assert_eq!(container.status(), "stopped");
    assert_eq!(container.stdout(), "");
    container.delete();
    bundle.run().failure(&[&text]);
    bundle.assert_clean();
    // LNX-130: not a stream.
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    bundle.run().failure(&["linux.seccomp.listenerPath: ", "connect: EPROTOTYPE"]);
    bundle.assert_clean();
}

/// An agent that refuses execve: the error is execve's.
#[test]
fn execve_is_refused() {
    let mut bundle = Bundle::with_script("echo ran");
    let refuse = |call| if call == libc::SYS_execve { Answer::Errno(libc::EACCES) } else { Answer::Continue };
    let _agent = Agent::listen(&notify(&mut bundle, &["execve"]), refuse);
    bundle.run().failure(&["EACCES: permission denied"]);
    bundle.assert_clean();
}

/// LNX-134: without a notification nobody is asked for. With one, and without a path, it is an error.
#[test]
fn the_path_is_for_notifications() {
    let mut bundle = Bundle::with_script("echo ran");
    let path = notify(&mut bundle, &["lseek"]);
    bundle.set("/linux/seccomp/syscalls/0/action", json!("SCMP_ACT_ERRNO"));
    let agent = Agent::listen(&path, |_| Answer::Continue);
    assert_eq!(bundle.output(), "ran\n");
    assert!(agent.connections().is_empty());
    bundle.set("/linux/seccomp/syscalls/0/action", json!("SCMP_ACT_NOTIFY"));
    for missing in [Value::Null, json!("")] {
        bundle.set("/linux/seccomp/listenerPath", missing);
        bundle.remove("/linux/seccomp/listenerMetadata");
        bundle.refused(&["linux.seccomp.listenerPath: is missing"]);
        bundle.set("/linux/seccomp/listenerMetadata", Value::Null);
    }
}

/// A plain user's container: init lets itself be watched by its own user.
#[test]
fn plain_user() {
    const USER: u32 = 54321;
    let mut bundle = Bundle::new();
    let own = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    bundle.namespace("user").set("/linux/uidMappings", own.clone()).set("/linux/gidMappings", own);
    bundle.remove("/linux/cgroupsPath").share("network");
    bundle.set("/mounts", json!([])).mount("/dev", "tmpfs", "tmpfs", &[]);
    lseek(&mut bundle);
    let path = notify(&mut bundle, &["lseek", "execve"]);
    bundle.write();
    // The program, where the user can reach it.
    let program = bundle.file("orlop");
    runtime::copy_program(&runtime::program(), &program);
    let agent = Agent::listen(&path, answer_lseek(Answer::Result(8)));
    for path in [&bundle.rootfs(""), &path] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let runtime_dir = bundle.file("xdg");
    std::fs::create_dir(&runtime_dir).unwrap();
    chown(&runtime_dir, Some(USER), Some(USER)).unwrap();
    let mut command = std::process::Command::new(&program);
    command.env_clear().env("XDG_RUNTIME_DIR", &runtime_dir).uid(USER).gid(USER).stdin(std::process::Stdio::null());
    command.args(["run", "--bundle"]).arg(&bundle.dir).arg("plain");
    assert_eq!(bundle.finish(command).success().stdout.trim(), "8");
    assert_eq!(agent.calls(), [libc::SYS_execve, libc::SYS_lseek]);
}

/// LNX-133, LNX-143: a process that `exec` adds has a listener of its own, and needs an agent as well.
#[test]
fn exec() {
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::with_script("sleep 100");
        bundle.bind_payload().set("/process/noNewPrivileges", json!(no_new_privileges));
        let path = notify_all(&mut bundle);
        let lseek = libc::SYS_lseek.to_string();
        let agent = Agent::listen(&path, answer_lseek(Answer::Result(9)));
        let container = bundle.create();
        container.start();
        let output = container.command(&["exec", &container.id, "/payload", "syscall", &lseek, "-1", "0", "0"]);
        assert_eq!(output.success().stdout.trim(), "9");
        let states: Vec<Value> = agent.connections().into_iter().map(|connection| connection.state).collect();
        assert_eq!(states.len(), 2);
        assert_eq!(states[1]["fds"], json!(["seccompFd"]));
        assert_ne!(states[1]["pid"], json!(container.pid()));
        assert_eq!(states[1]["state"]["pid"], json!(container.pid()));
        assert_eq!(states[1]["state"]["status"], "running");
        std::fs::remove_file(&path).unwrap();
        let output = container.command(&["exec", &container.id, "/bin/true"]);
        output.failure(&["linux.seccomp.listenerPath: ", "connect: ENOENT"]);
        assert_eq!(container.status(), "running");
        container.stop();
    }
}
