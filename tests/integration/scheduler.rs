//! `process.scheduler` and `process.ioPriority` (config.md).

use std::path::Path;

use crate::harness::payload::call;
use crate::harness::{Bundle, Container, Value, cgroup, json};

/// A number of `/proc/<pid>/stat`, counted as proc_pid_stat(5) counts.
fn stat(container: &Container, field: usize) -> i64 {
    let text = container.proc("stat");
    let rest = text.rsplit_once(") ").unwrap().1;
    rest.split_whitespace().nth(field - 3).unwrap().parse().unwrap()
}

/// Nice value, real-time priority and policy, as the host sees them.
fn seen(container: &Container) -> (i64, i64, i64) {
    (stat(container, 19), stat(container, 40), stat(container, 41))
}

fn with_scheduler(scheduler: Value) -> Bundle {
    let mut bundle = Bundle::with_script("sleep 100");
    bundle.set("/process/scheduler", scheduler);
    bundle
}

/// Where the kernel divides real-time among cgroups (version 1), the container's needs a share.
fn share_of_real_time(bundle: &mut Bundle) {
    if !cgroup::is_v2() && cgroup::dir("cpu", "/").join("cpu.rt_runtime_us").exists() {
        bundle.set("/linux/resources/cpu/realtimeRuntime", json!(10_000));
    }
}

/// CFG-31, CFG-32, CFG-33: the policy with its nice value or priority, before and after `start`;
/// what is not given is 0.
#[test]
fn policies() {
    for (scheduler, expected) in [
        (json!({"policy": "SCHED_OTHER", "nice": 7}), (7, 0, 0)),
        (json!({"policy": "SCHED_OTHER", "nice": -5}), (-5, 0, 0)),
        (json!({"policy": "SCHED_BATCH", "nice": 3}), (3, 0, 3)),
        (json!({"policy": "SCHED_BATCH"}), (0, 0, 3)),
        (json!({"policy": "SCHED_IDLE"}), (0, 0, 5)),
        (json!({"policy": "SCHED_FIFO", "priority": 5}), (0, 5, 1)),
        (json!({"policy": "SCHED_RR", "priority": 99, "nice": 0}), (0, 99, 2)),
    ] {
        let mut bundle = with_scheduler(scheduler.clone());
        share_of_real_time(&mut bundle);
        let container = bundle.create();
        assert_eq!(seen(&container), expected, "{scheduler}");
        container.start();
        assert_eq!(seen(&container), expected, "{scheduler}");
        container.stop();
    }
}

/// CFG-31, CFG-35: SCHED_DEADLINE; the container's own view of it.
#[test]
fn deadline() {
    let (runtime, deadline, period) = (1_000_000, 20_000_000, 30_000_000);
    let mut bundle = with_scheduler(json!({"policy": "SCHED_DEADLINE", "runtime": runtime, "deadline": deadline,
        "period": period, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}));
    bundle.args(&["/bin/sleep", "100"]);
    let container = bundle.create();
    container.start();
    assert_eq!(stat(&container, 41), 6);
    let pid = container.pid().to_string();
    // sched_getscheduler tells the flag too.
    let policy = call(&[&libc::SYS_sched_getscheduler.to_string(), &pid]);
    assert_eq!(policy, (6 | libc::SCHED_RESET_ON_FORK).to_string());
    assert_eq!(attributes(&container)[3..6], [runtime, deadline, period]);
    container.stop();
}

/// The eight-byte words of `struct sched_attr`: runtime, deadline and period are the last three but one.
fn attributes(container: &Container) -> [u64; 7] {
    let mut words = [0; 7];
    let address = words.as_mut_ptr().expose_provenance().to_string();
    let length = size_of_val(&words).to_string();
    assert_eq!(call(&[&libc::SYS_sched_getattr.to_string(), &container.pid().to_string(), &address, &length]), "0");
    std::hint::black_box(words)
}

