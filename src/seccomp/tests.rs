use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::{env, fs, process, thread};

use libseccomp::{ScmpArch, ScmpSyscall};
use nix::errno::Errno;
use serde_json::{Value, json};

use super::*;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const RISCV64: u32 = 0xc000_00f3;
const NATIVE: u32 = if cfg!(target_arch = "aarch64") { AARCH64 } else { X86_64 };

fn compile(profile: &Value) -> Result<Profile> {
    Profile::compile(&profile.to_string())
}

fn build(profile: &Value) -> Filter {
    compile(profile).unwrap().build().unwrap()
}

fn error(profile: &Value) -> String {
    compile(profile).unwrap_err().to_string()
}

fn number(name: &str) -> u32 {
    i32::from(ScmpSyscall::from_name(name).unwrap()) as u32
}

/// What the kernel would do: the instructions that libseccomp uses, on `struct seccomp_data`.
fn run(filter: &Filter, arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let mut data = Vec::from(number.to_ne_bytes());
    data.extend(arch.to_ne_bytes());
    data.extend([0; 8]);
    data.extend(args.map(u64::to_ne_bytes).as_flattened());
    let (mut accumulator, mut memory, mut at) = (0_u32, [0_u32; 16], 0_usize);
    loop {
        let sock_filter { code, jt, jf, k } = filter.program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => accumulator = u32::from_ne_bytes(data[k as usize..][..4].try_into().unwrap()),
            0x60 => accumulator = memory[k as usize],
            0x02 => memory[k as usize] = accumulator,
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x45 => at += jump(accumulator & k != 0),
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}

fn native(filter: &Filter, name: &str, args: [u64; 6]) -> u32 {
    run(filter, NATIVE, number(name), args)
}

fn bundle_profile() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/bundles/seccomp/config.json");
    let config: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    config["linux"]["seccomp"].clone()
}

/// Every number, against the names in the profile.
#[test]
fn a_whole_profile_allows_exactly_what_it_names() {
    let mut profile = bundle_profile();
    let syscalls = profile["syscalls"].as_array_mut().unwrap();
    syscalls.retain(|syscall| syscall["args"].is_null() && syscall["action"] == "SCMP_ACT_ALLOW");
    let names: Vec<_> = syscalls.iter().flat_map(|s| s["names"].as_array().unwrap()).cloned().collect();
    profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let filter = build(&profile);
    assert!(filter.program.len() > 100 && names.len() > 100);

    for (token, arch) in [(X86_64, ScmpArch::X8664), (I386, ScmpArch::X86)] {
        for number in 0..600 {
            let name = ScmpSyscall::from(number).get_name_by_arch(arch);
            // x86 reaches these through socketcall(2) and ipc(2) as well, whose numbers then share a fate.
            if matches!(name.as_deref(), Ok("socketcall" | "ipc")) {
                continue;
            }
            let last =
                names.iter().filter_map(|n| ScmpSyscall::from_name_by_arch(n.as_str()?, arch).ok()).map(i32::from);
            let expected = match name.as_ref().is_ok_and(|n| names.contains(&json!(n))) {
                true => ALLOW,
                false if number > last.max().unwrap() => ENOSYS,
                false => EPERM,
            };
            assert_eq!(run(&filter, token, number as u32, [0; 6]), expected, "{arch:?} {number} {name:?}");
        }
    }
    assert_eq!(run(&filter, RISCV64, 0, [0; 6]), KILL);
    // x32 was not listed.
    assert_eq!(run(&filter, X86_64, 0x4000_0000, [0; 6]), KILL);
}

