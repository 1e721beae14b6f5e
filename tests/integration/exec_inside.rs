//! `exec`: where the process is: namespaces, cgroups, root, session keyring; and under what filter.

use std::fs;
use std::path::Path;

use crate::exec::{Added, idle, start};
use crate::harness::cgroup;
use crate::harness::{Bundle, Container, field, host, json};

const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// A process beside init, and its pid for the host.
fn added(bundle: &Bundle, container: &Container, flags: &[&str]) -> Added {
    Added::new(bundle, container, flags, &["sleep", "1000"])
}

#[track_caller]
fn assert_beside_init(bundle: &Bundle, container: &Container) {
    let added = added(bundle, container, &[]);
    let link = |name: &str| fs::read_link(format!("/proc/{}/{name}", added.0)).unwrap().to_str().unwrap().to_owned();
    for name in NAMESPACES.iter().filter(|name| Path::new("/proc/self/ns").join(name).exists()) {
        let name = format!("ns/{name}");
        assert_eq!(link(&name), container.link(&name));
    }
    assert_eq!(link("root"), container.link("root"));
    for controller in cgroup::in_use() {
        assert_eq!(cgroup::of(added.0, controller), cgroup::of(container.pid(), controller), "{controller}");
    }
    // As seen from inside.
    let script = "for kind in ipc mnt net pid user uts; do readlink /proc/self/ns/$kind; done";
    let inside = container.exec_script(&[], script);
    let outside = ["ipc", "mnt", "net", "pid", "user", "uts"].map(|kind| container.link(&format!("ns/{kind}")));
    assert_eq!(inside.lines().collect::<Vec<_>>(), outside);
}

#[test]
fn namespaces_and_cgroups() {
    let mut bundle = idle();
    bundle.namespace("cgroup");
    assert_beside_init(&bundle, &start(&bundle));
}

#[test]
fn in_a_time_namespace() {
    if !Path::new("/proc/self/ns/time").exists() {
        skip!("this kernel has no time namespaces");
    }
    let mut bundle = idle();
    bundle.namespace("time").set("/linux/timeOffsets", json!({"boottime": {"secs": 100_000_000, "nanosecs": 0}}));
    let container = start(&bundle);
    assert_beside_init(&bundle, &container);
    let uptime = container.exec_script(&[], "cut -d. -f1 /proc/uptime");
    assert!(uptime.trim().parse::<u64>().unwrap() > 100_000_000, "{uptime}");
}

#[test]
fn in_a_user_namespace() {
    let mut bundle = idle();
    bundle.user_namespace(100_000, 65536).namespace("cgroup");
    let container = start(&bundle);
    assert_beside_init(&bundle, &container);
    assert_eq!(container.exec_script(&[], "id -u; id -g; cat /proc/self/uid_map").split_whitespace().count(), 5);
    let status = container.exec(&["-u", "7:8"], &["cat", "/proc/self/status"]).success().stdout;
    assert_eq!((field(&status, "Uid"), field(&status, "Gid")), ("7\t7\t7\t7", "8\t8\t8\t8"));
    let caps = container.exec(&["--cap", "CAP_SYS_ADMIN"], &["cat", "/proc/self/status"]).success().stdout;
    assert_eq!(u64::from_str_radix(field(&caps, "CapEff"), 16).unwrap() >> 21 & 1, 1);
}

/// Whatever is shared with the host is the host's for both.
#[test]
fn with_few_namespaces() {
    let mut bundle = idle();
    bundle.share("pid").share("network").share("ipc").share("uts");
    bundle.remove("/hostname");
    assert_beside_init(&bundle, &start(&bundle));
}

/// Without a mount namespace init has called chroot, and so does whoever joins it.
#[test]
fn without_a_mount_namespace() {
    let mut bundle = idle();
    bundle.share("mount").set("/mounts", json!([]));
    host::unmount(bundle.tag());
    let container = start(&bundle);
    let root = container.exec(&[], &["ls", "/"]).success().stdout;
    assert!(root.contains("tmp") && !root.contains("boot") && !root.contains("home"), "{root}");
}

/// `--no-pivot` moves the root over the mount namespace's.
#[test]
fn without_pivot_root() {
    let bundle = idle();
    let container = bundle.create_with(&["--no-pivot"]);
    container.start();
    assert_eq!(container.exec_script(&[], "ls /; pwd").lines().last(), Some("/"));
    assert!(!container.exec_script(&[], "ls /").contains("home"));
}

