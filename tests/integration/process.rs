//! `process`, `hostname`, `domainname` and `linux.sysctl`: what the program finds itself to be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::harness::runtime::program;
use crate::harness::{Bundle, Output, json, payload};

/// The value of a field of `/proc/self/status` that the program printed.
#[track_caller]
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

fn status(bundle: &mut Bundle) -> String {
    bundle.args(&["/bin/cat", "/proc/self/status"]).output()
}

/// `run` by a shell of the host that prepares its own state first.
fn run_after(bundle: &Bundle, preparation: &str, flags: &[&str]) -> Output {
    bundle.write();
    let mut shell = std::process::Command::new("/bin/sh");
    shell.arg("-c").arg(format!("{preparation}; exec \"$0\" \"$@\"")).arg(program()).stdin(std::process::Stdio::null());
    shell.arg("--root").arg(bundle.scratch().state_root()).arg("run").arg("--bundle").arg(&bundle.dir);
    shell.args(flags).arg(&bundle.id);
    bundle.finish(shell)
}

/// CFG-17: args[0] is looked up in the PATH of the container's environment, inside the container.
#[test]
fn path_lookup() {
    let mut bundle = Bundle::new();
    for (dir, mode) in [("first", 0o644), ("second", 0o755), ("third", 0o755)] {
        fs::create_dir(bundle.rootfs(dir)).unwrap();
        let tool = bundle.rootfs(dir).join("tool");
        fs::write(&tool, format!("#!/bin/sh\necho {dir} \"$0\" \"$@\"\n")).unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(mode)).unwrap();
    }
    bundle.args(&["tool", "a b", ""]);
    bundle.set("/process/env", json!(["PATH=/nowhere:/first:/second:/third"]));
    assert_eq!(bundle.output(), "second /second/tool a b \n");
    bundle.args(&["./tool"]).set("/process/cwd", json!("/third"));
    assert_eq!(bundle.output(), "third ./tool\n");
    // Only not executable: permission denied, not "not found".
    bundle.args(&["tool"]).set("/process/env", json!(["PATH=/nowhere:/first"]));
    bundle.run().failure(&["permission denied"]);
    bundle.set("/process/env", json!(["PATH=/nowhere"]));
    bundle.run().failure(&["executable file not found in $PATH"]);
}

/// The program may be a symbolic link that only makes sense inside.
#[test]
fn absolute_link_to_the_program() {
    let mut bundle = Bundle::new();
    symlink("/bin/busybox", bundle.rootfs("cat")).unwrap();
    bundle.args(&["/cat", "/proc/sys/kernel/hostname"]);
    assert_eq!(bundle.output(), "orlop\n");
}

/// CFG-15: the environment is exactly the configured one, also where it is odd.
#[test]
fn environment() {
    let mut bundle = Bundle::new();
    let env = ["PATH=/bin", "HOME=/", "EMPTY=", "odd", "TWICE=1", "TWICE=2", "SPACE=a b=c", "ÜMLAUT=ä"];
    bundle.args(&["/bin/cat", "/proc/self/environ"]).set("/process/env", json!(env));
    let output = run_after(&bundle, "export LEAK=host", &[]).success();
    let seen: Vec<_> = output.stdout.trim_end_matches('\0').split('\0').collect();
    assert_eq!(seen, env);
}

/// CFG-16: argv is exactly the configured one.
#[test]
fn arguments() {
    let mut bundle = Bundle::new();
    let args = ["/bin/cat", "/proc/self/cmdline"];
    bundle.args(&args);
    assert_eq!(bundle.output(), "/bin/cat\0/proc/self/cmdline\0");
    bundle.args(&[]);
    bundle.refused(&["process.args"]);
}