/// Against libseccomp's own program: every number around those it names, and arguments around values.
#[test]
fn ranges_do_what_the_list_did() {
    let mut profile = bundle_profile();
    profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    for (name, op) in [("kill", "NE"), ("dup3", "LT"), ("lseek", "LE"), ("flock", "GE"), ("fcntl", "MASKED_EQ")] {
        profile["syscalls"].as_array_mut().unwrap().push(json!({"names": [name], "action": "SCMP_ACT_TRAP", "args": [
            {"index": 0, "value": 6, "valueTwo": 4, "op": format!("SCMP_CMP_{op}")},
            {"index": 1, "value": 0x1_0000_0003_u64, "op": "SCMP_CMP_EQ"}]}));
    }
    let whole = compile(&profile).unwrap();
    let theirs = Filter { flags: 0, program: whole.program().unwrap(), listener: None, unknown: vec![] };
    let ours = whole.build().unwrap();
    assert!(ours.program.len() * 3 < theirs.program.len() * 2, "{} {}", ours.program.len(), theirs.program.len());
    let arguments = [0, 4, 5, 6, 7, 0x1_0000_0003, 0x1_0000_0006, u64::MAX];
    let mut results = std::collections::BTreeSet::new();
    for arch in [X86_64, I386, AARCH64, 0, u32::MAX] {
        for number in (0..700).chain(0x4000_0000 - 2..0x4000_0000 + 700).chain([u32::MAX - 1, u32::MAX]) {
            for first in arguments {
                for second in arguments {
                    let args = [first, second, first, 0, second, 1];
                    let result = run(&ours, arch, number, args);
                    assert_eq!(result, run(&theirs, arch, number, args), "{arch:#x} {number} {args:?}");
                    results.insert(result);
                }
            }
        }
    }
    assert!(results.len() >= 4, "{results:x?}");
}

/// Programs that libseccomp never makes.
#[test]
fn what_is_not_understood_is_not_rewritten() {
    let load = |offset| sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let op = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    let ret = |k| op(0x06, k, 0, 0);
    let padding = [op(0x05, 0, 0, 0); 20];
    for start in [
        vec![load(0), op(0x54, 1, 0, 0), op(0x15, 1, 0, 1), ret(1)],
        vec![load(0), op(0x45, 1, 0, 1), ret(1)],
        vec![load(4), op(0x35, 7, 0, 1), ret(1)],
        vec![load(0), op(0x02, 0, 0, 0), op(0x60, 0, 0, 0), op(0x15, 1, 0, 1), ret(1)],
        vec![op(0x15, 0, 0, 1), ret(1)],
        vec![load(0), op(0x15, 0, 200, 1), ret(1)],
    ] {
        let program = [&start[..], &padding, &[ret(2)]].concat();
        assert!(ranges::rewrite(&program).is_none(), "{:?}", program[1].code);
    }
    let program = [&[load(0), op(0x15, 1, 0, 1), ret(1)][..], &padding, &[ret(2)]].concat();
    assert!(ranges::rewrite(&program).unwrap().len() < 10);
    assert!(ranges::rewrite(&[ret(1)]).is_none() && ranges::rewrite(&[]).is_none());
}

/// LNX-126, LNX-127, LNX-138, LNX-139
#[test]
fn actions() {
    for (action, errno, expected) in [
        ("SCMP_ACT_KILL", None, KILL),
        ("SCMP_ACT_KILL_THREAD", None, KILL),
        ("SCMP_ACT_KILL_PROCESS", None, 0x8000_0000),
        ("SCMP_ACT_TRAP", None, 0x0003_0000),
        ("SCMP_ACT_ERRNO", None, EPERM),
        ("SCMP_ACT_ERRNO", Some(38), 0x0005_0026),
        ("SCMP_ACT_ERRNO", Some(0), 0x0005_0000),
        ("SCMP_ACT_ERRNO", Some(4094), 0x0005_0ffe),
        ("SCMP_ACT_TRACE", None, 0x7ff0_0001),
        ("SCMP_ACT_TRACE", Some(65535), 0x7ff0_ffff),
        ("SCMP_ACT_LOG", None, 0x7ffc_0000),
        ("SCMP_ACT_ALLOW", None, ALLOW),
    ] {
        let other = if action == "SCMP_ACT_ALLOW" { "SCMP_ACT_KILL_PROCESS" } else { "SCMP_ACT_ALLOW" };
        let filter = build(&json!({"defaultAction": action, "defaultErrnoRet": errno,
            "syscalls": [{"names": ["statx"], "action": other}]}));
        assert_eq!(native(&filter, "write", [0; 6]), expected, "default {action} {errno:?}");
        let filter = build(&json!({"defaultAction": other,
            "syscalls": [{"names": ["write", "read"], "action": action, "errnoRet": errno}]}));
        assert_eq!(native(&filter, "read", [0; 6]), expected, "{action} {errno:?}");
        assert_ne!(native(&filter, "close", [0; 6]), expected, "{action} {errno:?}");
    }
}

