//! `exec`: what its flags and its process file make of the process.

use std::fs;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::runtime::{self, Running, is_orlop};
use crate::harness::tty::{ConsoleSocket, Terminal};
use crate::harness::{Bundle, Container, Value, eventually, field, host, json};

/// A running container that waits.
pub(crate) fn start(bundle: &Bundle) -> Container {
    let container = bundle.create();
    container.start();
    container
}

pub(crate) fn idle() -> Bundle {
    Bundle::with_script("exec sleep 1000")
}

/// A detached process, our child: init's pid namespace does not end before it has been waited for.
pub(crate) struct Added(pub(crate) i32);

impl Added {
    /// Runs the program with `--detach`.
    #[track_caller]
    pub(crate) fn new(bundle: &Bundle, container: &Container, flags: &[&str], args: &[&str]) -> Self {
        let pid_file = bundle.file("pid");
        let flags = [&["--detach", "--pid-file", text(&pid_file)], flags].concat();
        let (output, _) = container.spawn_exec(&flags, args).finish_keeping();
        let output = output.success();
        assert_eq!((&*output.stdout, &*output.stderr), ("", ""));
        Self(fs::read_to_string(&pid_file).unwrap().parse().unwrap())
    }

    pub(crate) fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap()
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(Pid::from_raw(self.0), None);
    }
}

/// A file for `--process`: the configured process, changed.
fn process_file(bundle: &Bundle, changes: &[(&str, Value)]) -> PathBuf {
    let mut process = bundle.config["process"].clone();
    for (name, value) in changes {
        process[*name] = value.clone();
    }
    let path = bundle.file("process.json");
    fs::write(&path, process.to_string()).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Its output, its exit status and its signals are the command's.
#[test]
fn in_the_foreground() {
    let bundle = idle();
    let container = start(&bundle);
    for code in [0, 1, 7, 255] {
        let output = container.exec(&[], &["sh", "-c", &format!("echo out; echo err >&2; exit {code}")]);
        assert_eq!((output.code, &*output.stdout, &*output.stderr), (code, "out\n", "err\n"));
    }
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("USR1", 138)] {
        assert_eq!(container.exec(&[], &["sh", "-c", &format!("kill -{signal} $$")]).code, code);
    }
    let running = container.spawn_exec(
        &[],
        &["sh", "-c", "trap 'echo usr1' USR1; trap 'exit 5' TERM; echo ready; while :; do sleep 1000 & wait $!; done"],
    );
    let wait = |text: &str| eventually(text, || running.stdout().contains(text).then_some(()));
    wait("ready");
    kill(Pid::from_raw(running.pid()), Signal::SIGUSR1).unwrap();
    wait("usr1");
    kill(Pid::from_raw(running.pid()), Signal::SIGTERM).unwrap();
    assert_eq!(running.finish().code, 5);
}

#[test]
fn standard_input() {
    let bundle = idle();
    let container = start(&bundle);
    let mut command = bundle.prepare(&["exec", &container.id, "cat"]);
    command.stdin(Stdio::piped());
    let mut running = bundle.begin(command);
    running.child.stdin.take().unwrap().write_all(b"through\n").unwrap();
    assert_eq!(running.finish().success().stdout, "through\n");
}

/// What looks like an option after the id belongs to the program.
#[test]
fn the_command_line_is_the_programs() {
    let container = start(&idle());
    for args in [&["-n", "-d", "--tty"][..], &["-user", "x"], &["--", "-la"], &["--help"]] {
        let output = container.exec(&[], &[&["printf", "%s ", "x"], args].concat()).success();
        assert_eq!(output.stdout.trim(), [&["x"], args].concat().join(" "));
    }
    container.exec(&["--no-such-flag"], &["true"]).failure(&["--no-such-flag"]);
    if is_orlop() {
        container.exec(&["-tty=false", "-cwd", "/tmp"], &["pwd"]).success();
    }
}

