//! `process.terminal`: console socket, the relay of a foreground `run`, sizes.

use std::io::Write;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::runtime::Running;
use crate::harness::tty::{ConsoleSocket, Terminal, is_bindable};
use crate::harness::{Bundle, Container, json};

fn with_terminal(script: &str) -> Bundle {
    let mut bundle = Bundle::with_script(script);
    bundle.set("/process/terminal", json!(true));
    bundle
}

/// Creates with a console socket; the container and its terminal.
fn create(bundle: &Bundle) -> (Container, Terminal) {
    let socket = ConsoleSocket::new(bundle.file("console"));
    assert!(is_bindable(&socket.path), "TMPDIR is too long");
    let container = bundle.create_with(&["--console-socket", socket.path.to_str().unwrap()]);
    let terminal = socket.receive();
    (container, terminal)
}

/// Runs in the foreground on a terminal of the host.
fn run(bundle: &Bundle, rows: u16, columns: u16) -> (Running, Terminal, std::fs::File) {
    let (terminal, slave) = Terminal::open(rows, columns);
    let slave = std::fs::File::from(slave);
    let mut command = bundle.write().prepare(&["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
    let end = || std::process::Stdio::from(slave.try_clone().unwrap());
    command.stdin(end()).stdout(end()).stderr(end());
    (Running::on_terminal(command), terminal, slave)
}

/// CFG-10: the slave end is the standard descriptors and the controlling terminal.
#[test]
fn console_socket() {
    let bundle = with_terminal(
        "test -t 0 && test -t 1 && test -t 2 && tty; echo via tty > /dev/tty; read word; echo \"got $word\"; exit 9",
    );
    let (container, mut terminal) = create(&bundle);
    container.start();
    terminal.wait_for("via tty");
    terminal.master.write_all(b"hello\n").unwrap();
    let text = terminal.wait_for("got hello").to_owned();
    assert!(text.contains("/dev/pts/0") || text.contains("/dev/console"), "{text}");
    assert_eq!(container.wait(), 9);
}

/// LNX-36: /dev/console is the terminal; without one there is none.
#[test]
fn dev_console() {
    let bundle = with_terminal(
        "test -c /dev/console && echo is a device; echo to console > /dev/console; stat -c '%t:%T' /dev/console /dev/pts/0; echo done; sleep 1000",
    );
    let (container, mut terminal) = create(&bundle);
    container.start();
    let text = terminal.wait_for("done").to_owned();
    assert!(text.contains("is a device") && text.contains("to console"), "{text}");
    let numbers: Vec<_> = text.lines().filter(|line| line.contains(':')).map(str::trim).collect();
    assert_eq!(numbers.len(), 2, "{text}");
    assert_eq!(numbers[0], numbers[1]);
    drop(container);
    assert_eq!(Bundle::with_script("ls /dev/console 2>/dev/null; echo none").output(), "none\n");
}

/// CFG-12: the terminal has the configured size from the start.
#[test]
fn console_size() {
    let mut bundle = with_terminal("stty size; echo done; sleep 1000");
    bundle.set("/process/consoleSize", json!({"height": 33, "width": 77}));
    let (container, mut terminal) = create(&bundle);
    container.start();
    assert!(terminal.wait_for("done").contains("33 77"));
}

/// CFG-11, CFG-12: ignored without a terminal, but never half given.
#[test]
fn bad_console_size() {
    let mut bundle = Bundle::with_script("echo fine");
    bundle.set("/process/consoleSize", json!({"height": 33, "width": 77}));
    assert_eq!(bundle.output(), "fine\n");
    bundle.set("/process/terminal", json!(true)).set("/process/consoleSize", json!({"height": 33}));
    bundle.refused(&["process.consoleSize"]);
}

/// A terminal that nobody could hold, and a socket that nobody would use, are refused.
#[test]
fn socket_and_terminal_belong_together() {
    let bundle = with_terminal("exit 0");
    bundle.refused(&["console"]);
    let plain = Bundle::with_script("exit 0");
    let socket = ConsoleSocket::new(plain.file("console"));
    plain.write();
    plain.spawn_create(&plain.id, &["--console-socket", socket.path.to_str().unwrap()]).finish().failure(&["console"]);
    plain.assert_clean();
    bundle.spawn_create(&bundle.id, &["--console-socket", "/no/such/socket"]).finish().failure(&["/no/such/socket"]);
    bundle.assert_clean();
}

/// The terminal belongs to the user that the program runs as.
#[test]
fn owner() {
    let mut bundle = with_terminal("stat -c 'owned by %u' /dev/pts/0; echo works > /dev/tty; sleep 1000");
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let (container, mut terminal) = create(&bundle);
    container.start();
    assert!(terminal.wait_for("works").contains("owned by 1000"));
}

/// In a user namespace too.
#[test]
fn in_a_user_namespace() {
    let mut bundle = with_terminal("stat -c 'owned by %u' /dev/pts/0; echo works > /dev/console; sleep 1000");
    bundle.user_namespace(100_000, 65536);
    let (container, mut terminal) = create(&bundle);
    container.start();
    assert!(terminal.wait_for("works").contains("owned by 0"));
}

/// A foreground `run` relays both ways, takes over the size, follows it, and restores the terminal.
#[test]
fn relay() {
    // A signal that comes just before a read waits for its end.
    let bundle = with_terminal(
        "trap 'stty size' WINCH; stty size; echo ready; while ! read -t 1 word; do :; done; echo \"got $word\"; read x; exit 4",
    );
    let (running, mut terminal, slave) = run(&bundle, 41, 91);
    let before = nix::sys::termios::tcgetattr(&terminal.master).unwrap();
    assert!(terminal.wait_for("ready").contains("41 91"));
    terminal.resize(42, 92);
    kill(Pid::from_raw(running.pid()), Signal::SIGWINCH).unwrap();
    terminal.master.write_all(b"hello\n").unwrap();
    terminal.wait_for("42 92");
    terminal.wait_for("got hello");
    terminal.master.write_all(b"\n").unwrap();
    assert_eq!(running.finish().code, 4);
    let after = nix::sys::termios::tcgetattr(&terminal.master).unwrap();
    assert_eq!(before.local_flags, after.local_flags);
    assert_eq!(before.input_flags, after.input_flags);
    drop(slave);
    bundle.assert_clean();
}

/// Keys reach the container's terminal, not the runtime: ^C interrupts the program inside.
#[test]
fn keys() {
    let bundle = with_terminal("trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.01; done");
    let (running, mut terminal, _slave) = run(&bundle, 24, 80);
    terminal.wait_for("ready");
    terminal.master.write_all(&[3]).unwrap();
    terminal.wait_for("interrupted");
    assert_eq!(running.finish().code, 5);
}

/// Everything that the program printed before it exited arrives, however fast it exits.
#[test]
fn last_words() {
    let bundle = with_terminal("seq 1 2000; echo last");
    let (running, mut terminal, _slave) = run(&bundle, 24, 80);
    assert_eq!(running.finish().code, 0);
    assert!(terminal.wait_for("last").contains("1999\r\n2000\r\nlast"));
}

/// `run --detach` needs a console socket for a terminal, as create does.
#[test]
fn detached_run() {
    let bundle = with_terminal("echo up; exec sleep 1000");
    let socket = ConsoleSocket::new(bundle.file("console"));
    let running = bundle.spawn_run(&["--detach", "--console-socket", socket.path.to_str().unwrap()]);
    let container = Container::created(bundle.scratch(), &bundle.id, running);
    socket.receive().wait_for("up");
    container.stop();
    container.delete();
    bundle.run_with(&["--detach"]).failure(&["console"]);
}

/// The configuration that `spec` writes runs as it is: a shell on the terminal of `run`.
#[test]
fn spec_then_run() {
    let mut bundle = Bundle::new();
    bundle.command(&["spec", "--bundle", bundle.dir.to_str().unwrap()]).success();
    bundle.config = serde_json::from_slice(&std::fs::read(bundle.dir.join("config.json")).unwrap()).unwrap();
    let (running, mut terminal, _slave) = run(&bundle, 24, 80);
    terminal.master.write_all(b"echo I am $$; exit 11\n").unwrap();
    terminal.wait_for("I am 1\r\n");
    assert_eq!(running.finish().code, 11);
}