/// CFG-13, CFG-14: the working directory; it is needed, absolute, and a directory.
#[test]
fn working_directory() {
    let mut bundle = Bundle::with_script("pwd; echo $PWD");
    fs::create_dir_all(bundle.rootfs("some/where")).unwrap();
    symlink("/some", bundle.rootfs("link")).unwrap();
    bundle.set("/process/cwd", json!("/some/where"));
    assert_eq!(bundle.output().lines().next(), Some("/some/where"));
    bundle.set("/process/cwd", json!("/link/where")).args(&["/bin/busybox", "readlink", "/proc/self/cwd"]);
    assert_eq!(bundle.output(), "/some/where\n");
    bundle.set("/process/cwd", json!("some/where"));
    bundle.refused(&["process.cwd", "absolute"]);
    bundle.set("/process/cwd", json!("/bin/busybox"));
    bundle.run().failure(&["process.cwd", "not a directory"]);
    bundle.assert_clean();
    bundle.remove("/process/cwd");
    bundle.refused(&["process", "cwd"]);
}

/// CFG-42, CFG-43, CFG-45: ids and exactly the listed groups; no group of the host's is left.
#[test]
fn user() {
    let mut bundle = Bundle::new();
    let text = status(&mut bundle);
    assert_eq!((field(&text, "Uid"), field(&text, "Groups")), ("0\t0\t0\t0", ""));
    bundle.set("/process/user", json!({"uid": 1234, "gid": 4321, "additionalGids": [7, 5, 4_294_967_294_u32]}));
    let text = status(&mut bundle);
    assert_eq!(field(&text, "Uid"), "1234\t1234\t1234\t1234");
    assert_eq!(field(&text, "Gid"), "4321\t4321\t4321\t4321");
    assert_eq!(field(&text, "Groups"), "5 7 4294967294");
}

/// CVE-2016-3697: ids are numbers; the image's passwd has no say.
#[test]
fn passwd_is_not_read() {
    let mut bundle = Bundle::new();
    fs::write(bundle.rootfs("etc/passwd"), "1000:x:0:0::/:/bin/sh\n").unwrap();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(field(&status(&mut bundle), "Uid"), "1000\t1000\t1000\t1000");
}

/// CFG-42, CFG-43: uid and gid are needed, and fit.
#[test]
fn bad_user() {
    let mut bundle = Bundle::new();
    for bad in [
        json!({"uid": 1}),
        json!({"gid": 1}),
        json!({"uid": -1, "gid": 0}),
        json!({"uid": 4_294_967_296_u64, "gid": 0}),
        json!({"uid": "0", "gid": 0}),
    ] {
        bundle.set("/process/user", bad);
        bundle.refused(&["process.user"]);
    }
    bundle.remove("/process/user");
    bundle.refused(&["process", "user"]);
}

/// CFG-44: the umask is the configured one, or the caller's.
#[test]
fn umask() {
    let mut bundle = Bundle::with_script("umask");
    bundle.set("/process/user/umask", json!(0o027));
    assert_eq!(bundle.output(), "0027\n");
    bundle.set("/process/user/umask", json!(0));
    assert_eq!(bundle.output(), "0000\n");
    bundle.remove("/process/user/umask");
    assert_eq!(run_after(&bundle, "umask 0037", &[]).success().stdout, "0037\n");
}

/// CFG-44: whatever the caller's umask, what the runtime makes inside has its proper modes.
#[test]
fn umask_does_not_reach_what_is_made() {
    let mut bundle = Bundle::with_script("stat -c '%a %n' /made /made/deep /dev /dev/null /dev/pts /dev/shm");
    bundle.mount("/made/deep", "tmpfs", "tmpfs", &["mode=755"]);
    let text = run_after(&bundle, "umask 0777", &[]).success().stdout;
    assert_eq!(text, "755 /made\n755 /made/deep\n755 /dev\n666 /dev/null\n755 /dev/pts\n1777 /dev/shm\n");
}