#[test]
fn flags() {
    let mut bundle = idle();
    bundle.push("/process/env", json!("KEPT=1")).push("/process/env", json!("REPLACED=old"));
    bundle.set("/process/user/additionalGids", json!([7]));
    let container = start(&bundle);
    assert_eq!(container.exec_script(&["--cwd", "/tmp"], "pwd"), "/tmp\n");
    let env = container.exec_script(&["-e", "REPLACED=new", "--env", "ADDED=a=b", "-e=THIRD=3"], "env");
    for line in ["KEPT=1", "REPLACED=new", "ADDED=a=b", "THIRD=3", "PATH=/bin", "HOME=/"] {
        assert!(env.lines().any(|entry| entry == line), "no {line} in {env}");
    }
    assert!(!env.contains("REPLACED=old"), "{env}");
    let id = "id -u; id -g; grep Groups /proc/self/status";
    assert_eq!(container.exec_script(&["-u", "1000"], id), "1000\n0\nGroups:\t7 \n");
    assert_eq!(container.exec_script(&["--user", "1000:50"], id), "1000\n50\nGroups:\t7 \n");
    let groups = container.exec_script(&["-g", "8", "--additional-gids", "9"], id);
    assert_eq!(groups, "0\n0\nGroups:\t7 8 9 \n");
    // The ids are numbers, whatever users the image has (CVE-2026-30892).
    for user in ["1x", "-1", " 1", "a", "1:", "4294967296", "1:2:3"] {
        container.exec(&["-u", user], &["true"]).failure(&[]);
    }
}

/// CVE-2022-29162: bounding, permitted and effective set grow, the inheritable one never.
#[test]
fn capabilities_and_privileges() {
    let bundle = idle();
    let container = start(&bundle);
    let status = container.exec(&[], &["cat", "/proc/self/status"]).success().stdout;
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"] {
        assert_eq!(field(&status, name), container.proc_status(name), "{name}");
    }
    let caps = ["--cap", "CAP_SYS_ADMIN", "-c", "CAP_CHOWN"];
    let status = container.exec(&caps, &["cat", "/proc/self/status"]).success().stdout;
    let set = |name| u64::from_str_radix(field(&status, name), 16).unwrap();
    let expected = u64::from_str_radix(&container.proc_status("CapBnd"), 16).unwrap() | 1 << 21 | 1;
    assert_eq!([set("CapPrm"), set("CapEff"), set("CapBnd")], [expected; 3]);
    assert_eq!([set("CapInh"), set("CapAmb")], [0; 2]);
    drop(container);

    let mut bundle = idle();
    bundle.set("/process/noNewPrivileges", json!(false));
    let container = start(&bundle);
    let no_new_privs = |flags: &[&str]| container.exec(flags, &["grep", "NoNewPrivs", "/proc/self/status"]).stdout;
    assert_eq!((&*no_new_privs(&[]), &*no_new_privs(&["--no-new-privs"])), ("NoNewPrivs:\t0\n", "NoNewPrivs:\t1\n"));
}

/// The file is all there is: nothing of the configured process is left.
#[test]
fn process_from_a_file() {
    let bundle = idle();
    let container = start(&bundle);
    let script =
        "id -u; id -g; umask; pwd; echo $A; ulimit -n; cat /proc/self/oom_score_adj; grep Cap /proc/self/status";
    let file = process_file(
        &bundle,
        &[
            ("args", json!(["/bin/sh", "-c", script])),
            ("user", json!({"uid": 1, "gid": 2, "additionalGids": [3], "umask": 0o27})),
            ("cwd", json!("/tmp")),
            ("env", json!(["A=from the file"])),
            ("rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}])),
            ("oomScoreAdj", json!(333)),
            ("capabilities", Value::Null),
        ],
    );
    for flag in ["--process", "-p"] {
        let output = container.exec(&[flag, text(&file)], &[]).success().stdout;
        let none = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                    CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n";
        assert_eq!(output, format!("1\n2\n0027\n/tmp\nfrom the file\n77\n333\n{none}"));
    }
}

/// `--detach` returns as soon as the program runs, with its pid, as the host has it, in the file.
#[test]
fn detached() {
    let bundle = idle();
    let container = start(&bundle);
    let added = Added::new(&bundle, &container, &[], &["sh", "-c", "echo $$ > /tmp/own; exec sleep 1000"]);
    eventually("the program", || (added.proc("cmdline") == "sleep\x001000\x00").then_some(()));
    let inside = fs::read_to_string(bundle.rootfs("tmp/own")).unwrap();
    assert_eq!(field(&added.proc("status"), "NSpid").split_whitespace().last().unwrap(), inside.trim());
}

/// The pid file of a process in the foreground is there while it runs.
#[test]
fn pid_file_in_the_foreground() {
    let bundle = idle();
    let container = start(&bundle);
    let pid_file = bundle.file("pid");
    let running = container.spawn_exec(&["--pid-file", text(&pid_file)], &["sleep", "1000"]);
    let pid = eventually("a pid file", || fs::read_to_string(&pid_file).ok());
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "sleep\n");
    kill(Pid::from_raw(running.pid()), Signal::SIGTERM).unwrap();
    assert_eq!(running.finish().code, 143);
}