/// LNX-140
#[test]
fn operators() {
    let big = 0x1_0000_0005_u64;
    for (op, value, two, holds, fails) in [
        ("SCMP_CMP_NE", 5, None, vec![4, big, 0], vec![5]),
        ("SCMP_CMP_LT", 5, None, vec![0, 4], vec![5, 6, big]),
        ("SCMP_CMP_LE", 5, None, vec![0, 5], vec![6, big]),
        ("SCMP_CMP_EQ", 5, None, vec![5], vec![4, 6, big]),
        ("SCMP_CMP_EQ", big, None, vec![big], vec![5, 0x2_0000_0005]),
        ("SCMP_CMP_GE", 5, None, vec![5, 6, big], vec![0, 4]),
        ("SCMP_CMP_GT", 5, None, vec![6, big], vec![0, 5]),
        ("SCMP_CMP_GT", big, None, vec![big + 1], vec![6, big]),
        ("SCMP_CMP_MASKED_EQ", 0x7e02_0000, None, vec![0x11, 0x100], vec![0x0002_0000, 0x1000_0011]),
        ("SCMP_CMP_MASKED_EQ", 0xff, Some(0x12), vec![0x12, 0x3412], vec![0x13, 0]),
    ] {
        for index in 0..6 {
            let filter = build(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mmap"],
                "action": "SCMP_ACT_ALLOW", "args": [{"index": index, "value": value, "valueTwo": two, "op": op}]}]}));
            let with = |argument| {
                let mut args = [0x77; 6];
                args[index] = argument;
                native(&filter, "mmap", args)
            };
            assert!(holds.iter().all(|&argument| with(argument) == ALLOW), "{op} {value:#x} [{index}]");
            assert!(fails.iter().all(|&argument| with(argument) == EPERM), "{op} {value:#x} [{index}]");
        }
    }
}

#[test]
fn conditions_on_different_arguments_all_hold_those_on_one_are_alternatives() {
    let equal = |index: u32, value: u32| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let rule = |args: &[Value]| {
        build(&json!({"defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": args}]}))
    };
    let both = rule(&[equal(0, 1), equal(2, 3)]);
    assert_eq!(native(&both, "socket", [1, 9, 3, 9, 9, 9]), ALLOW);
    assert_eq!(native(&both, "socket", [1, 9, 9, 9, 9, 9]), EPERM);
    let either = rule(&[equal(0, 1), equal(0, 2)]);
    for (argument, expected) in [(1, ALLOW), (2, ALLOW), (3, EPERM)] {
        assert_eq!(native(&either, "socket", [argument, 0, 0, 0, 0, 0]), expected);
    }
}

