//! `linux.seccomp` (config-linux.md).

use crate::harness::{Bundle, Value, json};

/// Runs `lseek(-1, a, b)` inside under a filter: `EBADF` where the filter lets it pass.
fn lseek(bundle: &mut Bundle, seccomp: Value, a: i64, b: i64) -> String {
    let number = libc::SYS_lseek.to_string();
    bundle.payload(&["syscall", &number, "-1", &a.to_string(), &b.to_string()]);
    bundle.set("/linux/seccomp", seccomp);
    let output = bundle.run();
    // The next call binds the helper again.
    bundle.config["mounts"].as_array_mut().unwrap().pop();
    match output.code {
        0 => output.stdout.trim().to_owned(),
        code => format!("exit {code}"),
    }
}

fn rule(action: &str) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["lseek"], "action": action}]})
}

/// LNX-138: what each action does to the call, or to the process.
#[test]
fn actions() {
    let mut bundle = Bundle::new();
    for (action, expected) in [
        ("SCMP_ACT_ALLOW", "EBADF"),
        ("SCMP_ACT_LOG", "EBADF"),
        ("SCMP_ACT_ERRNO", "EPERM"),
        ("SCMP_ACT_TRACE", "ENOSYS"),
        ("SCMP_ACT_KILL", "exit 159"),
        ("SCMP_ACT_KILL_THREAD", "exit 159"),
        ("SCMP_ACT_KILL_PROCESS", "exit 159"),
        ("SCMP_ACT_TRAP", "exit 159"),
    ] {
        assert_eq!(lseek(&mut bundle, rule(action), 0, 0), expected, "{action}");
    }
}

/// crun's annotation: names that libseccomp does not know are an error.
#[test]
fn unknown_names_by_annotation() {
    let mut bundle = Bundle::new();
    let mut seccomp = rule("SCMP_ACT_ERRNO");
    seccomp["syscalls"][0]["names"] = json!(["lseek", "levitate"]);
    bundle.set("/linux/seccomp", seccomp);
    // The second time the filter is in the cache.
    for _ in 0..2 {
        for value in ["1", "true", ""] {
            bundle.set("/annotations", json!({"run.oci.seccomp_fail_unknown_syscall": value}));
            bundle.refused(&["linux.seccomp.syscalls: ", "unknown system calls", "levitate"]);
        }
        bundle.set("/annotations", json!({"run.oci.seccomp_fail_unknown_syscall": "0"}));
        let output = bundle.run().success();
        assert!(output.stderr.contains("skipped: levitate"), "{}", output.stderr);
    }
}

/// LNX-139: the errno of a rule.
#[test]
fn errno_of_a_rule() {
    let mut bundle = Bundle::new();
    let mut seccomp = rule("SCMP_ACT_ERRNO");
    for (errno, name) in [(38, "ENOSYS"), (18, "EXDEV"), (1, "EPERM")] {
        seccomp["syscalls"][0]["errnoRet"] = json!(errno);
        assert_eq!(lseek(&mut bundle, seccomp.clone(), 0, 0), name);
    }
    // libseccomp's filters answer 0 as the call's success.
    seccomp["syscalls"][0]["errnoRet"] = json!(0);
    assert_eq!(lseek(&mut bundle, seccomp, 0, 0), "0");
}

/// Calls that busybox and the helper need, with none that only the runtime does.
const NEEDED: &[&str] = &[
    "access",
    "arch_prctl",
    "brk",
    "clone",
    "close",
    "connect",
    "dup",
    "dup2",
    "dup3",
    "epoll_create1",
    "execve",
    "exit",
    "exit_group",
    "faccessat",
    "fchdir",
    "fcntl",
    "fork",
    "fstat",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getrandom",
    "getrlimit",
    "gettid",
    "getuid",
    "ioctl",
    "lstat",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "pipe",
    "pipe2",
    "poll",
    "prctl",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_tid_address",
    "setgid",
    "setgroups",
    "setpgid",
    "setsid",
    "setuid",
    "sigaltstack",
    "socket",
    "stat",
    "statx",
    "tgkill",
    "uname",
    "vfork",
    "wait4",
    "write",
    "writev",
    "capset",
    "capget",
    "chdir",
    "accept4",
    "recvmsg",
    "recvfrom",
    "unlink",
    "getsockopt",
    "close_range",
    "setresuid",
    "setresgid",
];

fn allow_list(without: &[&str]) -> Value {
    let names: Vec<_> = NEEDED.iter().filter(|name| !without.contains(name)).collect();
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 18, "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]})
}