fn on_terminal(bundle: &Bundle, args: &[&str]) -> (Running, Terminal) {
    let (terminal, slave) = Terminal::open(41, 91);
    let mut command = bundle.prepare(args);
    command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
    (Running::on_terminal(command), terminal)
}

/// `--tty`: a terminal of the container's, relayed; it follows the size of ours.
#[test]
fn terminal() {
    let bundle = idle();
    let container = start(&bundle);
    // A signal that comes just before a read waits for its end.
    let script =
        "trap 'stty size' WINCH; tty; stty size; echo ready; while ! read -t 1 w; do :; done; echo got $w; exit 4";
    let (running, mut terminal) = on_terminal(&bundle, &["exec", "--tty", &container.id, "sh", "-c", script]);
    let text = terminal.wait_for("ready");
    assert!(text.contains("/dev/pts/0") && text.contains("41 91"), "{text}");
    terminal.resize(42, 92);
    kill(Pid::from_raw(running.pid()), Signal::SIGWINCH).unwrap();
    terminal.wait_for("42 92");
    terminal.master.write_all(b"hello\n").unwrap();
    terminal.wait_for("got hello");
    assert_eq!(running.finish().code, 4);
    // Without the flag there is none, even if the configured process has one.
    assert_eq!(container.exec(&[], &["tty"]).stdout, "not a tty\n");
}

/// Detached, the terminal goes to the socket; the user owns its other end.
#[test]
fn console_socket() {
    let mut bundle = idle();
    bundle.user_namespace(100_000, 65536);
    let container = start(&bundle);
    let socket = ConsoleSocket::new(bundle.file("console"));
    let script = "stat -c 'owned by %u' $(tty); echo to console > /dev/tty; sleep 1000";
    let file = process_file(
        &bundle,
        &[
            ("args", json!(["/bin/sh", "-c", script])),
            ("terminal", json!(true)),
            ("user", json!({"uid": 5, "gid": 5})),
            ("consoleSize", json!({"height": 12, "width": 34})),
        ],
    );
    let flags = ["--console-socket", text(&socket.path), "--process", text(&file)];
    let _added = Added::new(&bundle, &container, &flags, &[]);
    let mut terminal = socket.receive();
    assert!(terminal.wait_for("to console").contains("owned by 5"));
    container.exec(&["--detach", "--tty"], &["sh"]).failure(&["console"]);
}

/// 0, 1 and 2, and those asked for.
#[test]
fn descriptors() {
    let mut bundle = idle();
    bundle.bind_payload();
    let container = start(&bundle);
    assert_eq!(container.exec(&[], &["/payload", "fds"]).stdout, "0 1 2\n");
    let program = runtime::program();
    let shell = |redirections: &str, flags: &str| {
        let mut shell = std::process::Command::new("/bin/sh");
        let root = bundle.scratch().state_root();
        let line = format!(
            "exec {} --root {} exec {flags} {} /payload fds {redirections}",
            program.display(),
            root.display(),
            container.id
        );
        shell.arg("-c").arg(line).stdin(Stdio::null());
        bundle.finish(shell)
    };
    assert_eq!(shell("3</dev/null 4</dev/null 9</dev/null", "").success().stdout, "0 1 2\n");
    let kept = shell("3</dev/null 4</dev/null 9</dev/null", "--preserve-fds 2").success();
    assert_eq!(kept.stdout, "0 1 2 3 4\n");
    shell("3</dev/null", "--preserve-fds 2").failure(&["--preserve-fds"]);
}

/// `HOME` is the image's, as for init.
#[test]
fn home() {
    let bundle = idle();
    fs::write(bundle.rootfs("etc/passwd"), "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n").unwrap();
    let container = start(&bundle);
    assert_eq!(container.exec_script(&[], "echo $HOME"), "/root\n");
    assert_eq!(container.exec_script(&["-u", "1000"], "echo $HOME"), "/home/ada\n");
    assert_eq!(container.exec_script(&["-u", "1000", "-e", "HOME=/x"], "echo $HOME"), "/x\n");
}

/// A container that has not been started may be looked at already.
#[test]
fn before_start() {
    let bundle = Bundle::with_script("echo started; exec sleep 1000");
    let container = bundle.create();
    assert_eq!(container.exec_script(&[], "ps -o pid,comm | grep -c orlop"), "1\n", "init waits");
    assert_eq!(container.status(), "created");
    container.start().wait_output("started");
}