#[test]
fn rules_may_overlap_and_repeat() {
    let statx = json!({"names": ["statx", "statx"], "action": "SCMP_ACT_ALLOW"});
    let one = json!({"names": ["statx"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]});
    for syscalls in [json!([statx, statx]), json!([statx, one]), json!([one, statx]), json!([one, one, statx])] {
        let filter = build(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls}));
        assert_eq!(native(&filter, "statx", [7; 6]), ALLOW, "{syscalls}");
        assert_eq!(native(&filter, "write", [7; 6]), EPERM);
    }
    // A rule with the default action changes nothing; one without rules is a filter still.
    let filter = build(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls":
        [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}, {"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2}]}));
    assert_eq!([native(&filter, "read", [0; 6]), native(&filter, "write", [0; 6])], [EPERM, 0x0005_0002]);
    assert_eq!(native(&build(&json!({"defaultAction": "SCMP_ACT_ERRNO"})), "read", [0; 6]), EPERM);
    assert_eq!(native(&build(&json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": null})), "read", [0; 6]), ALLOW);
}

/// As runc: ENOSYS above the highest number that the profile names, whatever it says of it.
#[test]
fn what_is_newer_than_the_profile_does_not_exist() {
    let with = |default: &str, architectures: &[&str]| {
        let rules = json!([{"names": ["statx", "no_such_call", "clone3"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["read", "faccessat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]);
        build(&json!({"defaultAction": default, "architectures": architectures, "listenerPath": "/agent",
            "syscalls": rules}))
    };
    for (default, known, newer) in [
        ("SCMP_ACT_ERRNO", EPERM, ENOSYS),
        ("SCMP_ACT_KILL_PROCESS", 0x8000_0000, ENOSYS),
        ("SCMP_ACT_TRAP", 0x0003_0000, ENOSYS),
        // Nothing is forbidden, or somebody else can tell.
        ("SCMP_ACT_ALLOW", ALLOW, ALLOW),
        ("SCMP_ACT_LOG", 0x7ffc_0000, 0x7ffc_0000),
        ("SCMP_ACT_TRACE", 0x7ff0_0001, 0x7ff0_0001),
        ("SCMP_ACT_NOTIFY", 0x7fc0_0000, 0x7fc0_0000),
    ] {
        let filter = with(default, &[]);
        let at = |number| run(&filter, NATIVE, number, [0; 6]);
        let last = number("faccessat2");
        assert_eq!((at(last - 2), at(last), at(number("clone3"))), (known, EPERM, ALLOW), "{default}");
        for above in [last + 1, 460, 999, 0x3fff_ffff] {
            assert_eq!(at(above), newer, "{default} {above}");
        }
    }
    if NATIVE != X86_64 {
        return;
    }
    let both = with("SCMP_ACT_ERRNO", &["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_NATIVE"]);
    for (arch, first) in [(X86_64, 0), (X86_64, 0x4000_0000), (I386, 0)] {
        assert_eq!(run(&both, arch, first + 434, [0; 6]), EPERM, "{arch:#x} {first:#x}");
        assert_eq!(run(&both, arch, first + 440, [0; 6]), ENOSYS, "{arch:#x} {first:#x}");
    }
    let one = with("SCMP_ACT_ERRNO", &["SCMP_ARCH_X86_64"]);
    assert_eq!(run(&one, X86_64, 0x4000_0000 + 440, [0; 6]), KILL);
    assert_eq!(run(&one, I386, 440, [0; 6]), KILL);
}

/// LNX-137: unknown names are no error.
#[test]
fn unknown_names_are_skipped_and_kept_for_the_warning() {
    let filter = build(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["no_such_call", "read", "nor_this"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["no_such_call"], "action": "SCMP_ACT_LOG"}]}));
    assert_eq!(native(&filter, "read", [0; 6]), ALLOW);
    assert_eq!(filter.unknown, ["no_such_call", "nor_this"]);
    // Known, if only to other architectures.
    assert!(
        build(&json!({"defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["arm_fadvise64_64", "s390_runtime_instr"], "action": "SCMP_ACT_ALLOW"}]}))
        .unknown
        .is_empty()
    );
}

/// LNX-129
#[test]
fn flags() {
    let flags = |flags: Value| build(&json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags})).flags;
    assert_eq!(flags(json!(null)), 4);
    assert_eq!(flags(json!([])), 0);
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_LOG"])), 2);
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"])), 6);
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])), 0);
}

/// LNX-129, LNX-134, LNX-138: a listener, its path and its flag are for profiles that notify.
#[test]
fn listeners() {
    let flags = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
    let with = |action: &str| {
        build(&json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags, "listenerPath": "/run/agent",
            "listenerMetadata": "for\0you", "syscalls": [{"names": ["read"], "action": action}]}))
    };
    let filter = with("SCMP_ACT_NOTIFY");
    assert_eq!(native(&filter, "read", [0; 6]), 0x7fc0_0000);
    assert_eq!((filter.flags, filter.has_listener()), (0x28, true));
    assert_eq!(filter.listener, Some(Listener::new("/run/agent".into(), Some("for\0you".into()))));
    assert_eq!(Filter::from_bytes(&filter.to_bytes()), Some(filter));
    let filter = with("SCMP_ACT_LOG");
    assert_eq!((filter.flags, filter.has_listener()), (0, false));
    let all = build(&json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "agent"}));
    assert_eq!((native(&all, "execve", [0; 6]), native(&all, "read", [0; 6])), (0x7fc0_0000, 0x7fc0_0000));
}