/// CFG-34: with the flag no child starts with a nice value below 0, without it they inherit it.
#[test]
fn reset_on_fork() {
    for (flags, expected) in [(json!(["SCHED_FLAG_RESET_ON_FORK"]), "0"), (json!([]), "-5")] {
        let mut bundle = with_scheduler(json!({"policy": "SCHED_OTHER", "nice": -5, "flags": flags}));
        bundle.script("cut -d' ' -f19 /proc/self/stat; true");
        assert_eq!(bundle.output().trim(), expected, "{flags}");
    }
}

/// CFG-34: what this kernel has not been built with is an error that names the property.
#[test]
fn utilisation_clamps() {
    if Path::new("/proc/sys/kernel/sched_util_clamp_min").exists() {
        skip!("this kernel has utilisation clamps");
    }
    let bundle = with_scheduler(json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"]}));
    bundle.refused(&["process.scheduler: sched_setattr: EOPNOTSUPP"]);
}

/// In a user namespace, and for a user without privileges in it: it is the host's root who asks.
#[test]
fn in_a_user_namespace() {
    let mut bundle = with_scheduler(json!({"policy": "SCHED_OTHER", "nice": -10}));
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_RT", "priority": 2}));
    bundle.user_namespace(100_000, 65_536).set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let container = bundle.create();
    container.start();
    assert_eq!(seen(&container), (-10, 0, 0));
    assert_eq!(io_priority(&container), 1 << 13 | 2);
    container.stop();
}

fn io_priority(container: &Container) -> i64 {
    call(&[&libc::SYS_ioprio_get.to_string(), "1", &container.pid().to_string()]).parse().unwrap()
}

/// CFG-37, CFG-38: seen from the host and from inside.
#[test]
fn io_priorities() {
    for (class, level, expected) in [("RT", 0, 1 << 13), ("BE", 6, 2 << 13 | 6), ("IDLE", 7, 3 << 13 | 7)] {
        let mut bundle = Bundle::with_script("sleep 100");
        bundle.set("/process/ioPriority", json!({"class": format!("IOPRIO_CLASS_{class}"), "priority": level}));
        let container = bundle.create();
        container.start();
        assert_eq!(io_priority(&container), expected, "{class}");
        container.stop();
        drop(container);
        bundle.payload(&["syscall", &libc::SYS_ioprio_get.to_string(), "1", "0"]);
        assert_eq!(bundle.output().trim(), expected.to_string());
    }
}

/// CFG-31…CFG-35, CFG-37, CFG-38: what is wrong is refused before anything is made.
#[test]
fn wrong_values() {
    let mut bundle = Bundle::new();
    for (scheduler, text) in [
        (json!({}), "process.scheduler: missing field `policy`"),
        (json!({"policy": "SCHED_NOSUCH"}), "process.scheduler.policy: "),
        (json!({"policy": "SCHED_ISO"}), "process.scheduler.policy: not supported: SCHED_ISO"),
        (json!({"policy": "SCHED_OTHER", "nice": -21}), "process.scheduler.nice: "),
        (json!({"policy": "SCHED_OTHER", "priority": 1}), "process.scheduler.priority: "),
        (json!({"policy": "SCHED_FIFO", "priority": 0}), "process.scheduler.priority: "),
        (json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOSUCH"]}), "process.scheduler.flags[0]: "),
        (json!({"policy": "SCHED_OTHER", "runtime": 5000}), "process.scheduler.runtime: "),
        (json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 1}), "process.scheduler.deadline: "),
    ] {
        bundle.set("/process/scheduler", scheduler);
        bundle.refused(&[text]);
    }
    bundle.remove("/process/scheduler");
    for (priority, text) in [
        (json!({"priority": 1}), "process.ioPriority: missing field `class`"),
        (json!({"class": "IOPRIO_CLASS_BE"}), "process.ioPriority: missing field `priority`"),
        (json!({"class": "IOPRIO_CLASS_NOSUCH", "priority": 1}), "process.ioPriority.class: "),
        (json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority: "),
    ] {
        bundle.set("/process/ioPriority", priority);
        bundle.refused(&[text]);
    }
}
