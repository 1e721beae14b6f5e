//! `kill` (runtime.md, "Kill").

use crate::harness::{Bundle, Container, host};

/// A container that says `ready`, and `got` and exits with 3 on the signal with this number.
fn trapping(bundle: &mut Bundle, number: i32) -> Container {
    bundle.script(&format!("trap 'echo got; exit 3' {number}; echo ready; sleep 1000 & wait"));
    let container = bundle.create();
    container.start().wait_output("ready");
    container
}

/// RT-53: signals by name with and without SIG, in either case, by number, and real-time ones.
#[test]
fn signal_names() {
    let mut bundle = Bundle::new();
    let names = [
        ("TERM", 15),
        ("SIGUSR1", 10),
        ("usr2", 12),
        ("sighup", 1),
        ("15", 15),
        ("2", 2),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("RTMIN+3", 37),
        ("RTMAX", 64),
        ("SIGRTMAX-1", 63),
        ("37", 37),
    ];
    for (name, number) in names {
        let container = trapping(&mut bundle, number);
        container.kill(name);
        assert_eq!((name, container.wait()), (name, 3));
        assert!(container.stdout().contains("got"), "{name}");
        container.delete();
    }
}

/// The default signal is SIGTERM.
#[test]
fn default_signal() {
    let mut bundle = Bundle::new();
    let container = trapping(&mut bundle, 15);
    bundle.command(&["kill", &bundle.id]).success();
    assert_eq!(container.wait(), 3);
}

/// RT-53: a container that was created and not started can be killed; it never ran.
#[test]
fn created_container() {
    let bundle = Bundle::with_script("echo ran > /tmp/ran");
    let container = bundle.create();
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
    assert_eq!(container.status(), "stopped");
    container.try_start().failure(&[]);
    container.delete();
    assert!(!bundle.rootfs("tmp/ran").exists());
}

/// RT-52: a stopped container cannot be killed; its status stays.
#[test]
fn stopped_container() {
    let bundle = Bundle::with_script("exit 0");
    let container = bundle.create();
    container.start().wait_zombie();
    let phrases = ["container not running", "process already finished", "no such process"];
    let output = container.try_kill("KILL").failure(&[]);
    assert!(phrases.iter().any(|phrase| output.stderr.contains(phrase)), "{}", output.stderr);
    container.wait();
    let output = container.try_kill("TERM").failure(&[]);
    assert!(phrases.iter().any(|phrase| output.stderr.contains(phrase)), "{}", output.stderr);
    assert_eq!(container.status(), "stopped");
    container.delete();
}

/// RT-51: an id is needed, and a known one.
#[test]
fn needs_a_known_id() {
    let bundle = Bundle::new();
    bundle.command(&["kill"]).failure(&[]);
    bundle.command(&["kill", "no-such-container", "KILL"]).failure(&["does not exist"]);
}

/// A signal that does not exist is refused by its name, and nothing is sent.
#[test]
fn unknown_signals() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    container.start();
    for name in ["NOSUCH", "SIG", "SIGSIGTERM", "65", "99999999999", "RTMIN+31", "RTMAX-31", "TERM ", "15x"] {
        container.try_kill(name).failure(&[name.trim()]);
    }
    container.try_kill("").failure(&[]);
    container.try_kill("-1").failure(&[]);
    assert_eq!(container.status(), "running");
    container.stop();
    container.delete();
}

/// `--all` reaches every process of the container, also where they share the host's pid namespace.
#[test]
fn all_processes() {
    for flag in ["--all", "-a"] {
        let mut bundle = Bundle::with_script("sleep 1000 & sleep 1000 & echo up; wait");
        bundle.share("pid");
        let container = bundle.create();
        container.start().wait_output("up");
        assert!(host::processes(bundle.tag()).len() >= 3);
        bundle.command(&["kill", flag, &bundle.id, "KILL"]).success();
        assert_eq!(container.wait(), 137);
        crate::harness::eventually("processes are left", || host::processes(bundle.tag()).is_empty().then_some(()));
        container.delete();
    }
}

/// Only the container's own process gets the signal without `--all`.
#[test]
fn one_process() {
    let mut bundle = Bundle::with_script(
        "trap 'echo first' USR1; sh -c \"trap 'echo second' USR1; echo up; sleep 1000 & wait; sleep 1000\" & wait; wait; sleep 1000",
    );
    bundle.share("pid");
    let container = bundle.create();
    container.start().wait_output("up");
    container.kill("USR1").wait_output("first");
    assert!(!container.stdout().contains("second"));
}