/// LNX-126, LNX-127: an allow-list; everything else gets the default errno.
#[test]
fn default_action() {
    let mut bundle = Bundle::new();
    assert_eq!(lseek(&mut bundle, allow_list(&[]), 0, 0), "EXDEV");
    let mut seccomp = allow_list(&[]);
    seccomp.as_object_mut().unwrap().remove("defaultErrnoRet");
    assert_eq!(lseek(&mut bundle, seccomp, 0, 0), "EPERM");
}

/// The result of a system call by its number, under a profile of an allow-list.
fn numbered(seccomp: &Value, number: i64) -> String {
    let mut bundle = Bundle::new();
    bundle.payload(&["syscall", &number.to_string(), "-1", "0", "0"]).set("/linux/seccomp", seccomp.clone());
    let output = bundle.run();
    if output.code == 0 { output.stdout.trim().to_owned() } else { format!("exit {}", output.code) }
}

/// A call that is newer than all that the profile names is answered as by an old kernel, so that C
/// libraries fall back; an old one that the profile does not name is forbidden.
#[test]
fn newer_than_the_profile() {
    let mut seccomp = allow_list(&[]);
    seccomp.as_object_mut().unwrap().remove("defaultErrnoRet");
    assert_eq!(numbered(&seccomp, libc::SYS_lseek), "EPERM");
    for number in [libc::SYS_close_range + 1, 460, 467, 5000] {
        assert_eq!(numbered(&seccomp, number), "ENOSYS", "{number}");
    }
    // Nothing is forbidden: the kernel itself answers.
    let log = json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]});
    assert_eq!(numbered(&log, libc::SYS_lseek), "EBADF");
}

/// The runtime gets by with what old profiles allow, whether the filter is loaded early (without
/// noNewPrivileges) or late.
#[test]
fn filter_does_not_break_the_runtime() {
    let without =
        ["getcwd", "close_range", "openat2", "faccessat2", "clone3", "rseq", "keyctl", "pidfd_open", "pivot_root"];
    for no_new_privileges in [true, false] {
        for uid in [0, 1000] {
            let mut bundle = Bundle::new();
            bundle.args(&["/bin/cat", "/proc/self/status"]).set("/linux/seccomp", allow_list(&without));
            bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            bundle.set("/process/user", json!({"uid": uid, "gid": uid}));
            let text = bundle.output();
            assert!(text.contains("Seccomp:\t2\n"), "{text}");
            assert!(text.contains(&format!("Uid:\t{uid}\t")), "{text}");
            assert!(
                text.contains(if uid == 0 { "CapEff:\t0000000020000420" } else { "CapEff:\t0000000000000000" }),
                "{text}"
            );
        }
    }
}

/// Under these profiles no program can be started, and under the first nobody could even report it.
#[test]
fn execve_is_refused() {
    let mut bundle = Bundle::new();
    for seccomp in [
        json!({"defaultAction": "SCMP_ACT_ERRNO"}),
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ERRNO"}]}),
    ] {
        for no_new_privileges in [true, false] {
            bundle.set("/linux/seccomp", seccomp.clone());
            bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            let container = bundle.create();
            container.try_start().failure(&["linux.seccomp: execve: EPERM: operation not permitted"]);
            container.try_delete(&["--force"]).success();
        }
    }
    bundle.assert_clean();
}

/// LNX-140: each operator, on a 64-bit argument: a value that matches and one that does not.
#[test]
fn operators() {
    let mut bundle = Bundle::new();
    let big = 1_i64 << 40;
    for (operator, value, second, matching, other) in [
        ("SCMP_CMP_NE", big, 0, 5, big),
        ("SCMP_CMP_LT", big, 0, big - 1, big),
        ("SCMP_CMP_LE", big, 0, big, big + 1),
        ("SCMP_CMP_EQ", big, 0, big, 0),
        ("SCMP_CMP_GE", big, 0, big, big - 1),
        ("SCMP_CMP_GT", big, 0, big + 1, big),
        ("SCMP_CMP_MASKED_EQ", 0xff, 0x12, 0x3412, 0x1234),
    ] {
        let mut seccomp = rule("SCMP_ACT_ERRNO");
        seccomp["syscalls"][0]["args"] = json!([{"index": 1, "value": value, "valueTwo": second, "op": operator}]);
        assert_eq!(lseek(&mut bundle, seccomp.clone(), matching, 0), "EPERM", "{operator} {matching}");
        assert_eq!(lseek(&mut bundle, seccomp, other, 0), "EBADF", "{operator} {other}");
    }
}

