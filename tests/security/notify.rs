//! SCMP_ACT_NOTIFY on any call there is: nothing that runtime or agent does waits for itself.

use libseccomp::ScmpSyscall;

use crate::harness::agent::{Agent, Answer};
use crate::harness::{Bundle, eventually, json};

/// More than the kernel has; those without a name are no calls.
const NUMBERS: std::ops::Range<i32> = 0..600;

fn names() -> Vec<String> {
    NUMBERS.filter_map(|number| ScmpSyscall::from_raw_syscall(number).get_name().ok()).collect()
}

/// One profile for each call. Most are not made by the program, and none by the runtime after it has
/// loaded the filter, but for execve.
fn run_each(calls: impl Iterator<Item = String>) {
    let mut bundle = Bundle::new();
    let path = bundle.file("agent.sock");
    let agent = Agent::listen(&path, |_| Answer::Continue);
    for (index, call) in calls.enumerate() {
        bundle.set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
                "syscalls": [{"names": [call], "action": "SCMP_ACT_NOTIFY"}]}),
        );
        let output = bundle.run();
        assert_eq!(output.code, 0, "{call}: {output:?}");
        eventually("the agent's word", || (agent.connections().len() == index + 1).then_some(()));
    }
    assert!(agent.connections().len() > 100, "few calls are known here");
    bundle.assert_clean();
}

#[test]
fn every_second_call() {
    run_each(names().into_iter().step_by(2));
}

#[test]
fn every_other_call() {
    run_each(names().into_iter().skip(1).step_by(2));
}
