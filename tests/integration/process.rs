//! `process` (config.md): what the program finds itself to be. Limits, capabilities and terminals have files of
//! their own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::harness::{Bundle, field, json, payload};

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
    let output = bundle.run_after("export LEAK=host", &[]).success();
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
    let text = bundle.process_status();
    assert_eq!((field(&text, "Uid"), field(&text, "Groups")), ("0\t0\t0\t0", ""));
    bundle.set("/process/user", json!({"uid": 1234, "gid": 4321, "additionalGids": [7, 5, 4_294_967_294_u32]}));
    let text = bundle.process_status();
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
    assert_eq!(field(&bundle.process_status(), "Uid"), "1000\t1000\t1000\t1000");
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
    assert_eq!(bundle.run_after("umask 0037", &[]).success().stdout, "0037\n");
}

/// CFG-44: whatever the caller's umask, what the runtime makes inside has its proper modes.
#[test]
fn umask_does_not_reach_what_is_made() {
    let mut bundle = Bundle::with_script("stat -c '%a %n' /made /made/deep /dev /dev/null /dev/pts /dev/shm");
    bundle.mount("/made/deep", "tmpfs", "tmpfs", &["mode=755"]);
    let text = bundle.run_after("umask 0777", &[]).success().stdout;
    assert_eq!(text, "755 /made\n755 /made/deep\n755 /dev\n666 /dev/null\n755 /dev/pts\n1777 /dev/shm\n");
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
    assert_eq!(bundle.run_after("echo 321 > /proc/self/oom_score_adj", &[]).success().stdout, "321\n");
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

/// Only the standard descriptors are open in the program, though the caller has more.
#[test]
fn descriptors_are_closed() {
    let mut bundle = Bundle::new();
    bundle.payload(&["fds"]);
    let output = bundle.run_after("exec 3</ 4</dev/null 9>/dev/null", &[]).success();
    assert_eq!(output.stdout, "0 1 2\n");
}

/// `--preserve-fds` keeps that many descriptors from 3 on, and no other.
#[test]
fn preserved_descriptors() {
    let mut bundle = Bundle::new();
    bundle.payload(&["fds"]);
    let output =
        bundle.run_after("exec 3</dev/null 4</dev/null 5</dev/null 9>/dev/null", &["--preserve-fds", "2"]).success();
    assert_eq!(output.stdout, "0 1 2 3 4\n");
    bundle.script("cat <&3; echo to the host >&4");
    let (input, result) = (bundle.file("input"), bundle.file("result"));
    fs::write(&input, "from the host").unwrap();
    let preparation = format!("exec 3<{} 4>{}", input.display(), result.display());
    let output = bundle.run_after(&preparation, &["--preserve-fds=2"]).success();
    assert_eq!(output.stdout, "from the host");
    assert_eq!(fs::read_to_string(&result).unwrap(), "to the host\n");
    bundle.run_after("exec 3</dev/null 4<&-", &["--preserve-fds=2"]).failure(&["descriptor 4 is not open"]);
}

/// Signals that the caller ignores are not ignored in the program, and none is blocked.
#[test]
fn signal_dispositions() {
    let mut bundle = Bundle::new();
    bundle.args(&["/bin/cat", "/proc/self/status"]);
    let text = bundle.run_after("trap '' USR1 HUP PIPE INT TERM", &[]).success().stdout;
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
        let output = bundle.run_after(preparation, &[]);
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
    assert_eq!(bundle.run_after(&preparation, &[]).success().stdout, "/\n");
}