/// CFG-18…CFG-22: every resource, soft and hard exactly.
#[test]
fn rlimits() {
    let mut bundle = Bundle::new();
    let limits = [
        ("AS", "Max address space", 1_u64 << 30, 1_u64 << 31),
        ("CORE", "Max core file size", 0, 0),
        ("CPU", "Max cpu time", 1000, 2000),
        ("DATA", "Max data size", 1 << 28, 1 << 29),
        ("FSIZE", "Max file size", 1_000_000, 2_000_000),
        ("LOCKS", "Max file locks", 10, 20),
        ("MEMLOCK", "Max locked memory", 8192, 65536),
        ("MSGQUEUE", "Max msgqueue size", 1000, 2000),
        ("NICE", "Max nice priority", 0, 0),
        ("NOFILE", "Max open files", 40, 50),
        ("NPROC", "Max processes", 500, 600),
        ("RSS", "Max resident set", 1 << 28, 1 << 29),
        ("RTPRIO", "Max realtime priority", 0, 0),
        ("RTTIME", "Max realtime timeout", 1000, 2000),
        ("SIGPENDING", "Max pending signals", 300, 400),
        ("STACK", "Max stack size", 1 << 20, 1 << 21),
    ];
    let list: Vec<_> = limits
        .iter()
        .map(|(name, _, soft, hard)| json!({"type": format!("RLIMIT_{name}"), "soft": soft, "hard": hard}))
        .collect();
    bundle.args(&["/bin/cat", "/proc/self/limits"]).set("/process/rlimits", json!(list));
    let text = bundle.output();
    for (name, line, soft, hard) in limits {
        let found = text.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        let words: Vec<_> = found.split_whitespace().take(2).collect();
        assert_eq!(words, [soft.to_string(), hard.to_string()], "{name}");
    }
}

/// CFG-21, CFG-22: the largest value means no limit.
#[test]
fn unlimited() {
    let mut bundle = Bundle::new();
    let limit = json!({"type": "RLIMIT_FSIZE", "soft": u64::MAX, "hard": u64::MAX});
    bundle.args(&["/bin/cat", "/proc/self/limits"]).set("/process/rlimits", json!([limit]));
    let text = bundle.output();
    let line = text.lines().find(|line| line.starts_with("Max file size")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("unlimited"), "{text}");
}

/// Limits are the program's: they do not break what the runtime still has to do.
#[test]
fn small_rlimits() {
    let mut bundle = Bundle::with_script("echo ran");
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    for (name, value) in [
        ("AS", 1 << 30),
        ("NOFILE", 4),
        ("STACK", 1 << 17),
        ("DATA", 1 << 20),
        ("NPROC", 1),
        ("CORE", 0),
        ("MEMLOCK", 0),
        ("FSIZE", 4096),
    ] {
        bundle.set("/process/rlimits", json!([{"type": format!("RLIMIT_{name}"), "soft": value, "hard": value}]));
        let output = bundle.run();
        assert_eq!((output.code, &*output.stdout), (0, "ran\n"), "{name}: {}", output.stderr);
    }
}

/// CFG-18, CFG-19, CFG-21…CFG-23: unknown, doubled, incomplete and inverted limits are refused.
#[test]
fn bad_rlimits() {
    let mut bundle = Bundle::new();
    let good = json!({"type": "RLIMIT_CORE", "soft": 0, "hard": 0});
    for bad in [
        json!({"type": "RLIMIT_TEST", "soft": 0, "hard": 0}),
        json!({"type": "CORE", "soft": 0, "hard": 0}),
        json!({"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}),
        json!({"type": "RLIMIT_NOFILE", "soft": 2}),
        json!({"type": "RLIMIT_NOFILE", "hard": 2}),
        json!({"soft": 1, "hard": 2}),
        good.clone(),
    ] {
        bundle.set("/process/rlimits", json!([good, bad]));
        bundle.refused(&["process.rlimits[1]"]);
    }
}

/// A limit above the hard one of a runtime without CAP_SYS_RESOURCE fails, naming the property.
#[test]
fn rlimit_without_permission() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = u64::from_str_radix(field(&status, "CapEff"), 16).unwrap();
    if effective & (1 << 24) != 0 {
        skip!("the runtime has CAP_SYS_RESOURCE here");
    }
    let mut bundle = Bundle::new();
    bundle.set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 1_000_000, "hard": 1_000_000}]));
    bundle.refused(&["process.rlimits[0]", "operation not permitted"]);
}

