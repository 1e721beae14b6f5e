//! NOTIFY_SOCKET: the container's process says that it is ready, and a supervisor hears it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::harness::runtime::Running;
use crate::harness::{Bundle, Container, eventually, payload};

/// A supervisor with a socket of its own.
struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Supervisor {
    fn new(bundle: &Bundle) -> Self {
        let path = bundle.file("supervisor.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, path }
    }

    /// A command of the runtime that the supervisor starts.
    fn prepare(&self, bundle: &Bundle, args: &[&str]) -> Command {
        bundle.write();
        let mut command = bundle.prepare(args);
        command.env("NOTIFY_SOCKET", &self.path);
        command
    }

    fn create(&self, bundle: &Bundle) -> Container {
        let create = self.prepare(bundle, &["create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
        Container::created(bundle.scratch(), &bundle.id, bundle.begin(create))
    }

    fn start(&self, bundle: &Bundle) -> Running {
        bundle.begin(self.prepare(bundle, &["start", &bundle.id]))
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut message = [0; 256];
        let length = self.socket.recv(&mut message).expect("no message");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    #[track_caller]
    fn assert_silent(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let message = self.socket.recv(&mut [0; 256]);
        self.socket.set_nonblocking(false).unwrap();
        assert_eq!(message.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}

/// A process that says what it finds in /message, once it is there, and goes on.
fn bundle() -> Bundle {
    let mut bundle = Bundle::new();
    bundle.set("/root/readonly", false.into());
    bundle.bind_payload();
    let say = format!("{} notify \"$(cat /message)\"", payload::PATH);
    bundle.script(&format!("until test -e /message; do sleep 0.01; done; {say}; exec sleep 1000"));
    bundle
}

fn say(bundle: &Bundle, message: &str) {
    let new = bundle.rootfs("message.new");
    fs::write(&new, message).unwrap();
    fs::rename(&new, bundle.rootfs("message")).unwrap();
}

/// `start` returns when the process is ready; the supervisor hears that, and whom to look after.
#[test]
fn start_waits_until_the_process_is_ready() {
    let bundle = bundle();
    let supervisor = Supervisor::new(&bundle);
    let container = supervisor.create(&bundle);
    let mut start = supervisor.start(&bundle);
    eventually("the program runs", || (container.status() == "running").then_some(()));
    assert!(start.child.try_wait().unwrap().is_none(), "start did not wait");
    supervisor.assert_silent();
    say(&bundle, "STATUS=secret\nMAINPID=1\nREADY=1");
    assert_eq!(supervisor.next(), "READY=1\n");
    assert_eq!(supervisor.next(), format!("MAINPID={}\n", container.pid()));
    assert_eq!(supervisor.next(), "BARRIER=1");
    start.finish().success();
    supervisor.assert_silent();
    container.stop();
    container.delete();
    bundle.assert_clean();
}

/// Nothing else reaches the supervisor, and a container that ends ends the wait.
#[test]
fn what_is_not_ready_is_not_passed_on() {
    let mut bundle = Bundle::new();
    bundle.bind_payload();
    let path = payload::PATH;
    let long = "for i in 1 2 3 4 5 6 7 8 9; do x=$x$x$i$i$i$i; done";
    let words = "'READY=0' 'STOPPING=1' 'STATUS=READY=1' 'FDSTORE=1' 'READY=12' \"$x\nREADY=1\"";
    bundle
        .script(&format!("x=0000; {long}; x=$x$x$x; for word in {words}; do {path} notify \"$word\" || exit 1; done"));
    let supervisor = Supervisor::new(&bundle);
    let container = supervisor.create(&bundle);
    supervisor.start(&bundle).finish().success();
    supervisor.assert_silent();
    assert_eq!(container.wait(), 0);
}

/// The last word of a process counts.
#[test]
fn ready_and_gone() {
    let mut bundle = Bundle::new();
    bundle.bind_payload();
    bundle.script(&format!("{} notify STATUS=up; exec {0} notify READY=1", payload::PATH));
    let supervisor = Supervisor::new(&bundle);
    let container = supervisor.create(&bundle);
    let start = supervisor.start(&bundle);
    assert_eq!(supervisor.next(), "READY=1\n");
    assert_eq!(supervisor.next(), format!("MAINPID={}\n", container.pid()));
    assert_eq!(supervisor.next(), "BARRIER=1");
    start.finish().success();
}

/// `run` does the same; in the foreground it stays the process that the supervisor looks after.
#[test]
fn run() {
    let bundle = bundle();
    let supervisor = Supervisor::new(&bundle);
    let bundle_dir = bundle.dir.to_str().unwrap();
    let run = bundle.begin(supervisor.prepare(&bundle, &["run", "--bundle", bundle_dir, &bundle.id]));
    say(&bundle, "READY=1");
    assert_eq!(supervisor.next(), "READY=1\n");
    assert_eq!(supervisor.next(), format!("MAINPID={}\n", run.pid()));
    bundle.command(&["kill", &bundle.id, "KILL"]).success();
    assert_eq!(run.finish().code, 137);
    bundle.assert_clean();

    fs::remove_file(bundle.rootfs("message")).unwrap();
    let mut run = bundle.begin(supervisor.prepare(&bundle, &["run", "--detach", "--bundle", bundle_dir, &bundle.id]));
    let running = || bundle.command(&["state", &bundle.id]).stdout.contains("\"running\"").then_some(());
    eventually("the program runs", running);
    assert!(run.child.try_wait().unwrap().is_none(), "run --detach did not wait");
    say(&bundle, "READY=1");
    assert_eq!(supervisor.next(), "READY=1\n");
    let main_pid = supervisor.next();
    assert_eq!(supervisor.next(), "BARRIER=1");
    let container = Container::created(bundle.scratch(), &bundle.id, run);
    assert_eq!(main_pid, format!("MAINPID={}\n", container.pid()));
}

/// Any user of any user namespace may say so, and nobody may change the directory.
#[test]
fn the_directory_inside() {
    let mut bundle = Bundle::new();
    bundle.bind_payload().user_namespace(100_000, 65536);
    bundle.set("/process/user", crate::harness::json!({"uid": 1000, "gid": 1000}));
    bundle.push("/process/env", "NOTIFY_SOCKET=/elsewhere".into());
    bundle.mount("/run", "tmpfs", "tmpfs", &["nosuid"]);
    let ready = format!("{} notify READY=1", payload::PATH);
    bundle.script(&format!(
        "env | grep ^NOTIFY_; grep ' /run/notify ' /proc/self/mountinfo | cut -d' ' -f6; touch /run/notify/x; {ready}"
    ));
    let supervisor = Supervisor::new(&bundle);
    let container = supervisor.create(&bundle);
    let directory = bundle.state_root().join(&bundle.id).join("notify");
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o7777, 0o755);
    let start = supervisor.start(&bundle);
    assert_eq!(supervisor.next(), "READY=1\n");
    assert!(supervisor.next().starts_with("MAINPID="));
    assert_eq!(supervisor.next(), "BARRIER=1");
    start.finish().success();
    assert_eq!(container.wait(), 0);
    assert!(container.stderr().contains("Read-only file system"), "{}", container.stderr());
    let stdout = container.stdout();
    let (variable, options) = stdout.split_once('\n').unwrap();
    assert_eq!(variable, "NOTIFY_SOCKET=/run/notify/notify.sock");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(options.trim().split(',').any(|given| given == option), "{options}");
    }
}

/// Without the variable nothing of it is there; if only one of create and start has it, nobody waits.
#[test]
fn without_a_supervisor() {
    let bundle = Bundle::with_script("test -z \"$NOTIFY_SOCKET\" && test ! -e /run/notify && exec sleep 1000");
    let supervisor = Supervisor::new(&bundle);
    let container = bundle.create();
    assert!(!bundle.state_root().join(&bundle.id).join("notify").exists());
    supervisor.start(&bundle).finish().success();
    assert_eq!(container.status(), "running");
    container.stop();
    container.delete();

    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/root/readonly", false.into());
    let container = Supervisor::new(&bundle).create(&bundle);
    container.start();
    assert_eq!(container.status(), "running");
}

/// Before the program runs.
#[test]
fn a_supervisor_that_is_not_there() {
    let bundle = bundle();
    let supervisor = Supervisor::new(&bundle);
    fs::remove_file(&supervisor.path).unwrap();
    let run = supervisor.prepare(&bundle, &["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
    bundle.finish(run).failure(&["NOTIFY_SOCKET", "supervisor.sock: connect: ENOENT: no such file or directory"]);
    bundle.assert_clean();
    let container = supervisor.create(&bundle);
    supervisor.start(&bundle).finish().failure(&["NOTIFY_SOCKET"]);
    assert_eq!(container.status(), "created");
}
