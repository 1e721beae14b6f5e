//! `create`, `start`, `state`, `kill`, `delete`: the life of a container (runtime.md).

use std::fs;
use std::process::Stdio;

use crate::harness::{Bundle, host, json, runtime};

/// RT-01, RT-16, RT-18, RT-28, RT-31, RT-36, RT-43…RT-45, RT-49, RT-56, CFG-49: the whole life, each step by a process of its own.
#[test]
fn whole_life() {
    let bundle = Bundle::with_script("echo ran > /tmp/ran; exec sleep 1000");
    let container = bundle.create();
    assert_eq!(container.status(), "created");
    assert!(!bundle.rootfs("tmp/ran").exists(), "the program ran before start");
    container.start();
    assert_eq!(container.status(), "running");
    crate::harness::eventually("the program did not run", || bundle.rootfs("tmp/ran").exists().then_some(()));
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
    assert_eq!(container.status(), "stopped");
    container.delete();
    bundle.assert_clean();
    bundle.command(&["state", &bundle.id]).failure(&["does not exist"]);
}

/// RT-19: what is written to config.json after create has no effect.
#[test]
fn configuration_is_read_once() {
    let mut bundle = Bundle::with_script("echo original");
    let (before, after) = (bundle.file("before"), bundle.file("after"));
    bundle.set("/annotations", json!({"org.example.key": "before"}));
    bundle.hook("poststop", &format!("echo > {}", before.display()));
    let container = bundle.create();

    bundle.script("echo changed").set("/annotations/org.example.key", json!("after")).remove("/hooks");
    bundle.hook("poststop", &format!("echo > {}", after.display())).write();
    assert_eq!(container.state()["annotations"]["org.example.key"], "before");
    assert_eq!(container.output(), "original\n");
    assert!(before.exists(), "the hook of create's configuration did not run");
    assert!(!after.exists(), "a hook of the changed configuration ran");
}

/// RT-19, conformance: a bundle whose configuration is gone can still be started, asked and deleted.
#[test]
fn configuration_may_vanish() {
    let bundle = Bundle::with_script("echo ran");
    let container = bundle.create();
    fs::remove_file(bundle.dir.join("config.json")).unwrap();
    assert_eq!(container.status(), "created");
    assert_eq!(container.output(), "ran\n");
}

/// RT-48: only a created container can be started.
#[test]
fn start_twice() {
    let bundle = Bundle::with_script("echo started; exec sleep 1000");
    let container = bundle.create();
    container.start().wait_output("started");
    container.try_start().failure(&[]);
    assert_eq!(container.status(), "running");
    container.stop();
    container.try_start().failure(&[]);
    assert_eq!(container.status(), "stopped");
    assert_eq!(container.stdout(), "started\n");
    container.delete();
}

/// RT-47: start needs an id, and a known one.
#[test]
fn start_needs_a_known_id() {
    let bundle = Bundle::new();
    bundle.command(&["start"]).failure(&[]);
    bundle.command(&["start", "no-such-container"]).failure(&["does not exist"]);
}

/// RT-50, CFG-09: a configuration without `process` makes a container that cannot be started.
#[test]
fn without_a_process() {
    let mut bundle = Bundle::new();
    bundle.remove("/process");
    let container = bundle.create();
    assert_eq!(container.status(), "created");
    container.try_start().failure(&["process"]);
    container.try_delete(&["--force"]).success();
    bundle.assert_clean();
}

/// RT-40, BND-01, BND-02: create needs an id, and a bundle with a config.json.
#[test]
fn create_needs_a_bundle() {
    let bundle = Bundle::new();
    bundle.write();
    bundle.command(&["create", "--bundle", bundle.dir.to_str().unwrap()]).failure(&[]);
    bundle.command(&["create", "--bundle", "/no/such/bundle", &bundle.id]).failure(&["/no/such/bundle"]);
    fs::rename(bundle.dir.join("config.json"), bundle.dir.join("Config.json")).unwrap();
    bundle.refused_as_written(&["config.json", "no such file or directory"]);
}

/// RT-41: an id is taken until delete; the first container stays as it was.
#[test]
fn taken_id() {
    let bundle = Bundle::with_script("echo ran");
    let container = bundle.create();
    let state = container.state();
    bundle.spawn_create(&bundle.id, &[]).finish().failure(&["container with given ID already exists"]);
    assert_eq!(container.state(), state);
    assert_eq!(container.output(), "ran\n");
    assert_eq!(bundle.create().output(), "ran\n");
}

/// RT-42: ids that are no names are refused, and make nothing.
#[test]
fn invalid_ids() {
    let bundle = Bundle::new();
    bundle.write();
    let long = "x".repeat(1025);
    for id in ["", ".", "..", "a/b", "/", "../x", "a\nb", "a b", "a\tb", "ä", "a:b", "a\\b", &long] {
        for command in ["create", "run"] {
            let args = [command, "--bundle", bundle.dir.to_str().unwrap(), id];
            bundle.command(&args).failure(&[]);
        }
        for command in ["state", "start", "kill", "delete"] {
            bundle.command(&[command, id]).failure(&[]);
        }
        bundle.assert_clean();
    }
    assert!(!bundle.file("x").exists());
}

/// Ids may hold every character that engines use in them.
#[test]
fn valid_ids() {
    let bundle = Bundle::with_script("echo ran");
    bundle.write();
    for id in ["a", "A-Z_0.9+x", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"] {
        assert_eq!(bundle.create_as(id, &[]).output(), "ran\n");
    }
}

/// HK-36, conformance: what commands other than create inherit they let go of when they exit, and
/// nothing is printed on success.
#[test]
fn commands_keep_no_pipe() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    assert_eq!((&*container.creator().stdout, &*container.creator().stderr), ("", ""));
    for args in [&["start"][..], &["state"], &["kill"], &["delete", "--force"]] {
        let mut command = bundle.prepare(args);
        command.arg(&bundle.id).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = runtime::launch(&mut command).wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
        assert_eq!(output.stdout.is_empty(), args[0] != "state", "{args:?}: {output:?}");
    }
}

/// Engines call kill, state and delete with hardly any environment.
#[test]
fn without_an_environment() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    for args in [&["state"][..], &["start"], &["kill"], &["delete", "--force"]] {
        let mut command = bundle.prepare(args);
        command.env_clear().env("XDG_RUNTIME_DIR", "").arg(&bundle.id);
        bundle.finish(command).success();
    }
    container.wait();
}

/// create leaves one process behind, the container's, and nothing of its own.
#[test]
fn create_leaves_only_init() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    assert_eq!(host::processes(bundle.tag()), [container.pid()]);
}

/// RT-48: of concurrent starts exactly one runs the program.
#[test]
fn concurrent_starts() {
    let bundle = Bundle::with_script("echo started; exec sleep 1000");
    let container = bundle.create();
    let running: Vec<_> = (0..5).map(|_| bundle.spawn(&["start", &bundle.id])).collect();
    let codes: Vec<_> = running.into_iter().map(|running| running.finish().code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    container.wait_output("started");
    assert_eq!(container.status(), "running");
    container.stop();
    assert_eq!(container.stdout(), "started\n");
    container.delete();
}

/// Concurrent deletes: the container is gone, and at least one says that it did it.
#[test]
fn concurrent_deletes() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    container.start();
    let running: Vec<_> = (0..5).map(|_| bundle.spawn(&["delete", "--force", &bundle.id])).collect();
    for output in running.into_iter().map(|running| running.finish()) {
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    container.wait();
    bundle.assert_clean();
}