/// `--cgroup`: below the container's, and nowhere else.
#[test]
fn sub_cgroup() {
    let bundle = idle();
    let container = start(&bundle);
    let own = bundle.config["linux"]["cgroupsPath"].as_str().unwrap().to_owned();
    let dirs: Vec<_> = cgroup::in_use().map(|controller| cgroup::dir(controller, &own)).collect();
    let make = |name: &str| dirs.iter().for_each(|dir| fs::create_dir_all(dir.join(name)).unwrap());
    make("sub/below");
    for dir in &dirs {
        // Version 1's take no process before they have these; in version 2 the new ones have no such files.
        for name in ["cpuset.cpus", "cpuset.mems"].iter().filter(|name| dir.join("sub").join(name).exists()) {
            for sub in ["sub", "sub/below"] {
                fs::write(dir.join(sub).join(name), fs::read(dir.join(name)).unwrap()).unwrap();
            }
        }
    }
    for (flag, path) in [("sub", "sub"), ("/sub/below", "sub/below"), ("sub/../sub", "sub"), ("/", "")] {
        let added = added(&bundle, &container, &["--cgroup", flag]);
        for controller in cgroup::in_use() {
            let expected = format!("{own}/{path}");
            assert_eq!(cgroup::of(added.0, controller), expected.trim_end_matches('/'), "{flag}, {controller}");
        }
    }
    if !cgroup::is_v2() {
        let added = added(&bundle, &container, &["--cgroup", "memory,pids:sub", "--cgroup", "cpu:sub/below"]);
        assert_eq!(cgroup::of(added.0, "memory"), format!("{own}/sub"));
        assert_eq!(cgroup::of(added.0, "pids"), format!("{own}/sub"));
        assert_eq!(cgroup::of(added.0, "cpu"), format!("{own}/sub/below"));
        assert_eq!(cgroup::of(added.0, "freezer"), own);
        container.exec(&["--cgroup", "nosuch:sub"], &["true"]).failure(&["nosuch"]);
        container.exec(&["--cgroup", "sub", "--cgroup", "cpu:sub"], &["true"]).failure(&["--cgroup"]);
    }
    // A sibling whose name begins with the container's.
    let sibling = format!("{own}-beside");
    cgroup::in_use().for_each(|controller| fs::create_dir_all(cgroup::dir(controller, &sibling)).unwrap());
    for path in ["..", "../..", &format!("..{sibling}"), "nosuch"] {
        container.exec(&["--cgroup", path], &["true"]).failure(&["below"]);
    }
    cgroup::in_use().for_each(|controller| fs::remove_dir(cgroup::dir(controller, &sibling)).unwrap());
}

/// v2: a container whose init has moved below its own cgroup, and passes controllers on there, takes
/// no process in itself.
#[test]
fn beside_an_init_that_has_moved() {
    if !cgroup::is_v2() {
        skip!("cgroup v1 has no such rule");
    }
    let mut bundle = Bundle::with_script(
        "mkdir /sys/fs/cgroup/below; echo $$ > /sys/fs/cgroup/below/cgroup.procs; \
         echo +pids > /sys/fs/cgroup/cgroup.subtree_control && echo moved; exec sleep 1000",
    );
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw", "nosuid", "noexec", "nodev"]);
    let container = bundle.create();
    container.start().wait_output("moved");
    let added = added(&bundle, &container, &[]);
    assert_eq!(cgroup::of(added.0, ""), cgroup::of(container.pid(), ""));
    assert!(cgroup::of(added.0, "").ends_with("/below"));
}

/// The configured filter holds for what is added, too.
#[test]
fn seccomp() {
    for no_new_privileges in [true, false] {
        let mut bundle = idle();
        bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
        let denied = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]);
        bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": denied}));
        let container = start(&bundle);
        let status = container.exec(&[], &["grep", "Seccomp:", "/proc/self/status"]).success().stdout;
        assert_eq!(status, "Seccomp:\t2\n");
        // EOPNOTSUPP, which nothing else would give.
        container.exec(&[], &["mkdir", "/tmp/new"]).failure(&["not supported"]);
        container.exec(&["-u", "1000", "--cwd", "/tmp"], &["mkdir", "new"]).failure(&["not supported"]);
    }
}

/// Both are in the session keyring that the container has, if it has one.
#[test]
fn session_keyring() {
    const KEYCTL_GET_KEYRING_ID: [&str; 6] = ["/payload", "syscall", "250", "0", "-3", "0"];
    let mut bundle = Bundle::with_script("/payload syscall 250 0 -3 0; exec sleep 1000");
    bundle.bind_payload();
    for flags in [&[][..], &["--no-new-keyring"]] {
        let container = bundle.create_with(flags);
        container.start();
        let own = container.wait_output("\n");
        let added = container.exec(&[], &KEYCTL_GET_KEYRING_ID).success().stdout;
        let callers = crate::harness::payload::call(&["250", "0", "-3", "0"]);
        assert_eq!(own, added);
        assert_eq!(own.trim() == callers, !flags.is_empty(), "{own} {callers}");
    }
}
