//! `state` (runtime.md, "Query State").

use std::os::unix::fs::PermissionsExt;

use crate::harness::runtime::{is_orlop, launch};
use crate::harness::{Bundle, json};

/// RT-02, RT-03, RT-05, RT-11, RT-13, RT-39: the document of a created container, with runc's additions.
#[test]
fn created_document() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    let state = container.state();
    let version = state["ociVersion"].as_str().unwrap();
    assert_eq!(version.split('.').count(), 3, "{version}");
    assert_eq!(state["id"], bundle.id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"], container.pid());
    assert_eq!(state["bundle"], bundle.dir.to_str().unwrap());
    assert_eq!(state["rootfs"], bundle.rootfs("").to_str().unwrap().trim_end_matches('/'));
    let created = state["created"].as_str().unwrap();
    assert!(created.starts_with("20") && created.contains('T') && created.ends_with('Z'), "{created}");
    assert!(state["owner"].is_string());
    assert!(container.proc("cgroup").contains(bundle.tag()), "pid is not the container's");
}

/// RT-13: the bundle is absolute in `state` though it was given relative to the working directory.
#[test]
fn bundle_is_absolute() {
    let bundle = Bundle::with_script("exec sleep 1000");
    bundle.write();
    let mut create = bundle.prepare(&["create", "--bundle", "bundle", &bundle.id]);
    create.current_dir(bundle.file(""));
    bundle.finish(create).success();
    let state = bundle.command(&["state", &bundle.id]).success().stdout;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["bundle"], bundle.dir.to_str().unwrap());
    bundle.command(&["delete", "--force", &bundle.id]).success();
}

/// The bundle is the working directory when none is given.
#[test]
fn bundle_is_the_working_directory() {
    let bundle = Bundle::with_script("exec sleep 1000");
    bundle.write();
    let mut create = bundle.prepare(&["create", &bundle.id]);
    create.current_dir(&bundle.dir);
    bundle.finish(create).success();
    let state = bundle.command(&["state", &bundle.id]).success().stdout;
    assert!(state.contains(bundle.dir.to_str().unwrap()), "{state}");
    bundle.command(&["delete", "--force", &bundle.id]).success();
}

/// RT-14, CFG-51: annotations come back; none are absent or an empty object.
#[test]
fn annotations() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    let state = container.state();
    assert!(state.get("annotations").is_none_or(|map| *map == json!({})), "{state}");
    drop(container);

    let annotations = json!({"org.example.one": "1", "org.example.empty": ""});
    bundle.set("/annotations", annotations.clone());
    assert_eq!(bundle.create().state()["annotations"], annotations);
}

/// RT-08, RT-09: running, and stopped as soon as the process has exited, though nobody has reaped it.
#[test]
fn zombie_is_stopped() {
    let bundle = Bundle::with_script("echo up; read line < /tmp/wait; exit 0");
    nix::unistd::mkfifo(&bundle.rootfs("tmp/wait"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let container = bundle.create();
    container.start().wait_output("up");
    assert_eq!(container.status(), "running");
    std::fs::write(bundle.rootfs("tmp/wait"), "\n").unwrap();
    container.wait_zombie();
    let state = container.state();
    assert_eq!(state["status"], "stopped");
    let pid = state.get("pid").and_then(|pid| pid.as_i64()).unwrap_or(0);
    assert_eq!(pid, 0, "a stopped container has no pid");
    container.wait();
    assert_eq!(container.status(), "stopped");
    container.delete();
}

/// RT-09: the pid of a dead container's process, given to another process, does not bring it to life.
#[test]
fn reused_pid_is_not_the_container() {
    if !is_orlop() {
        skip!("knows the form of orlop's state record only");
    }
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    let dead = container.pid();
    container.start().stop();
    let record = bundle.scratch().state_root().join(&bundle.id).join("state.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let mut bystander = launch(std::process::Command::new("sleep").arg("1000"));
    let forged = text.replace(&dead.to_string(), &bystander.id().to_string());
    assert_ne!(text, forged, "the record does not hold the pid");
    std::fs::write(&record, forged).unwrap();
    let status = container.status();
    let killed = container.try_kill("KILL");
    let alive = bystander.try_wait().unwrap().is_none();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert_eq!(status, "stopped");
    assert_ne!(killed.code, 0);
    assert!(alive, "a process that is not the container's was killed");
    container.delete();
}

/// RT-19: the configuration is kept as it was read, for later commands, whatever becomes of the bundle.
#[test]
fn the_configuration_is_kept() {
    if !is_orlop() {
        skip!("knows the form of orlop's state directory only");
    }
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/x-unknown", json!([1, null, "\u{e4}"]));
    let container = bundle.create();
    let written = std::fs::read(bundle.dir.join("config.json")).unwrap();
    bundle.write_raw(b"{");
    let kept = bundle.scratch().state_root().join(&bundle.id).join("config.json");
    assert_eq!(std::fs::read(&kept).unwrap(), written);
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o7777, 0o600);
    drop(container);
    assert!(!kept.exists());
}

/// RT-37, RT-38: without an id, and of an unknown id, `state` fails.
#[test]
fn needs_a_known_id() {
    let bundle = Bundle::new();
    bundle.command(&["state"]).failure(&[]);
    let output = bundle.command(&["state", "no-such-container"]).failure(&["does not exist"]);
    assert_eq!(output.stdout, "");
}