/// LNX-126…129, LNX-136…140
#[test]
fn errors_name_the_property() {
    let rule = |rule: Value| {
        error(&json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
        [{"names": ["read"], "action": "SCMP_ACT_LOG"}, rule]}))
    };
    let arg = |arg: Value| {
        rule(json!({"names": ["read"], "action": "SCMP_ACT_LOG",
        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, arg]}))
    };
    for (actual, expected) in [
        (error(&json!({})), "linux.seccomp: missing field `defaultAction`"),
        (
            error(&json!({"defaultAction": "SCMP_ACT_NO"})),
            "linux.seccomp.defaultAction: \"SCMP_ACT_NO\" is no seccomp action",
        ),
        (
            error(&json!({"defaultAction": "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.listenerPath: is missing, and SCMP_ACT_NOTIFY needs it",
        ),
        (
            error(&json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1})),
            "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno",
        ),
        (
            error(&json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095})),
            "linux.seccomp.defaultErrnoRet: 4095 is too high for an errno",
        ),
        (
            error(&json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1})),
            "linux.seccomp.defaultErrnoRet: invalid value: integer `-1`, expected u32",
        ),
        (
            error(&json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NATIVE", "SCMP_ARCH_Z80"]})),
            "linux.seccomp.architectures[1]: \"SCMP_ARCH_Z80\" is no architecture",
        ),
        (
            error(&json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NO"]})),
            "linux.seccomp.flags[0]: \"SECCOMP_FILTER_FLAG_NO\" is unknown",
        ),
        (
            error(&json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"})),
            "linux.seccomp.listenerMetadata: is set without listenerPath",
        ),
        (rule(json!({"action": "SCMP_ACT_LOG"})), "linux.seccomp.syscalls[1]: missing field `names`"),
        (
            rule(json!({"names": [], "action": "SCMP_ACT_LOG"})),
            "linux.seccomp.syscalls[1].names: is empty; at least one name is required",
        ),
        (rule(json!({"names": ["read"]})), "linux.seccomp.syscalls[1]: missing field `action`"),
        (
            rule(json!({"names": ["read"], "action": "ALLOW"})),
            "linux.seccomp.syscalls[1].action: \"ALLOW\" is no seccomp action",
        ),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.listenerPath: is missing, and SCMP_ACT_NOTIFY needs it",
        ),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1})),
            "linux.seccomp.syscalls[1].errnoRet: SCMP_ACT_KILL takes no errno",
        ),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536})),
            "linux.seccomp.syscalls[1].errnoRet: 65536 does not fit into 16 bits",
        ),
        (
            arg(json!({"index": 6, "value": 1, "op": "SCMP_CMP_EQ"})),
            "linux.seccomp.syscalls[1].args: [1]: index 6 is above 5: system calls have six arguments",
        ),
        (
            arg(json!({"index": 1, "value": 1, "op": "SCMP_CMP_IS"})),
            "linux.seccomp.syscalls[1].args: [1]: \"SCMP_CMP_IS\" is no operator",
        ),
        (arg(json!({"value": 1, "op": "SCMP_CMP_EQ"})), "linux.seccomp.syscalls[1].args[1]: missing field `index`"),
        (arg(json!({"index": 1, "op": "SCMP_CMP_EQ"})), "linux.seccomp.syscalls[1].args[1]: missing field `value`"),
        (arg(json!({"index": 1, "value": 1})), "linux.seccomp.syscalls[1].args[1]: missing field `op`"),
    ] {
        assert_eq!(actual, expected);
    }
}

