//! A create that fails, or dies, leaves nothing behind (RT-17, RT-34, RT-46).

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Bundle, Value, cgroup, json};

/// Breaks one thing, and checks that create fails for it and leaves nothing: no process, mount, cgroup,
/// state; and that the id can be used at once.
#[track_caller]
fn broken(words: &[&str], breaking: impl FnOnce(&mut Bundle) -> &mut Bundle) {
    let mut bundle = Bundle::with_script("exit 0");
    let whole = bundle.config.clone();
    breaking(&mut bundle);
    let pid_file = bundle.file("pid");
    bundle.write();
    let output = bundle.spawn_create(&bundle.id, &["--pid-file", pid_file.to_str().unwrap()]).finish();
    output.failure(words);
    bundle.assert_clean();
    assert!(!pid_file.exists(), "the pid file is left");
    bundle.config = whole;
    bundle.create().start().wait();
}

/// RT-17, RT-34, RT-46: in the order in which create goes about its work.
#[test]
fn each_step() {
    broken(&["linux.namespaces"], |b| b.join("network", "/no/such/namespace"));
    broken(&["root.path"], |b| b.set("/root/path", json!("missing")));
    broken(&["mounts[6]"], |b| b.mount("/mnt", "bind", "/no/such/source", &["bind"]));
    broken(&["linux.resources.cpu"], |b| b.set("/linux/resources", json!({"cpu": {"quota": 1}})));
    broken(&["linux.uidMappings"], |b| {
        b.user_namespace(100_000, 10).set("/linux/uidMappings", json!([{"containerID": 0, "hostID": 1, "size": 0}]))
    });
    broken(&["linux.timeOffsets"], |b| {
        b.namespace("time").set("/linux/timeOffsets", json!({"monotonic": {"secs": i64::MIN}}))
    });
    broken(&["process.oomScoreAdj"], |b| b.set("/process/oomScoreAdj", json!(5000)));
    broken(&["hooks.prestart[0]"], |b| b.hook("prestart", "exit 1"));
    broken(&["mounts[6]"], |b| b.mount("/mnt", "tmpfs", "tmpfs", &["size=nonsense"]));
    broken(&["mounts[6]"], |b| b.mount("/bin/busybox/x", "tmpfs", "tmpfs", &[]));
    broken(&["linux.devices[0]"], |b| {
        b.set("/linux/devices", json!([{"path": "/bin", "type": "c", "major": 1, "minor": 3}]))
    });
    broken(&["hooks.createRuntime[0]"], |b| b.hook("createRuntime", "exit 1"));
    broken(&["hooks.createContainer[0]"], |b| b.hook("createContainer", "exit 1"));
    broken(&["linux.sysctl"], |b| b.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "x"})));
    broken(&["linux.seccomp"], |b| b.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOSUCH"})));
    broken(&["process.rlimits[0]"], |b| {
        b.set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]))
    });
    broken(&["process.cwd"], |b| b.set("/process/cwd", json!("/bin/busybox")));
    broken(&["process.user"], |b| b.user_namespace(100_000, 10).set("/process/user/gid", json!(77)));
    broken(&["hostname"], |b| b.set("/hostname", json!("x".repeat(65))));
}

/// A failure in every step, with every kind of namespace in play.
#[test]
fn with_all_namespaces() {
    let everything = |b: &mut Bundle| {
        b.namespace("cgroup").namespace("time").user_namespace(100_000, 65536);
        b.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    };
    broken(&["mounts[7]"], |b| {
        everything(b);
        b.mount("/mnt", "tmpfs", "tmpfs", &["size=nonsense"])
    });
    broken(&["linux.sysctl"], |b| {
        everything(b);
        b.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "x"}))
    });
    broken(&["hooks.createContainer[0]"], |b| {
        everything(b);
        b.hook("createContainer", "exit 1")
    });
}

/// What cannot be written stops create too: the pid file, the console socket.
#[test]
fn outputs() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.write();
    bundle
        .spawn_create(&bundle.id, &["--pid-file", "/no/such/directory/pid"])
        .finish()
        .failure(&["/no/such/directory/pid"]);
    bundle.assert_clean();
    bundle.set("/process/terminal", json!(true)).write();
    let not_a_socket = bundle.file("plain");
    fs::write(&not_a_socket, "").unwrap();
    bundle.spawn_create(&bundle.id, &["--console-socket", not_a_socket.to_str().unwrap()]).finish().failure(&["plain"]);
    bundle.assert_clean();
}

/// RT-04, RT-41: of concurrent creates of one id exactly one wins, and its container works.
#[test]
fn concurrent_creates() {
    for _ in 0..5 {
        let bundle = Bundle::with_script("echo ran");
        bundle.write();
        let running: Vec<_> = (0..6).map(|_| bundle.spawn_create(&bundle.id, &[])).collect();
        let outputs: Vec<_> = running.into_iter().map(|running| running.finish()).collect();
        let winners = outputs.iter().filter(|output| output.code == 0).count();
        assert_eq!(winners, 1, "{outputs:#?}");
        for loser in outputs.iter().filter(|output| output.code != 0) {
            assert!(loser.stderr.contains("exists"), "{}", loser.stderr);
        }
        bundle.command(&["start", &bundle.id]).success();
        bundle.command(&["delete", "--force", &bundle.id]).success();
        bundle.assert_clean();
    }
}