const SETS: [(&str, &str); 5] = [
    ("inheritable", "CapInh"),
    ("permitted", "CapPrm"),
    ("effective", "CapEff"),
    ("bounding", "CapBnd"),
    ("ambient", "CapAmb"),
];

#[track_caller]
fn assert_sets(bundle: &mut Bundle, expected: [u64; 5]) {
    let text = status(bundle);
    for ((name, line), bits) in SETS.iter().zip(expected) {
        assert_eq!(u64::from_str_radix(field(&text, line), 16).unwrap(), bits, "{name}");
    }
}

const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const SETPCAP: u64 = 1 << 8;
const NET_RAW: u64 = 1 << 13;
const SYS_CHROOT: u64 = 1 << 18;

/// CFG-27: the five sets are exactly what was listed, for a root and for another user.
#[test]
fn capability_sets() {
    let mut bundle = Bundle::new();
    let capabilities = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_SETPCAP"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_NET_RAW"]
    });
    bundle.set("/process/capabilities", capabilities).set("/process/noNewPrivileges", json!(false));
    // Executing as root gives permitted = effective = inheritable | bounding (capabilities(7)).
    let bounding = CHOWN | KILL | NET_RAW | SYS_CHROOT | SETPCAP;
    assert_sets(&mut bundle, [KILL | NET_RAW, bounding, bounding, bounding, NET_RAW]);
    // Executing as another user leaves what is ambient.
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_sets(&mut bundle, [KILL | NET_RAW, NET_RAW, NET_RAW, bounding, NET_RAW]);
}

/// CFG-27: nothing listed is nothing; the inheritable set is empty unless listed (CVE-2022-29162).
#[test]
fn no_capabilities() {
    let mut bundle = Bundle::new();
    bundle.capabilities(&["CAP_KILL"]);
    assert_sets(&mut bundle, [0, KILL, KILL, KILL, 0]);
    bundle.set("/process/capabilities", json!({}));
    assert_sets(&mut bundle, [0, 0, 0, 0, 0]);
    bundle.remove("/process/capabilities");
    assert_sets(&mut bundle, [0, 0, 0, 0, 0]);
    bundle.capabilities(&["CAP_KILL"]).set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_sets(&mut bundle, [0, 0, 0, KILL, 0]);
}

/// CFG-27: every capability that the kernel has and the runtime holds, in every set.
#[test]
fn all_capabilities() {
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let held = u64::from_str_radix(field(&own, "CapBnd"), 16).unwrap();
    let names: Vec<_> =
        caps::all().into_iter().filter(|cap| held & cap.bitmask() != 0).map(|cap| cap.to_string()).collect();
    let mut bundle = Bundle::new();
    let set = json!(names);
    bundle.set(
        "/process/capabilities",
        json!({"bounding": set, "permitted": set, "effective": set, "inheritable": set, "ambient": set}),
    );
    let mask = caps::all().into_iter().map(|cap| cap.bitmask()).fold(0, |all, bit| all | bit) & held;
    assert_sets(&mut bundle, [mask; 5]);
}

/// CFG-25, CFG-26: an unknown capability is a warning that names it, no failure.
#[test]
fn unknown_capability() {
    let mut bundle = Bundle::new();
    bundle.capabilities(&["CAP_KILL", "CAP_NO_SUCH"]).args(&["/bin/cat", "/proc/self/status"]);
    let output = bundle.run().success();
    assert_eq!(field(&output.stdout, "CapEff"), "0000000000000020");
    assert!(output.stderr.contains("CAP_NO_SUCH"), "no warning: {:?}", output.stderr);
}