/// What is added ends with the container, and is no reason not to delete it.
#[test]
fn ends_with_the_container() {
    for share_pids in [false, true] {
        let mut bundle = idle();
        if share_pids {
            bundle.share("pid");
        }
        let container = start(&bundle);
        let added = Added::new(&bundle, &container, &[], &["sleep", "1000"]);
        container.kill("KILL");
        if share_pids {
            container.command(&["kill", "--all", &container.id, "KILL"]).success();
        }
        eventually("the end of the process", || host::is_zombie(added.0).then_some(()));
        drop(added);
        container.try_delete(&["--force"]).success();
        drop(container);
        bundle.assert_clean();
    }
}

/// CFG-39, CFG-40, CFG-41: for what is added, not for init.
#[test]
fn processors() {
    let list = |status: &str| field(status, "Cpus_allowed_list").to_owned();
    let own = list(&fs::read_to_string("/proc/self/status").unwrap());
    if !fs::exists("/sys/devices/system/cpu/cpu1").unwrap() || own != "0-1" {
        skip!("needs exactly two processors");
    }
    let mut bundle = idle();
    bundle.set("/process/execCPUAffinity", json!({"initial": "0", "final": "1"}));
    let container = start(&bundle);
    assert_eq!(container.proc_status("Cpus_allowed_list"), own);
    assert_eq!(container.exec_script(&[], "grep Cpus_allowed_list /proc/self/status"), "Cpus_allowed_list:\t1\n");
    let with = |affinity: Value| {
        let changes = [("execCPUAffinity", affinity), ("args", json!(["cat", "/proc/self/status"]))];
        container.exec(&["-p", text(&process_file(&bundle, &changes))], &[])
    };
    // The kernel decides: before Linux 6.2, the cpuset makes it forget what was asked for.
    let left_alone = list(&with(json!({"initial": "0"})).success().stdout);
    assert!(left_alone == "0" || left_alone == own, "{left_alone}");
    assert_eq!(list(&with(json!({"final": "0"})).success().stdout), "0");
    with(json!({"initial": "7"})).failure(&["process.execCPUAffinity.initial", "sched_setaffinity", "EINVAL"]);
    with(json!({"final": "7"})).failure(&["process.execCPUAffinity.final", "sched_setaffinity", "EINVAL"]);
    with(json!({"final": "x"})).failure(&["process.execCPUAffinity.final"]);
    drop(container);
    bundle.set("/process/execCPUAffinity/initial", json!("1-0")).refused(&["process.execCPUAffinity.initial"]);
}

/// `--pidfd-socket`: a descriptor of the process, of init and of what is added alike.
#[test]
fn pidfd_socket() {
    let bundle = idle();
    let socket = ConsoleSocket::new(bundle.file("pidfd"));
    let flag = format!("--pidfd-socket={}", socket.path.display());
    let pid_of = |descriptor: std::os::fd::OwnedFd| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd())).unwrap();
        field(&info, "Pid").parse::<i32>().unwrap()
    };
    let container = bundle.create_with(&[&flag]);
    assert_eq!(pid_of(socket.receive_descriptor()), container.pid());
    container.start();
    let added = Added::new(&bundle, &container, &[&flag], &["sleep", "1000"]);
    assert_eq!(pid_of(socket.receive_descriptor()), added.0);
    drop(added);
    container.exec(&["--pidfd-socket", "/no/such/socket"], &["sleep", "1000"]).failure(&["/no/such/socket"]);
}

/// The annotation that podman sets for `--group-add keep-groups`.
#[test]
fn groups_of_the_caller() {
    for (annotated, groups) in [(false, "9"), (true, "77 88")] {
        let mut bundle = Bundle::with_script("grep Groups /proc/self/status; exec sleep 1000");
        bundle.set("/process/user/additionalGids", json!([9]));
        if annotated {
            bundle.set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
        }
        bundle.write();
        let prepare = |args: &[&str]| {
            let mut shell = std::process::Command::new("setpriv");
            shell.args(["--groups", "77,88"]).arg(runtime::program()).arg("--root").arg(bundle.scratch().state_root());
            shell.args(args).stdin(Stdio::null());
            shell
        };
        let running = bundle.begin(prepare(&["create", "--bundle", text(&bundle.dir), &bundle.id]));
        let container = Container::created(bundle.scratch(), &bundle.id, running);
        container.start();
        assert_eq!(container.wait_output("\n").trim(), format!("Groups:\t{groups}"));
        let output = bundle.finish(prepare(&["exec", &container.id, "grep", "Groups", "/proc/self/status"]));
        assert_eq!(output.success().stdout.trim(), format!("Groups:\t{groups}"));
    }
}