/// LNX-48: two containers must not share a cgroup by accident: the second is refused, and the first unharmed.
#[test]
fn cgroup_in_use() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    let other = format!("{}-other", bundle.id);
    let output = bundle.spawn_create(&other, &[]).finish();
    if output.code == 0 {
        bundle.command(&["delete", "--force", &other]).success();
    }
    assert_eq!(container.status(), "created");
    container.start();
    assert_eq!(container.status(), "running");
    output.failure(&["cgroup"]);
}

/// How many points of a command's time it is killed at; fewer where a machine is emulated.
pub(crate) fn kill_points() -> u32 {
    std::env::var("ORLOP_TEST_KILL_POINTS").map_or(40, |points| points.parse().unwrap())
}

/// Kills `command` at points spread over the time that it takes, and lets `delete --force` clean up.
#[track_caller]
fn killed_at_any_time(bundle: &Bundle, command: &str) {
    let points = kill_points();
    bundle.write();
    let begin = |id: &str| bundle.spawn(&[command, "--bundle", bundle.dir.to_str().unwrap(), id]);
    let started = Instant::now();
    begin(&bundle.id).finish().success();
    let whole = started.elapsed();
    bundle.command(&["delete", "--force", &bundle.id]).success();
    for point in 0..points {
        let id = format!("{}-{point}", bundle.id);
        let mut running = begin(&id);
        std::thread::sleep(whole * point / (points - 2));
        let _ = running.child.kill();
        let _ = running.child.wait();
        bundle.command(&["delete", "--force", &id]).success();
        bundle.command(&["state", &id]).failure(&["does not exist"]);
        bundle.assert_clean();
    }
}

/// RT-34: SIGKILL may hit create at any point: `delete --force` removes whatever there is.
#[test]
fn create_killed() {
    killed_at_any_time(&Bundle::with_script("exec sleep 1000"), "create");
}

/// The same with a hook, a user namespace and a cgroup mount on the way.
#[test]
fn create_with_everything_killed() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.user_namespace(100_000, 65536).namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    bundle.hook("createRuntime", "exit 0").hook("createContainer", "exit 0");
    bundle.set("/linux/resources", json!({"pids": {"limit": 50}, "memory": {"limit": 64 << 20}}));
    killed_at_any_time(&bundle, "create");
}

/// And for a `run` that is killed.
#[test]
fn run_killed() {
    killed_at_any_time(&Bundle::with_script("exit 0"), "run");
}

/// A start that is killed leaves a container that can be deleted.
#[test]
fn start_killed() {
    let bundle = Bundle::with_script("exec sleep 1000");
    bundle.write();
    for step in 0..10 {
        let container = bundle.create_as(&bundle.id, &[]);
        let mut running = bundle.spawn(&["start", &bundle.id]);
        std::thread::sleep(Duration::from_micros(step * 400));
        let _ = running.child.kill();
        let _ = running.child.wait();
        let status = container.status();
        assert!(["created", "running", "stopped"].contains(&&*status), "{status}");
        container.try_delete(&["--force"]).success();
        container.wait();
        bundle.assert_clean();
    }
}

/// A container's init that dies between create and start: start fails, and says so.
#[test]
fn init_killed_before_start() {
    let bundle = Bundle::with_script("exit 0");
    let container = bundle.create();
    kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap();
    container.wait();
    container.try_start().failure(&[]);
    assert_eq!(container.status(), "stopped");
    container.delete();
    bundle.assert_clean();
}

/// A state record that is damaged is an error that names it, and no reason to touch anything.
#[test]
fn damaged_state() {
    if !crate::harness::runtime::is_orlop() {
        skip!("knows the form of orlop's state record only");
    }
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    container.start();
    let record = bundle.scratch().state_root().join(&bundle.id).join("state.json");
    let text = fs::read(&record).unwrap();
    for damage in ["", "{", "null", "{\"id\": 7}"] {
        fs::write(&record, damage).unwrap();
        for command in [&["state"][..], &["start"], &["kill"], &["delete"], &["delete", "--force"]] {
            container.command(&[command, &[&container.id]].concat()).failure(&["state.json"]);
        }
    }
    fs::write(&record, text).unwrap();
    assert_eq!(container.status(), "running");
}

/// RT-34, RT-57: a failing create does not take away what was there before it.
#[test]
fn existing_cgroup_stays() {
    let mut bundle = Bundle::new();
    let dirs: Vec<_> = ["pids", "memory"].iter().map(|name| cgroup::dir(name, &format!("/{}", bundle.tag()))).collect();
    for dir in &dirs {
        let _ = fs::create_dir(dir);
    }
    let path = format!("/{}/leaf", bundle.tag());
    bundle.mount("/mnt", "tmpfs", "tmpfs", &["size=nonsense"]).set("/linux/cgroupsPath", Value::from(path)).write();
    bundle.spawn_create(&bundle.id, &[]).finish().failure(&["mounts[6]"]);
    assert!(dirs.iter().all(|dir| dir.is_dir() && !dir.join("leaf").exists()));
    for dir in crate::harness::host::cgroups(bundle.tag()).iter().rev() {
        fs::remove_dir(dir).unwrap();
    }
}