/// CFG-25, CFG-26: neither is one that the runtime does not hold, or one that cannot be ambient.
#[test]
fn capability_that_cannot_be_granted() {
    let mut bundle = Bundle::new();
    bundle.capabilities(&["CAP_KILL"]).set("/process/capabilities/ambient", json!(["CAP_KILL"]));
    bundle.args(&["/bin/cat", "/proc/self/status"]);
    let output = bundle.run().success();
    assert_eq!(field(&output.stdout, "CapAmb"), "0000000000000000");
    assert!(output.stderr.contains("CAP_KILL"), "no warning: {:?}", output.stderr);
}

/// CFG-28: noNewPrivileges, or not.
#[test]
fn no_new_privileges() {
    let mut bundle = Bundle::new();
    bundle.set("/process/noNewPrivileges", json!(true));
    assert_eq!(field(&status(&mut bundle), "NoNewPrivs"), "1");
    bundle.set("/process/noNewPrivileges", json!(false));
    assert_eq!(field(&status(&mut bundle), "NoNewPrivs"), "0");
    bundle.remove("/process/noNewPrivileges");
    assert_eq!(field(&status(&mut bundle), "NoNewPrivs"), "0");
}

/// CFG-29, CFG-30: the OOM score adjustment is set, or not changed.
#[test]
fn oom_score_adj() {
    let mut bundle = Bundle::new();
    bundle.args(&["/bin/cat", "/proc/self/oom_score_adj"]).set("/process/oomScoreAdj", json!(567));
    assert_eq!(bundle.output(), "567\n");
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(bundle.output(), "567\n");
    bundle.remove("/process/oomScoreAdj");
    assert_eq!(run_after(&bundle, "echo 321 > /proc/self/oom_score_adj", &[]).success().stdout, "321\n");
    bundle.set("/process/oomScoreAdj", json!(1001));
    bundle.refused(&["process.oomScoreAdj"]);
}

/// LNX-148, LNX-149: a 32-bit personality; LNX-150: no flags, no other domain.
#[test]
fn personality() {
    let mut bundle = Bundle::with_script("uname -m; cat /proc/self/personality");
    bundle.set("/linux/personality", json!({"domain": "LINUX32"}));
    let text = bundle.output();
    assert!(["i686", "i386", "armv8l"].contains(&text.lines().next().unwrap()), "{text}");
    assert_eq!(text.lines().nth(1), Some("00000008"));
    bundle.set("/linux/personality", json!({"domain": "LINUX"}));
    assert!(bundle.output().ends_with("00000000\n"));
    bundle.set("/linux/personality", json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}));
    bundle.refused(&["linux.personality"]);
    bundle.set("/linux/personality", json!({"domain": "BSD"}));
    bundle.refused(&["linux.personality", "BSD"]);
    bundle.set("/linux/personality", json!({}));
    bundle.refused(&["linux.personality", "domain"]);
}

/// CFG-46, CFG-47: both names, set in the container and nowhere else.
#[test]
fn host_and_domain_name() {
    let names =
        || ["hostname", "domainname"].map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap());
    let before = names();
    let mut bundle = Bundle::with_script("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname");
    bundle.set("/hostname", json!("inner.example")).set("/domainname", json!("some.domain"));
    assert_eq!(bundle.output(), "inner.example\nsome.domain\n");
    assert_eq!(names(), before);
}

/// CFG-46, CFG-47: without a uts namespace of its own, the container must not rename the host.
#[test]
fn names_need_a_uts_namespace() {
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut bundle = Bundle::new();
    bundle.share("uts");
    bundle.refused(&["hostname"]);
    bundle.remove("/hostname").set("/domainname", json!("other"));
    bundle.refused(&["domainname"]);
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
}