/// Several arguments must all match; several rules for one call are alternatives.
#[test]
fn combinations() {
    let mut bundle = Bundle::new();
    let equal = |index, value| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let mut both = rule("SCMP_ACT_ERRNO");
    both["syscalls"][0]["args"] = json!([equal(1, 7), equal(2, 8)]);
    assert_eq!(lseek(&mut bundle, both.clone(), 7, 8), "EPERM");
    assert_eq!(lseek(&mut bundle, both.clone(), 7, 9), "EBADF");
    let mut either = both;
    either["syscalls"] = json!([
        {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "args": [equal(1, 7)]},
        {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [equal(1, 9)]}
    ]);
    assert_eq!(lseek(&mut bundle, either.clone(), 7, 0), "EPERM");
    assert_eq!(lseek(&mut bundle, either.clone(), 9, 0), "ENOSYS");
    assert_eq!(lseek(&mut bundle, either, 8, 0), "EBADF");
}

/// LNX-129: the flags; LNX-128: further architectures.
#[test]
fn flags_and_architectures() {
    let mut bundle = Bundle::new();
    let mut seccomp = rule("SCMP_ACT_ERRNO");
    for flag in ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"] {
        seccomp["flags"] = json!([flag]);
        assert_eq!(lseek(&mut bundle, seccomp.clone(), 0, 0), "EPERM", "{flag}");
    }
    seccomp["flags"] = json!([]);
    seccomp["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(lseek(&mut bundle, seccomp, 0, 0), "EPERM");
    }
}

/// Unknown names of calls are skipped, with a warning in the log; the rest of the rule holds.
#[test]
fn unknown_calls() {
    let mut bundle = Bundle::new();
    let mut seccomp = rule("SCMP_ACT_ERRNO");
    seccomp["syscalls"][0]["names"] = json!(["no_such_call", "lseek"]);
    assert_eq!(lseek(&mut bundle, seccomp, 0, 0), "EPERM");
    bundle.script("exit 0").write();
    let log = bundle.file("log");
    let args = ["--debug", "--log", log.to_str().unwrap(), "run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id];
    bundle.command(&args).success();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("no_such_call"), "{text}");
}

/// No filter is no filter.
#[test]
fn none() {
    let mut bundle = Bundle::new();
    bundle.args(&["/bin/cat", "/proc/self/status"]);
    assert!(bundle.output().contains("Seccomp:\t0\n"));
}

/// The same profile again (from a cache, or not) gives the same filter; a changed one gives another.
#[test]
fn repeated() {
    let mut bundle = Bundle::new();
    for (errno, name) in [(38, "ENOSYS"), (38, "ENOSYS"), (18, "EXDEV"), (38, "ENOSYS")] {
        let mut seccomp = rule("SCMP_ACT_ERRNO");
        seccomp["syscalls"][0]["errnoRet"] = json!(errno);
        assert_eq!(lseek(&mut bundle, seccomp, 0, 0), name);
    }
}

/// LNX-126…LNX-129, LNX-136…LNX-140: what a profile must not say.
#[test]
fn bad_profiles() {
    let allow = "SCMP_ACT_ALLOW";
    let with_args = |args: Value| json!({"defaultAction": allow, "syscalls": [{"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "args": args}]});
    let mut bundle = Bundle::new();
    for (bad, word) in [
        (json!({}), "defaultAction"),
        (json!({"defaultAction": "SCMP_ACT_NOSUCH"}), "defaultAction"),
        (json!({"defaultAction": allow, "defaultErrnoRet": 1}), "defaultErrnoRet"),
        (json!({"defaultAction": allow, "architectures": ["SCMP_ARCH_NOSUCH"]}), "architectures"),
        (json!({"defaultAction": allow, "flags": ["SECCOMP_FILTER_FLAG_NOSUCH"]}), "flags"),
        (json!({"defaultAction": allow, "listenerMetadata": "x"}), "listenerMetadata"),
        (json!({"defaultAction": allow, "syscalls": [{"action": allow}]}), "names"),
        (json!({"defaultAction": allow, "syscalls": [{"names": [], "action": allow}]}), "names"),
        (json!({"defaultAction": allow, "syscalls": [{"names": ["lseek"]}]}), "action"),
        (json!({"defaultAction": allow, "syscalls": [{"names": ["lseek"], "action": "ERRNO"}]}), "action"),
        (
            json!({"defaultAction": allow, "syscalls": [{"names": ["lseek"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]}),
            "errnoRet",
        ),
        (with_args(json!([{"value": 1, "op": "SCMP_CMP_EQ"}])), "args"),
        (with_args(json!([{"index": 0, "op": "SCMP_CMP_EQ"}])), "args"),
        (with_args(json!([{"index": 0, "value": 1}])), "args"),
        (with_args(json!([{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}])), "args"),
        (with_args(json!([{"index": 0, "value": 1, "op": "SCMP_CMP_LIKE"}])), "args"),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "linux.seccomp"),
    ] {
        bundle.set("/linux/seccomp", bad.clone());
        let output = bundle.refused(&["linux.seccomp"]);
        assert!(output.stderr.contains(word), "{bad}: {}", output.stderr);
    }
}
