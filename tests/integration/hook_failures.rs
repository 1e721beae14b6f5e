//! Hooks that fail, and what becomes of the container then (runtime.md, 1.3).

use std::fs;

use crate::harness::{Bundle, Container, host, json};
use crate::hooks::{KINDS, logging, read_log, share_log};

/// RT-21, RT-23, RT-25, RT-32: a failing hook fails create: later hooks do not run, poststop does, and
/// nothing is left.
#[test]
fn failing_create_hooks() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = Bundle::with_script("exit 0");
        logging(&mut bundle, kind, "first");
        bundle.hook(kind, "echo complaint >&2; exit 7");
        logging(&mut bundle, kind, "never");
        logging(&mut bundle, "startContainer", "never");
        logging(&mut bundle, "poststop", "poststop");
        bundle.refused(&[&format!("hooks.{kind}[1]"), "/bin/sh", "7"]);
        assert_eq!(read_log(&bundle), ["first", "poststop"], "{kind}");
    }
}

/// RT-27, RT-32: a failing startContainer hook fails start; the program never runs, the container is
/// taken down and poststop hooks run.
#[test]
fn failing_start_container_hook() {
    let mut bundle = Bundle::with_script("echo program >> /log");
    share_log(&mut bundle);
    bundle.hook("startContainer", "exit 7");
    logging(&mut bundle, "startContainer", "never");
    logging(&mut bundle, "poststart", "never");
    logging(&mut bundle, "poststop", "poststop");
    let container = bundle.create();
    container.try_start().failure(&["hooks.startContainer[0]", "/bin/sh", "7"]);
    container.wait();
    assert_ended(&bundle, container);
}

/// Stopped at least, if not deleted already; the poststop hook has run, and no other; nothing is left.
fn assert_ended(bundle: &Bundle, container: Container) {
    if container.command(&["state", &container.id]).code == 0 {
        assert_eq!(container.status(), "stopped");
        container.delete();
    }
    assert_eq!(read_log(bundle), ["poststop"]);
    bundle.assert_clean();
}

/// RT-30, RT-32 (1.3): a failing poststart hook fails start and stops the container.
#[test]
fn failing_poststart_hook() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.hook("poststart", "exit 7");
    logging(&mut bundle, "poststart", "never");
    logging(&mut bundle, "poststop", "poststop");
    let container = bundle.create();
    container.try_start().failure(&["hooks.poststart[0]", "/bin/sh", "7"]);
    assert_eq!(container.wait(), 137);
    assert_ended(&bundle, container);
}

/// The same through `run`: it fails, and nothing is left.
#[test]
fn failing_hooks_of_run() {
    for kind in &KINDS[..5] {
        let mut bundle = Bundle::with_script("exec sleep 1000");
        bundle.hook(kind, "exit 7");
        logging(&mut bundle, "poststop", "poststop");
        bundle.run().failure(&[&format!("hooks.{kind}[0]")]);
        assert_eq!(read_log(&bundle), ["poststop"], "{kind}");
        bundle.assert_clean();
    }
}

/// RT-33, HK-35: a failing poststop hook is a warning; the rest run, and delete succeeds.
#[test]
fn failing_poststop_hook() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.hook("poststop", "exit 7");
    logging(&mut bundle, "poststop", "second");
    let container = bundle.create();
    container.start().wait();
    let output = container.try_delete(&[]).success();
    assert!(output.stderr.contains("hooks.poststop[0]"), "no warning: {}", output.stderr);
    assert_eq!(read_log(&bundle), ["second"]);
    bundle.assert_clean();
}

/// HK-10: a hook that takes longer than its timeout is killed and has failed.
#[test]
fn timeout() {
    let mut bundle = Bundle::with_script("exit 0");
    let tag = bundle.tag().to_owned();
    let never = bundle.file("fifo");
    nix::unistd::mkfifo(&never, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Opening the fifo for reading blocks, in the shell itself.
    let script = format!("read line < {}", never.display());
    bundle.push("/hooks/createRuntime", json!({"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1}));
    let begin = std::time::Instant::now();
    bundle.refused(&["hooks.createRuntime[0]", "tim"]);
    assert!(begin.elapsed().as_secs_f32() >= 1.0);
    assert!(host::processes(&tag).is_empty());
}

/// HK-10: within its timeout a hook may take its time.
#[test]
fn timeout_not_reached() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.push("/hooks/createRuntime", json!({"path": "/bin/sh", "args": ["sh", "-c", "sleep 0.05"], "timeout": 50}));
    bundle.run().success();
}

/// HK-01…HK-07, HK-10: a path is needed, absolute; a timeout is positive. Nothing runs if one hook is
/// wrong.
#[test]
fn bad_hooks() {
    for kind in KINDS {
        let mut bundle = Bundle::with_script("exit 0");
        logging(&mut bundle, "prestart", "ran");
        let index = bundle.config["hooks"][kind].as_array().map_or(0, Vec::len);
        for bad in [
            json!({"args": ["sh"]}),
            json!({"path": "bin/true"}),
            json!({"path": ""}),
            json!({"path": "/bin/true", "timeout": 0}),
            json!({"path": "/bin/true", "timeout": -1}),
        ] {
            bundle
                .set(&format!("/hooks/{kind}"), json!(bundle.config["hooks"].get(kind).cloned().unwrap_or(json!([]))));
            let list = bundle.config["hooks"][kind].as_array_mut().unwrap();
            list.truncate(index);
            list.push(bad);
            bundle.refused(&[&format!("hooks.{kind}[{index}]")]);
        }
        assert!(read_log(&bundle).is_empty(), "{kind}");
    }
}

/// A hook that cannot be executed fails with its path and the reason.
#[test]
fn missing_program() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.push("/hooks/createRuntime", json!({"path": "/no/such/hook"}));
    bundle.refused(&["hooks.createRuntime[0]", "/no/such/hook", "no such file or directory"]);
}

/// HK-27: startContainer's path is looked up inside: a program that only the host has is not found.
#[test]
fn start_container_path_is_inside() {
    let mut bundle = Bundle::with_script("exit 0");
    let host_only = bundle.file("hook");
    fs::copy("/bin/busybox", &host_only).unwrap();
    bundle.push("/hooks/startContainer", json!({"path": host_only, "args": ["true"]}));
    bundle.run().failure(&["hooks.startContainer[0]", "no such file or directory"]);
    bundle.assert_clean();
}