/// LNX-125: sysctls of the network, ipc and uts namespaces, in either spelling.
#[test]
fn sysctl() {
    let mut bundle = Bundle::with_script(
        "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/conf/all/forwarding kernel/msgmax fs/mqueue/msg_max kernel/shm_rmid_forced",
    );
    let before = fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    bundle.set("/linux/sysctl", json!({}));
    for (key, value) in [
        ("net.ipv4.ip_forward", "1"),
        ("net/ipv4/conf/all/forwarding", "1"),
        ("kernel.msgmax", "4321"),
        ("fs.mqueue.msg_max", "77"),
        ("kernel.shm_rmid_forced", "1"),
    ] {
        bundle.config["linux"]["sysctl"][key] = json!(value);
    }
    // The mount of /sys is read-only; the one of /proc is not an obstacle even when it is.
    bundle.set("/linux/readonlyPaths", json!(["/proc/sys"]));
    assert_eq!(bundle.output(), "1\n1\n4321\n77\n1\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
}

/// LNX-125: a /proc of the configuration's that is read-only, or shows processes alone, is no hindrance.
#[test]
fn sysctl_with_a_limited_proc() {
    for option in ["ro", "subset=pid"] {
        let mut bundle = Bundle::with_script("hostname; mount -t proc proc /mnt; cat /mnt/sys/kernel/shmmni");
        bundle.set("/linux/sysctl", json!({"kernel.shmmni": "77"})).capabilities(&["CAP_SYS_ADMIN"]);
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let proc = mounts.iter_mut().find(|mount| mount["type"] == "proc").unwrap();
        proc["options"] = json!([option]);
        for list in ["maskedPaths", "readonlyPaths"] {
            bundle.set(&format!("/linux/{list}"), json!([]));
        }
        fs::create_dir_all(bundle.rootfs("mnt")).unwrap();
        assert_eq!(bundle.output().lines().last(), Some("77"), "{option}");
    }
}

/// LNX-125: sysctls without a /proc mount in the container.
#[test]
fn sysctl_without_proc() {
    let mut bundle = Bundle::with_script("mount -t proc proc /proc; cat /proc/sys/net/ipv4/ip_forward");
    bundle.config["mounts"].as_array_mut().unwrap().remove(0);
    bundle.capabilities(&["CAP_SYS_ADMIN"]).set("/process/noNewPrivileges", json!(false));
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    assert_eq!(bundle.output(), "1\n");
}

/// LNX-125: what would change the host is refused, and so is what does not exist.
#[test]
fn bad_sysctls() {
    let swappiness = fs::read_to_string("/proc/sys/vm/swappiness").unwrap();
    let mut bundle = Bundle::new();
    for key in [
        "vm.swappiness",
        "kernel.core_pattern",
        "fs.file-max",
        "net.ipv4.no_such",
        "net/../vm/swappiness",
        "net.ipv4.../../vm/swappiness",
        "/proc/sys/vm/swappiness",
        "",
    ] {
        bundle.set("/linux/sysctl", json!({key: "1"}));
        bundle.refused(&["linux.sysctl", key]);
    }
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "not a number"}));
    bundle.refused(&["linux.sysctl", "net.ipv4.ip_forward", "invalid argument"]);
    assert_eq!(fs::read_to_string("/proc/sys/vm/swappiness").unwrap(), swappiness);
}

/// LNX-125: a namespaced sysctl, while the namespace is the host's.
#[test]
fn sysctl_of_a_shared_namespace() {
    for (kind, key) in [
        ("network", "net.ipv4.ip_forward"),
        ("ipc", "kernel.msgmax"),
        ("ipc", "fs.mqueue.msg_max"),
        ("uts", "kernel.domainname"),
    ] {
        let mut bundle = Bundle::new();
        bundle.share(kind);
        if kind == "uts" {
            bundle.remove("/hostname");
        }
        bundle.set("/linux/sysctl", json!({key: "1"}));
        bundle.refused(&["linux.sysctl", key]);
    }
}

/// Only the standard descriptors are open in the program, though the caller has more.
#[test]
fn descriptors_are_closed() {
    let mut bundle = Bundle::new();
    bundle.payload(&["fds"]);
    let output = run_after(&bundle, "exec 3</ 4</dev/null 9>/dev/null", &[]).success();
    assert_eq!(output.stdout, "0 1 2\n");
}

