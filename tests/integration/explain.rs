//! `explain`: the plan in the order in which it is carried out, for people and programs, without carrying it out.

use crate::harness::{Bundle, Value, json};

#[track_caller]
fn steps(bundle: &Bundle, what: &str) -> Vec<Value> {
    let output = bundle.command(&["explain", "--format", "json", what]).success();
    serde_json::from_str(&output.stdout).unwrap()
}

/// Where the first step with these words is.
#[track_caller]
fn at(steps: &[Value], words: &str) -> usize {
    let found = steps.iter().position(|step| step["action"].as_str().unwrap().contains(words));
    found.unwrap_or_else(|| panic!("no {words:?} in {steps:#?}"))
}

fn busy() -> Bundle {
    let mut bundle = Bundle::with_script("exec sleep 60");
    bundle
        .hook("prestart", "true")
        .hook("poststop", "true")
        .mount("/data", "tmpfs", "tmpfs", &["nosuid", "ro", "size=1m"])
        .mount("/host", "none", "/usr", &["rbind", "rro", "rslave"])
        .set("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]))
        .set("/linux/resources/pids", json!({"limit": 77}))
        .set("/linux/sysctl", json!({"kernel.msgmax": "9000"}))
        .set("/linux/maskedPaths", json!(["/proc/kcore"]))
        .set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}),
        );
    bundle.write();
    bundle
}

#[test]
fn the_plan_in_order() {
    let bundle = busy();
    let steps = steps(&bundle, bundle.dir.to_str().unwrap());
    bundle.assert_clean();
    let order = [
        "config.json",
        "state.json",
        "clone3(NEWPID)",
        "pids.max: 77",
        "run /bin/sh",
        "SCMP_ACT_ERRNO for 2 system calls: mkdir, mkdirat",
        "unshare(NEWNS",
        "fsopen(tmpfs); fsconfig(source=tmpfs, size=1m); fsmount(RDONLY|NOSUID); move_mount -> /data",
        "open_tree(/usr, CLONE|RECURSIVE); mount_setattr(set RDONLY, RECURSIVE); move_mount -> /host; mount_setattr(Slave, RECURSIVE)",
        "mknod(/dev/null, c 1:3, 0666)",
        "write /proc/sys/kernel/msgmax: 9000",
        "cover /proc/kcore",
        "pivot_root",
        "setresuid(0)",
        "setrlimit(RLIMIT_CORE, 0, 0)",
        "seccomp(SET_MODE_FILTER)",
        "execve([\"/bin/sh\"",
        "kill what is left",
    ];
    let places: Vec<usize> = order.iter().map(|words| at(&steps, words)).collect();
    assert!(places.is_sorted(), "{places:?} in {steps:#?}");
    let pids = &steps[at(&steps, "pids.max")];
    assert_eq!(
        (&pids["property"], &pids["by"], &pids["phase"]),
        (&json!("linux.resources.pids.limit"), &json!("parent"), &json!("limits"))
    );
    assert_eq!(steps[at(&steps, "-> /data")]["by"], "init");
    assert_eq!(steps.last().unwrap()["property"], "hooks.poststop[0]");
}

/// Without privileges, and for people.
#[test]
fn a_plain_user_may_ask() {
    let bundle = busy();
    let mut command = bundle.prepare(&["explain", bundle.dir.to_str().unwrap()]);
    std::os::unix::process::CommandExt::uid(&mut command, 12_345);
    let output = bundle.finish(command).success();
    assert_eq!(output.stderr, "");
    assert!(output.stdout.starts_with("create, parent\n  configuration    read "), "{}", output.stdout);
    assert!(output.stdout.contains("create, init\n  namespaces       unshare("), "{}", output.stdout);
    assert!(output.stdout.contains("write /proc/sys/kernel/msgmax: 9000  # linux.sysctl\n"), "{}", output.stdout);
}

/// A container is explained by the configuration that it was created with.
#[test]
fn a_container_that_exists() {
    let mut bundle = busy();
    let container = bundle.create();
    bundle.set("/linux/resources/pids/limit", json!(88)).write();
    let steps = steps(&bundle, &container.id);
    at(&steps, "pids.max: 77");
    assert!(steps[at(&steps, "state.json")]["action"].as_str().unwrap().contains(&container.id));
    bundle.command(&["explain", "nosuch"]).failure(&["nosuch/config.json"]);
    bundle.set("/process/cwd", json!("x")).write();
    bundle.command(&["explain", bundle.dir.to_str().unwrap()]).failure(&["process.cwd"]);
}
