//! `--systemd-cgroup`: scopes of systemd (config-linux.md, "Control groups").
//!
//! Most need systemd, and so the systemd guest: `integration/vm/tests --systemd systemd::`. The tests run as
//! root there; those of a user's session drive the runtime as the guest's user.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Bundle, Container, Value, cgroup, json};

const FLAG: &str = "--systemd-cgroup";

/// Skips the test where systemd does not run.
macro_rules! need_systemd {
    () => {
        if !Path::new("/run/systemd/system").is_dir() {
            skip!("systemd does not run here");
        }
    };
}

/// A bundle whose scope is named after the test.
fn bundle(script: &str) -> Bundle {
    let mut bundle = Bundle::with_script(script);
    bundle.set("/linux/cgroupsPath", json!(format!("system.slice:t:{}", bundle.tag())));
    bundle
}

fn scope(bundle: &Bundle) -> String {
    format!("t-{}.scope", bundle.tag())
}

fn arguments(bundle: &Bundle) -> [&str; 5] {
    [FLAG, "create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]
}

#[track_caller]
fn create(bundle: &Bundle) -> Container {
    bundle.write();
    Container::created(bundle.scratch(), &bundle.id, bundle.spawn(&arguments(bundle)))
}

/// A `create` that fails, names what it is about, and leaves no unit.
#[track_caller]
fn refused(bundle: &Bundle, words: &[&str]) {
    bundle.write();
    bundle.command(&arguments(bundle)).failure(words);
    bundle.assert_clean();
    if Path::new("/run/systemd/system").is_dir() {
        assert_eq!(show(&scope(bundle), "LoadState"), "not-found");
    }
}

/// A property as systemd tells it.
#[track_caller]
fn show(unit: &str, property: &str) -> String {
    systemctl(&["show", "--value", "-p", property, unit])
}

#[track_caller]
fn systemctl(args: &[&str]) -> String {
    let output = Command::new("systemctl").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "systemctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn directory(container: &Container) -> PathBuf {
    cgroup::dir("", &cgroup::of(container.pid(), ""))
}

#[track_caller]
fn read(directory: &Path, file: &str) -> String {
    crate::cgroups::read(directory, file)
}

#[track_caller]
fn assert_shown(bundle: &Bundle, expected: &[(&str, &str)]) {
    for (property, value) in expected {
        assert_eq!(show(&scope(bundle), property), *value, "{property}");
    }
}

/// LNX-51, LNX-55: the scope is in the slice that was asked for, delegated, and goes with the container.
#[test]
fn scope_and_slice() {
    need_systemd!();
    let mut bundle = bundle("exec sleep 1000");
    bundle.set("/linux/cgroupsPath", json!(format!("t-{0}.slice:t:{0}", bundle.tag().replace('-', "_"))));
    let name = bundle.tag().replace('-', "_");
    let container = create(&bundle);
    let unit = format!("t-{name}.scope");
    assert_eq!(cgroup::of(container.pid(), ""), format!("/t.slice/t-{name}.slice/{unit}"));
    for (property, value) in
        [("ActiveState", "active"), ("Slice", &format!("t-{name}.slice")), ("Delegate", "yes"), ("Transient", "yes")]
    {
        assert_eq!(show(&unit, property), value, "{property}");
    }
    container.start();
    assert_eq!(container.status(), "running");
    container.stop();
    container.delete();
    assert_eq!(show(&unit, "LoadState"), "not-found");
    systemctl(&["stop", &format!("t-{name}.slice"), "t.slice"]);
}

/// LNX-53: without a path the scope is named after the container.
#[test]
fn no_path() {
    need_systemd!();
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.remove("/linux/cgroupsPath");
    let container = create(&bundle);
    assert_eq!(cgroup::of(container.pid(), ""), format!("/system.slice/orlop-{}.scope", bundle.id));
}

/// LNX-69, LNX-70, LNX-71, LNX-76, LNX-77, LNX-80, LNX-81, LNX-92: systemd knows every limit, and the files say the
/// same, also after it has read its configuration again.
#[test]
fn limits() {
    need_systemd!();
    let mut bundle = bundle("exec sleep 1000");
    bundle.set(
        "/linux/resources",
        json!({
            "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
            "cpu": {"shares": 512, "quota": 30000, "period": 100000, "cpus": "0", "mems": "0", "burst": 1000},
            "pids": {"limit": 17},
            "unified": {"memory.high": "50331648", "memory.min": "1048576", "memory.oom.group": "1"},
        }),
    );
    let container = create(&bundle);
    let shown = [
        ("MemoryMax", "67108864"),
        ("MemoryLow", "33554432"),
        ("MemorySwapMax", "33554432"),
        ("MemoryHigh", "50331648"),
        ("MemoryMin", "1048576"),
        ("CPUWeight", "59"),
        ("CPUQuotaPerSecUSec", "300ms"),
        ("CPUQuotaPeriodUSec", "100ms"),
        ("AllowedCPUs", "0"),
        ("AllowedMemoryNodes", "0"),
        ("TasksMax", "17"),
        ("OOMPolicy", "kill"),
        ("MemoryAccounting", "yes"),
        ("IOAccounting", "yes"),
    ];
    assert_shown(&bundle, &shown);
    let files = [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.swap.max", "33554432"),
        ("memory.high", "50331648"),
        ("memory.oom.group", "1"),
        ("cpu.weight", "59"),
        ("cpu.max", "30000 100000"),
        ("cpu.max.burst", "1000"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("pids.max", "17"),
    ];
    let directory = directory(&container);
    let check = || files.iter().for_each(|(file, value)| assert_eq!(read(&directory, file), *value, "{file}"));
    check();
    systemctl(&["daemon-reload"]);
    check();
    assert_shown(&bundle, &shown);
}

/// LNX-66: device rules hold, and still do after a daemon-reload; also those that systemd cannot express.
#[test]
fn devices_survive_a_reload() {
    need_systemd!();
    let mut bundle = bundle(
        "look() { for name in zero kmsg rtc; do head -c 1 /dev/$name >/dev/null 2>&1; echo $1 $name $?; done; }
         (exec 3</dev/kmsg) && true; look before; read line </go; look after; exec sleep 1000",
    );
    let node = |path: &str, major: u32, minor: u32| json!({"path": path, "type": "c", "major": major, "minor": minor});
    bundle.set("/linux/devices", json!([node("/dev/kmsg", 1, 11), node("/dev/rtc", 1, 5)]));
    // All of major 1 but kmsg: a list of what is allowed cannot say that.
    let rule =
        |allow: bool, minor: i64| json!({"allow": allow, "type": "c", "major": 1, "minor": minor, "access": "rw"});
    bundle.set("/linux/resources", json!({"devices": [{"allow": false}, rule(true, -1), rule(false, 11)]}));
    let go = bundle.rootfs("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let container = create(&bundle);
    assert_eq!(show(&scope(&bundle), "DevicePolicy"), "strict");
    assert!(show(&scope(&bundle), "DeviceAllow").contains("char-1 rw"));
    container.start().wait_output("before rtc 0");
    systemctl(&["daemon-reload"]);
    fs::write(&go, "\n").unwrap();
    let output = container.wait_output("after rtc 0");
    for line in ["before zero 0", "before kmsg 1", "after zero 0", "after kmsg 1"] {
        assert!(output.contains(line), "{line} in {output}");
    }
}

/// A privileged container's scope restricts nothing.
#[test]
fn all_devices() {
    need_systemd!();
    let mut bundle = bundle("exec sleep 1000");
    bundle.set("/linux/resources", json!({"devices": [{"allow": true, "access": "rwm"}]}));
    let _container = create(&bundle);
    assert_shown(&bundle, &[("DevicePolicy", "auto"), ("DeviceAllow", "")]);
}

/// `org.systemd.property.*` annotations that are allowed arrive.
#[test]
fn annotations() {
    need_systemd!();
    let mut bundle = bundle("exec sleep 1000");
    bundle.set(
        "/annotations",
        json!({
            "org.systemd.property.TimeoutStopSec": "7",
            "org.systemd.property.KillSignal": "int32 10",
            "org.systemd.property.CollectMode": "'inactive-or-failed'",
            "org.systemd.property.After": "['basic.target']",
        }),
    );
    let _container = create(&bundle);
    assert_shown(&bundle, &[("TimeoutStopUSec", "7s"), ("KillSignal", "10"), ("CollectMode", "inactive-or-failed")]);
    assert!(show(&scope(&bundle), "After").contains("basic.target"));
}

/// CVE-2024-3154: others are refused, whoever asks; nothing has been made by then.
#[test]
fn unsafe_annotations() {
    let mut bundle = bundle("exit 0");
    for (name, value) in [("ExecStopPost", "'x'"), ("OnFailure", "['x.service']"), ("KillSignal", "'x'")] {
        bundle.set("/annotations", json!({ format!("org.systemd.property.{name}"): value }));
        refused(&bundle, &["annotations", name]);
    }
}

/// LNX-54: other forms of a path are refused, and the right one is named.
#[test]
fn wrong_paths() {
    let mut bundle = bundle("exit 0");
    for path in ["/a/b", "name", "a.slice:b", "a.slice:b:c:d"] {
        bundle.set("/linux/cgroupsPath", json!(path));
        refused(&bundle, &["linux.cgroupsPath", path, "slice:prefix:name"]);
    }
    for path in ["a:b:c", "a/b.slice:b:c", "a.slice:b:c.slice"] {
        bundle.set("/linux/cgroupsPath", json!(path));
        refused(&bundle, &["linux.cgroupsPath", path]);
    }
}

/// RT-34: a create that fails once the scope is there takes it away again.
#[test]
fn failed_create() {
    need_systemd!();
    let mut bundle = bundle("exit 0");
    bundle.hook("createRuntime", "exit 3");
    refused(&bundle, &["hooks.createRuntime"]);
    let mut bundle = self::bundle("exit 0");
    bundle.set("/linux/resources", json!({"unified": {"memory.max": "nonsense"}}));
    refused(&bundle, &["linux.resources.unified", "memory.max"]);
    let mut bundle = self::bundle("exit 0");
    bundle.args(&["/no/such/program"]);
    refused(&bundle, &["/no/such/program"]);
}

/// Commands need no flag: the driver is recorded.
#[test]
fn later_commands() {
    need_systemd!();
    let bundle = bundle("trap 'exit 5' TERM; echo ready; sleep 1000 & wait");
    let container = create(&bundle);
    container.start().wait_output("ready");
    let inside = container.command(&["exec", &container.id, "cat", "/proc/self/cgroup"]).success().stdout;
    assert!(inside.trim_end().ends_with(&scope(&bundle)), "{inside}");
    container.command(&["pause", &container.id]).success();
    assert_eq!(container.status(), "paused");
    container.command(&["resume", &container.id]).success();
    assert_eq!(container.status(), "running");
    container.kill("TERM");
    assert_eq!(container.wait(), 5);
    container.try_delete(&[]).success();
    assert_eq!(show(&scope(&bundle), "LoadState"), "not-found");
}

/// `delete --force` of a running container that shares the host's pid namespace ends all of it.
#[test]
fn forced_delete() {
    need_systemd!();
    let mut bundle = bundle("sleep 1000 & exec sleep 1000");
    bundle.share("pid");
    let container = create(&bundle);
    container.start();
    let directory = directory(&container);
    container.try_delete(&["--force"]).success();
    assert!(!directory.exists());
    assert_eq!(show(&scope(&bundle), "LoadState"), "not-found");
}

/// After `update`, systemd and the files still agree.
#[test]
fn update() {
    need_systemd!();
    let bundle = bundle("exec sleep 1000");
    let container = create(&bundle);
    let flags = ["--memory", "33554432", "--pids-limit", "9", "--cpu-quota", "33333", "--cpu-period", "100000"];
    container.command(&[&["update"], &flags[..], &[&container.id]].concat()).success();
    // A quota is kept in whole percents; the file has the exact one.
    assert_shown(&bundle, &[("MemoryMax", "33554432"), ("TasksMax", "9"), ("CPUQuotaPerSecUSec", "340ms")]);
    let directory = directory(&container);
    for (file, value) in [("memory.max", "33554432"), ("pids.max", "9"), ("cpu.max", "33333 100000")] {
        assert_eq!(read(&directory, file), value, "{file}");
    }
}

/// An update that fails at its very end, when the new configuration is to be kept, is taken back: systemd
/// knows the former limits, as do the files.
#[test]
fn an_update_taken_back() {
    need_systemd!();
    let mut bundle = bundle("exec sleep 1000");
    let resources = json!({"memory": {"limit": 64 << 20}, "cpu": {"quota": 33_333, "period": 100_000}});
    bundle.set("/linux/resources", resources);
    let container = create(&bundle);
    let config = bundle.scratch().state_root().join(&bundle.id).join("config.json");
    let shown =
        || ["MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "AllowedCPUs"].map(|name| show(&scope(&bundle), name));
    let written = || {
        ["memory.max", "pids.max", "cpu.max", "cpuset.cpus.effective"].map(|file| read(&directory(&container), file))
    };
    let before = (shown(), written());
    // What something is mounted on cannot be replaced.
    let on_itself = |command: &str, args: &[&str]| {
        assert!(Command::new(command).args(args).arg(&config).stdin(Stdio::null()).status().unwrap().success());
    };
    on_itself("mount", &["--bind", config.to_str().unwrap()]);
    let flags = ["--memory", "33554432", "--pids-limit", "9", "--cpu-quota", "50000", "--cpuset-cpus", "0"];
    let output = container.command(&[&["update"], &flags[..], &[&container.id]].concat());
    on_itself("umount", &[]);
    output.failure(&["config.json", "renameat", "EBUSY"]);
    assert_eq!((shown(), written()), before);
}

/// A scope that has failed keeps its name until somebody resets it: that is done.
#[test]
fn failed_unit_in_the_way() {
    need_systemd!();
    let bundle = bundle("exec sleep 1000");
    let unit = scope(&bundle);
    let run = ["--scope", "--quiet", "--unit", &unit, "-p", "RuntimeMaxSec=1", "-p", "TimeoutStopSec=1"];
    let status = Command::new("systemd-run").args(run).args(["sleep", "1000"]).stdin(Stdio::null()).status().unwrap();
    assert!(!status.success());
    crate::harness::eventually("the scope fails", || (show(&unit, "ActiveState") == "failed").then_some(()));
    let _container = create(&bundle);
    assert_eq!(show(&unit, "ActiveState"), "active");
}

/// One that is alive is somebody else's: it is neither joined nor stopped.
#[test]
fn unit_of_somebody_else() {
    need_systemd!();
    let bundle = bundle("exec sleep 1000");
    let unit = scope(&bundle);
    let mut other = Command::new("systemd-run")
        .args(["--scope", "--quiet", "--unit", &unit, "sleep", "1000"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    crate::harness::eventually("the other scope", || (show(&unit, "ActiveState") == "active").then_some(()));
    bundle.write();
    bundle.command(&arguments(&bundle)).failure(&["linux.cgroupsPath", &unit]);
    assert_eq!(show(&unit, "ActiveState"), "active");
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
    crate::harness::eventually("the other scope's end", || (show(&unit, "LoadState") == "not-found").then_some(()));
}

/// Which a user's session has: `XDG_RUNTIME_DIR/bus`, a slice below `user@1000.service`, no root.
#[test]
fn user_session() {
    need_systemd!();
    let bundle = Bundle::new();
    let home = bundle.file("home");
    fs::create_dir(&home).unwrap();
    nix::unistd::chown(&home, Some(1000.into()), Some(1000.into())).unwrap();
    let name = bundle.tag();
    let script = format!(
        r#"set -e; cd {home}; cp -a /usr/lib/vm/rootfs rootfs; export XDG_RUNTIME_DIR=/run/user/1000
        orlop() {{ {orlop} --root {home}/state "$@"; }}
        orlop spec --rootless
        jq '.process.terminal = false | .process.args = ["sleep", "1000"] | .linux.cgroupsPath = "user.slice:t:{name}" |
            .linux.resources = {{memory: {{limit: 67108864}}, pids: {{limit: 17}}}}' config.json >new && mv new config.json
        orlop --systemd-cgroup create c <&- >out 2>&1
        pid=$(orlop state c | jq .pid)
        cat /proc/$pid/cgroup
        systemctl --user show --value -p MemoryMax -p TasksMax -p Slice -p Delegate t-{name}.scope
        cat /sys/fs/cgroup$(sed s/0::// /proc/$pid/cgroup)/pids.max
        orlop start c; orlop kill c KILL
        for i in $(seq 100); do [ "$(orlop state c | jq -r .status)" = stopped ] && break; sleep 0.1; done
        orlop delete c
        systemctl --user show --value -p LoadState t-{name}.scope"#,
        home = home.display(),
        orlop = crate::harness::runtime::program().display(),
    );
    let output = Command::new("runuser").args(["-u", "user", "--", "bash", "-c", &script]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}{}", fs::read_to_string(home.join("out")).unwrap_or_default());
    let lines: Vec<_> = out.lines().filter(|line| !line.is_empty()).collect();
    let path = format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/t-{name}.scope");
    assert_eq!(lines[0], path);
    let mut shown = lines[1..5].to_vec();
    shown.sort_unstable();
    assert_eq!(shown, ["17", "67108864", "user.slice", "yes"]);
    assert_eq!(lines[5..], ["17", "not-found"]);
}

/// Where nobody answers, a command ends with an error all the same: no bus, and one that is silent.
#[test]
fn silent_bus() {
    let bundle = bundle("exit 0");
    bundle.write();
    let create = |address: &str| {
        let mut command = bundle.prepare(&arguments(&bundle));
        command.env("DBUS_SYSTEM_BUS_ADDRESS", address);
        bundle.finish(command)
    };
    create("unix:path=/no/such/bus").failure(&["linux.cgroupsPath", "/no/such/bus", "ENOENT"]);
    let socket = bundle.file("bus");
    let listener = UnixListener::bind(&socket).unwrap();
    create(&format!("unix:path={}", socket.display())).failure(&["linux.cgroupsPath", "no answer within"]);
    drop(listener);
    bundle.assert_clean();
}

/// FEAT-16: what the features say about it; the annotations are named as such that need care.
#[test]
fn features() {
    let bundle = Bundle::new();
    let features: Value = serde_json::from_str(&bundle.command(&["features"]).success().stdout).unwrap();
    assert_eq!(features["linux"]["cgroup"]["systemdUser"], true);
    let unsafe_ones = features["potentiallyUnsafeConfigAnnotations"].as_array().unwrap();
    assert!(unsafe_ones.contains(&json!("org.systemd.property.")));
}
