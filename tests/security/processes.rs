//! The runtime's processes, while a container's processes can see them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::exec::start;
use crate::harness::tty::Terminal;
use crate::harness::{Bundle, eventually, runtime};

/// Container processes cannot take the descriptors of the waiting init: it is not dumpable.
#[test]
fn cve_2016_9962_init_is_not_dumpable() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.user_namespace(100_000, 65536);
    let container = bundle.create();
    // The files of a process that is not dumpable belong to the global root.
    let owner = fs::metadata(format!("/proc/{}/environ", container.pid())).unwrap().uid();
    assert_eq!(owner, 0);
}

/// What waits for `start` has nothing open that leads to the host. A neighbour in the same pid namespace
/// may be allowed to trace it.
#[test]
fn cve_2016_9962_a_created_container_holds_nothing_of_the_host() {
    let bundle = Bundle::with_script("exit 0");
    let container = bundle.create();
    let pid = container.pid();
    eventually("init holds more than sockets and its signals", || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let beyond = open.filter(|entry| entry.file_name().to_str().unwrap().parse::<i32>().unwrap() > 2);
        let links: Vec<_> = beyond.map(|entry| fs::read_link(entry.path()).unwrap_or_default()).collect();
        let harmless = |link: &PathBuf| {
            ["socket:", "anon_inode:[signalfd]"].iter().any(|kind| link.to_str().unwrap().starts_with(kind))
        };
        (!links.is_empty() && links.iter().all(harmless)).then_some(())
    });
}

/// A process with every capability in its namespaces looks at whoever turns up, while others are added:
/// it never gets to see a descriptor, the executable or the memory of the runtime.
#[test]
fn cve_2016_9962_a_spy_sees_nothing() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(100_000, 65536);
    bundle.capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN", "CAP_KILL"]);
    bundle.payload(&["spy", "/tmp/stop"]);
    let container = start(&bundle);
    container.wait_output("watching");
    for _ in 0..super::tries().max(60) {
        container.exec(&[], &["true"]).success();
    }
    fs::write(bundle.rootfs("tmp/stop"), "").unwrap();
    let report = container.wait_output("done");
    let seen = report.lines().filter(|line| line.starts_with("seen")).count();
    assert!(seen > 0, "the spy saw no process at all: {report}");
    let secrets: Vec<_> = report.lines().filter(|line| line.starts_with("open")).collect();
    assert!(secrets.is_empty(), "{secrets:#?}");
}

/// A terminal that is passed on takes no input from the container: it is not the container's controlling
/// terminal, and cannot be made that while it is somebody else's.
#[test]
fn cve_2017_5226_input_is_not_injected() {
    let mut bundle = Bundle::new();
    bundle.payload(&["inject"]);
    bundle.write();
    let (mut terminal, slave) = Terminal::open(24, 80);
    let mut shell = std::process::Command::new("/usr/bin/setsid");
    shell.args(["--ctty", "/bin/sh", "-c", "\"$0\" \"$@\"; echo status $?"]).arg(runtime::program());
    shell.arg("--root").arg(bundle.state_root()).args(["run", "--bundle"]).arg(&bundle.dir).arg(&bundle.id);
    shell.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
    let running = runtime::Running::on_terminal(shell);
    let output = terminal.wait_for("status").to_owned();
    running.finish();
    assert!(output.contains("TIOCSCTTY EPERM") && output.contains("status 0"), "{output}");
    // EIO: dev.tty.legacy_tiocsti is 0 (Linux 6.2).
    assert!(output.contains("TIOCSTI EPERM") || output.contains("TIOCSTI EIO"), "{output}");
}

/// The state of containers is nobody else's business.
#[test]
fn state_is_private() {
    let bundle = Bundle::with_script("exit 0");
    let _container = bundle.create();
    let mode = fs::metadata(bundle.scratch().state_root().join(&bundle.id)).unwrap().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
}