/// LNX-128
#[test]
fn architectures_beyond_this_build_are_refused() {
    let known = ["NATIVE", "X86", "X86_64", "X32", "ARM", "AARCH64", "MIPSEL", "PPC64LE", "RISCV64"];
    let names: Vec<_> = known.iter().map(|name| format!("SCMP_ARCH_{name}")).collect();
    assert!(compile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": names})).is_ok());
    // Each of the spec's 23 either is in libseccomp's list, or is named as what is missing there.
    let spec = "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 \
        S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB";
    assert_eq!(spec.split_whitespace().count(), 23);
    for name in spec.split_whitespace() {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [format!("SCMP_ARCH_{name}")]});
        if let Err(error) = compile(&profile) {
            let error = error.to_string();
            assert!(error.starts_with("linux.seccomp.architectures[0]: not supported: libseccomp"), "{name}: {error}");
            assert!(error.contains(name), "{name}: {error}");
        }
    }
    // Of the other byte order.
    let text =
        error(&json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_S390X"]}));
    assert!(text.starts_with("linux.seccomp.architectures[1]: not supported: libseccomp"), "{text}");
}

/// no_new_privs and filters belong to a thread, so this needs neither privileges nor a process.
#[test]
fn the_kernel_takes_what_was_built() {
    let filter = build(&json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]}));
    let result = thread::spawn(move || {
        nix::sys::prctl::set_no_new_privs().unwrap();
        Filter::from_bytes(&filter.to_bytes()).unwrap().load().unwrap();
        (nix::unistd::getsid(None), nix::unistd::getpgid(None))
    });
    let (refused, allowed) = result.join().unwrap();
    assert_eq!(refused, Err(Errno::from_raw(77)));
    assert!(allowed.is_ok());
}

/// Known before it is loaded, while init can still tell.
#[test]
fn a_profile_without_execve_is_not_loaded() {
    let load = |profile: Value| {
        let filter = build(&profile);
        thread::spawn(move || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            filter.load().map_err(|error| error.to_string())
        })
        .join()
        .unwrap()
    };
    let refused = |why: &str| Err(format!("linux.seccomp: {why}"));
    let allow_all_but = |errno: u32, args: Value| {
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
            [{"names": ["execve"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args}]})
    };
    assert_eq!(load(json!({"defaultAction": "SCMP_ACT_ERRNO"})), refused("execve: EPERM: operation not permitted"));
    assert_eq!(load(allow_all_but(38, json!([]))), refused("execve: ENOSYS: function not implemented"));
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        let killed = "kills every process that calls execve, and so the container's own: SIGSYS";
        assert_eq!(load(json!({"defaultAction": action})), refused(killed), "{action}");
    }
    let args = json!([{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]);
    assert_eq!(load(allow_all_but(38, args)), Ok(()));
}

/// Whoever may be killed for it does not look for the reason why execve failed.
#[test]
fn a_profile_that_kills_leaves_no_time_to_look() {
    let lets_live = |profile: Value| build(&profile).lets_live();
    assert!(lets_live(json!({"defaultAction": "SCMP_ACT_ALLOW"})));
    assert!(lets_live(json!({"defaultAction": "SCMP_ACT_ERRNO"})));
    let rule = |names: &str| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [names], "action": "SCMP_ACT_KILL"}]});
    assert!(lets_live(rule("lseek")) != lets_live(rule("mkdir")) && lets_live(rule("mkdir")));
}

#[test]
fn bytes_that_are_no_filter() {
    let filter = build(
        &json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["nothing"], "action": "SCMP_ACT_LOG"}]}),
    );
    let bytes = filter.to_bytes();
    assert_eq!(Filter::from_bytes(&bytes), Some(filter.clone()));
    assert_eq!(Filter::from_bytes(&bytes[..8 + 8 * filter.program.len() - 1]), None);
    assert_eq!(Filter::from_bytes(&bytes[..7]), None);
    assert_eq!(Filter::from_bytes(&[0xff; 64]), None);
}

/// A base directory for caches that goes away with the test.
struct Base(PathBuf);

impl Base {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("orlop-cache-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn plan(&self, text: &str) -> Result<Plan> {
        Plan::with_cache(text, Some(Cache::below(&self.0)))
    }

    fn directory(&self) -> PathBuf {
        self.0.join("orlop/seccomp")
    }