/// `--preserve-fds` keeps that many descriptors from 3 on, and no other.
#[test]
fn preserved_descriptors() {
    let mut bundle = Bundle::new();
    bundle.payload(&["fds"]);
    let output =
        run_after(&bundle, "exec 3</dev/null 4</dev/null 5</dev/null 9>/dev/null", &["--preserve-fds", "2"]).success();
    assert_eq!(output.stdout, "0 1 2 3 4\n");
    bundle.script("cat <&3; echo to the host >&4");
    let (input, result) = (bundle.file("input"), bundle.file("result"));
    fs::write(&input, "from the host").unwrap();
    let preparation = format!("exec 3<{} 4>{}", input.display(), result.display());
    let output = run_after(&bundle, &preparation, &["--preserve-fds=2"]).success();
    assert_eq!(output.stdout, "from the host");
    assert_eq!(fs::read_to_string(&result).unwrap(), "to the host\n");
    run_after(&bundle, "exec 3</dev/null 4<&-", &["--preserve-fds=2"]).failure(&["descriptor 4 is not open"]);
}

/// Signals that the caller ignores are not ignored in the program, and none is blocked.
#[test]
fn signal_dispositions() {
    let mut bundle = Bundle::new();
    bundle.args(&["/bin/cat", "/proc/self/status"]);
    let text = run_after(&bundle, "trap '' USR1 HUP PIPE INT TERM", &[]).success().stdout;
    assert_eq!(field(&text, "SigBlk"), "0000000000000000");
    assert_eq!(field(&text, "SigIgn"), "0000000000000000");
}

/// A session keyring of its own, unless `--no-new-keyring`.
#[test]
fn keyring() {
    let get = [libc::SYS_keyctl.to_string(), "0".into(), "-3".into(), "0".into()];
    let mut bundle = Bundle::new();
    bundle.payload(&["syscall", &get[0], &get[1], &get[2], &get[3]]);
    let host = payload::call(&get.each_ref().map(String::as_str));
    let inside = bundle.output();
    assert!(inside.trim().parse::<i64>().unwrap() > 0, "{inside}");
    assert_ne!(inside.trim(), host);
    assert_eq!(bundle.run_with(&["--no-new-keyring"]).success().stdout.trim(), host);
}

/// A profile of a security module that this machine does not have is refused.
#[test]
fn security_modules() {
    let mut bundle = Bundle::new();
    if !fs::exists("/sys/kernel/security/apparmor").unwrap() {
        bundle.set("/process/apparmorProfile", json!("no-such-profile"));
        bundle.refused(&["process.apparmorProfile"]);
        bundle.remove("/process/apparmorProfile");
    }
    if !fs::exists("/sys/fs/selinux").unwrap() {
        bundle.set("/process/selinuxLabel", json!("system_u:system_r:container_t:s0"));
        bundle.refused(&["process.selinuxLabel"]);
    }
}

/// Whatever state the caller is in, the container runs, hooks too, and its status is known.
#[test]
fn odd_callers() {
    let mut bundle = Bundle::with_script("echo ran; exit 3");
    bundle.hook("createRuntime", "exit 0").hook("poststop", "exit 0");
    bundle.user_namespace(100_000, 65536);
    for preparation in [
        "trap '' CHLD",
        "trap '' PIPE HUP TERM",
        "ulimit -S -n 64",
        "ulimit -c 0",
        "cd /proc/self",
        "umask 0777",
        "ulimit -S -s 256",
    ] {
        let output = run_after(&bundle, preparation, &[]);
        assert_eq!((output.code, &*output.stdout), (3, "ran\n"), "{preparation}: {}", output.stderr);
        bundle.assert_clean();
    }
}

/// A caller whose working directory is gone can give absolute paths.
#[test]
fn vanished_working_directory() {
    let bundle = Bundle::with_script("pwd");
    let gone = bundle.file("gone");
    fs::create_dir(&gone).unwrap();
    let preparation = format!("cd {0} && rmdir {0}", gone.display());
    assert_eq!(run_after(&bundle, &preparation, &[]).success().stdout, "/\n");
}
