//! `pause` and `resume`.

use std::fs;
use std::time::Duration;

use crate::harness::{Bundle, Container, cgroup, eventually};

/// A container that counts as fast as it can, in a file.
fn counting(bundle: &mut Bundle) -> Container {
    bundle.script("i=0; while :; do i=$((i + 1)); echo $i > /tmp/count; done");
    let container = bundle.create();
    container.start();
    eventually("it does not count", || (count(bundle) > 0).then_some(()));
    container
}

/// What it has counted to; 0 while the file is being written.
fn count(bundle: &Bundle) -> u64 {
    fs::read_to_string(bundle.rootfs("tmp/count")).unwrap_or_default().trim().parse().unwrap_or(0)
}

#[track_caller]
fn assert_counts(bundle: &Bundle) {
    let before = count(bundle);
    eventually("it does not go on", || (count(bundle) > before).then_some(()));
}

/// RT-10: a paused container makes no progress, and says that it is paused; a resumed one goes on.
#[test]
fn stops_and_goes_on() {
    let mut bundle = Bundle::new();
    let container = counting(&mut bundle);
    let output = bundle.command(&["pause", &bundle.id]).success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    // Every process is held still when the command returns: no number can come after this one.
    let stopped = count(&bundle);
    assert_eq!(container.status(), "paused");
    assert_eq!(container.state()["pid"], container.pid());
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(count(&bundle), stopped);
    let row = bundle.command(&["list"]).success().stdout;
    assert!(row.contains(" paused "), "{row}");

    bundle.command(&["resume", &bundle.id]).success();
    assert_eq!(container.status(), "running");
    assert_counts(&bundle);
}

/// Only what runs can be paused, only what is paused can be resumed; with the phrases that engines know.
#[test]
fn wrong_status() {
    let mut bundle = Bundle::new();
    let container = counting(&mut bundle);
    bundle.command(&["resume", &bundle.id]).failure(&["container not paused"]);
    bundle.command(&["pause", &bundle.id]).success();
    bundle.command(&["pause", &bundle.id]).failure(&["container not running"]);
    bundle.command(&["resume", &bundle.id]).success();
    container.stop();
    bundle.command(&["pause", &bundle.id]).failure(&["container not running"]);
    bundle.command(&["resume", &bundle.id]).failure(&["container not paused"]);
    for command in ["pause", "resume"] {
        bundle.command(&[command, "no-such-container"]).failure(&["does not exist"]);
        bundle.command(&[command]).failure(&[]);
    }
    if cgroup::is_v2() {
        assert!(fs::read_to_string(bundle.cgroup("").join("cgroup.freeze")).unwrap().starts_with('0'));
    }
}

/// A container that waits to be started can be paused; then `start` is refused instead of hanging.
#[test]
fn before_start() {
    let bundle = Bundle::with_script("echo ran");
    let container = bundle.create();
    bundle.command(&["pause", &bundle.id]).success();
    assert_eq!(container.status(), "paused");
    container.try_start().failure(&["paused"]);
    bundle.command(&["resume", &bundle.id]).success();
    assert_eq!(container.status(), "created");
    assert_eq!(container.output(), "ran\n");
}

/// RT-53: SIGKILL ends a paused container, with and without `--all`; on version 1 only a thaw lets it through.
#[test]
fn killed() {
    for flags in [&[][..], &["--all"]] {
        let mut bundle = Bundle::new();
        let container = counting(&mut bundle);
        bundle.command(&["pause", &bundle.id]).success();
        bundle.command(&[&["kill"], flags, &[&bundle.id, "KILL"]].concat()).success();
        assert_eq!(container.wait(), 137);
        container.delete();
        bundle.assert_clean();
    }
}

/// Another signal waits until the container goes on.
#[test]
fn signalled() {
    let mut bundle = Bundle::with_script("trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    bundle.share("pid");
    for flags in [&[][..], &["--all"]] {
        let container = bundle.create();
        container.start().wait_output("ready");
        bundle.command(&["pause", &bundle.id]).success();
        bundle.command(&[&["kill"], flags, &[&bundle.id, "15"]].concat()).success();
        assert_eq!(container.status(), "paused");
        assert!(!container.stdout().contains("got"));
        bundle.command(&["resume", &bundle.id]).success();
        assert_eq!(container.wait(), 3);
        container.delete();
    }
}

/// RT-56: `delete --force` of a paused container.
#[test]
fn deleted() {
    let mut bundle = Bundle::new();
    let container = counting(&mut bundle);
    bundle.command(&["pause", &bundle.id]).success();
    container.try_delete(&[]).failure(&["paused"]);
    assert_eq!(container.status(), "paused");
    container.try_delete(&["--force"]).success();
    assert_eq!(container.wait(), 137);
    bundle.assert_clean();
}

/// A fork bomb (of some size) is held still as a whole, and ended as a whole.
#[test]
fn many_processes() {
    let mut bundle = Bundle::with_script("bomb() { sleep 0.01; bomb & bomb & wait; }; echo go; bomb 2>/dev/null");
    bundle.set("/linux/resources", crate::harness::json!({"pids": {"limit": 60}}));
    let container = bundle.create();
    container.start().wait_output("go");
    for _ in 0..5 {
        bundle.command(&["pause", &bundle.id]).success();
        let list = || fs::read_to_string(bundle.cgroup("freezer").join("cgroup.procs")).unwrap();
        let before = list();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(list(), before);
        bundle.command(&["resume", &bundle.id]).success();
    }
    bundle.command(&["kill", "--all", &bundle.id, "9"]).success();
    assert_eq!(container.wait(), 137);
    container.delete();
    bundle.assert_clean();
}

/// A container that can freeze cgroups of its own (version 1) cannot keep its processes from being killed.
#[test]
fn frozen_below() {
    let bundle = Bundle::with_script("sleep 1000 & sleep 1000 & echo up; wait");
    for way in ["kill", "kill --all", "delete"] {
        let container = bundle.create();
        container.start().wait_output("up");
        let below = bundle.cgroup("freezer").join("below");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("cgroup.procs"), container.pid().to_string()).unwrap();
        let (file, value) = if cgroup::is_v2() { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
        fs::write(below.join(file), value).unwrap();
        match way {
            "kill" => drop(container.kill("KILL")),
            "kill --all" => drop(bundle.command(&["kill", "--all", &bundle.id, "KILL"]).success()),
            _ => drop(container.try_delete(&["--force"]).success()),
        }
        assert_eq!((way, container.wait()), (way, 137));
        if way != "delete" {
            container.delete();
        }
        bundle.assert_clean();
    }
}