    fn entries(&self) -> Vec<PathBuf> {
        fs::read_dir(self.directory()).map_or_else(|_| vec![], |all| all.map(|entry| entry.unwrap().path()).collect())
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const TEXT: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [{"names": ["read", "unheard_of"], "action": "SCMP_ACT_LOG"}]}"#;

#[test]
fn a_filter_is_built_once() {
    let base = Base::new("once");
    let first = base.plan(TEXT).unwrap();
    assert!(first.ready().is_none() && base.entries().is_empty());
    let filter = first.build().unwrap();
    assert_eq!((filter.flags, &filter.unknown[..]), (2, &["unheard_of".to_string()][..]));
    assert_eq!(base.entries().len(), 1);
    assert_eq!(fs::metadata(base.directory()).unwrap().permissions().mode() & 0o7777, 0o700);

    assert_eq!(base.plan(TEXT).unwrap().ready(), Some(&filter));
    assert!(base.plan(&TEXT.replace("read", "write")).unwrap().ready().is_none());
    assert!(Plan::with_cache(TEXT, None).unwrap().ready().is_none());
}

/// So it is not parsed either.
#[test]
fn a_hit_needs_the_text_only_to_compare_it() {
    let base = Base::new("compare");
    let filter = build(&json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    assert!(base.plan("not JSON").is_err());
    Cache::below(&base.0).put(&Key::of("not JSON"), &filter);
    assert_eq!(base.plan("not JSON").unwrap().ready(), Some(&filter));
}

#[test]
fn a_corrupt_entry_is_ignored_and_replaced() {
    let base = Base::new("corrupt");
    let filter = base.plan(TEXT).unwrap().build().unwrap();
    let path = base.entries().remove(0);
    // Another profile's, as if both had one hash.
    assert!(base.plan(&TEXT.replace("read", "write")).unwrap().build().is_ok());
    let other = base.entries().into_iter().find(|entry| *entry != path).unwrap();
    let foreign = fs::read(&other).unwrap();
    fs::remove_file(other).unwrap();
    let entry = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = entry.clone();
        bytes[at] ^= 1;
        bytes
    };
    let long = [&entry[..], &[0]].concat();
    for corrupt in [
        vec![],
        entry[..20].to_vec(),
        entry[..entry.len() - 1].to_vec(),
        long,
        foreign,
        flipped(0),
        flipped(9),
        flipped(60),
    ] {
        fs::write(&path, corrupt).unwrap();
        let plan = base.plan(TEXT).unwrap();
        assert!(plan.ready().is_none());
        assert_eq!(plan.build().unwrap(), filter);
        assert_eq!(fs::read(&path).unwrap(), entry);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(base.plan(TEXT).unwrap().ready().is_none());
    assert_eq!(base.plan(TEXT).unwrap().build().unwrap(), filter);
    assert_eq!(base.entries(), [path]);
}

#[test]
fn a_directory_that_others_may_write_to_is_not_used() {
    let base = Base::new("trust");
    let filter = base.plan(TEXT).unwrap().build().unwrap();
    for mode in [0o770, 0o707, 0o777] {
        fs::set_permissions(base.directory(), fs::Permissions::from_mode(mode)).unwrap();
        let plan = base.plan(TEXT).unwrap();
        assert!(plan.ready().is_none(), "{mode:o}");
        assert_eq!(plan.build().unwrap(), filter);
    }
    let real = base.0.join("real");
    fs::rename(base.directory(), &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&real, base.directory()).unwrap();
    assert!(base.plan(TEXT).unwrap().ready().is_none());
}

#[test]
fn without_a_place_for_it_everything_works_uncached() {
    let nowhere = || Some(Cache::below(std::path::Path::new("/proc/no such directory")));
    assert!(Plan::with_cache(TEXT, nowhere()).unwrap().build().is_ok());
    assert!(Plan::with_cache(TEXT, nowhere()).unwrap().ready().is_none());
}

#[test]
fn the_oldest_entries_make_room() {
    let base = Base::new("bounded");
    let filter = build(&json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    let cache = Cache::below(&base.0);
    for number in 0..64 {
        cache.put(&Key::of(&number.to_string()), &filter);
    }
    assert_eq!(base.entries().len(), 64);
    let long_ago = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    for entry in base.entries() {
        fs::File::open(entry).unwrap().set_times(long_ago).unwrap();
    }
    cache.put(&Key::of("newest"), &filter);
    assert_eq!(base.entries().len(), 64);
    assert!(cache.get(&Key::of("newest")).is_some());
}
