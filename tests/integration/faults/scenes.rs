//! The commands whose calls fail, and how one sees what has become of their containers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use nix::unistd::Pid;

use super::tracer::Trace;
use crate::harness::scratch::path;
use crate::harness::{Bundle, Container, Value, eventually, host, json};

/// A command in its circumstances.
pub(super) trait Scene {
    fn bundle(&self) -> &Bundle;

    /// Makes what has to be there before the command.
    fn prepare(&mut self) {}

    /// Whether that includes a create of the same id.
    fn creates_before(&self) -> bool {
        false
    }

    /// The command and its arguments.
    fn args(&self) -> Vec<String>;

    /// Whoever else takes part in it.
    fn init(&self) -> Option<Pid> {
        None
    }

    /// All that can be seen of what a command has done that says it succeeded. The same, whenever it did.
    fn look(&mut self, trace: &Trace) -> String;

    /// What is not as it has to be after the command said that it failed.
    fn after_failure(&mut self) -> Vec<String>;

    /// Lets go of what `prepare` has made, which `delete --force` has taken away.
    fn release(&mut self) {}
}

/// Says everything of itself that its configuration decides.
const SELF_PORTRAIT: &str = "pwd; umask; hostname; env | sort; ulimit -a
grep -E '^(Uid|Gid|Groups|SigBlk|SigIgn|SigCgt|Cap|NoNewPrivs|Seccomp|Cpus_allowed_list|Mems_allowed_list)' /proc/self/status
for f in limits cgroup uid_map gid_map oom_score_adj timens_offsets mountinfo sessionid personality; do
  echo \"$f:\"; cat /proc/self/$f
done 2>&1
sed 's/.*keyring *//' /proc/keys; cat /sys/class/net/lo/flags /proc/sys/net/ipv4/ip_forward
stat -c '%n %F %a %u %g %t:%T' /dev/* /dev/shm/*
ls /proc/self/fd";

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|&word| word.to_owned()).collect()
}

/// With what the processes that this program runs as tell of themselves.
fn portrayed() -> Bundle {
    Bundle::with_script(SELF_PORTRAIT)
}

/// A container with a part of everything: its create takes most ways through the runtime.
pub(super) fn rich() -> Bundle {
    let mut bundle = portrayed();
    let marks = bundle.file("marks");
    unmark(&bundle);
    let mark = |name: &str| format!("echo {name} >> {}", path(&marks));
    bundle.namespace("cgroup").namespace("time").mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    bundle.mount("/mnt", "bind", path(&bundle.dir.clone()), &["rbind", "ro", "nosuid"]);
    for (kind, name) in [
        ("prestart", "prestart"),
        ("createRuntime", "createRuntime"),
        ("createContainer", "createContainer"),
        ("poststart", "poststart"),
        ("poststop", "poststop"),
    ] {
        bundle.hook(kind, &mark(name));
    }
    bundle.push("/hooks/startContainer", json!({"path": "/bin/touch", "args": ["touch", "/dev/shm/started"]}));
    bundle.set("/domainname", json!("example"));
    bundle.set("/linux/timeOffsets", json!({"monotonic": {"secs": 1000}}));
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}));
    bundle.set("/linux/maskedPaths", json!(["/proc/kcore", "/proc/sys/kernel"]));
    bundle.set("/linux/readonlyPaths", json!(["/proc/sys", "/proc/bus"]));
    bundle.set("/linux/rootfsPropagation", json!("private"));
    bundle.set("/linux/devices", json!([{"path": "/dev/own", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640}]));
    bundle.set("/linux/resources", limits());
    bundle.set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["swapon", "kexec_load"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
        }),
    );
    bundle.set("/process/oomScoreAdj", json!(100));
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6}));
    bundle.set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5}));
    bundle.set("/process/user", json!({"uid": 7, "gid": 8, "umask": 0o27, "additionalGids": [9, 10]}));
    bundle.set("/process/cwd", json!("/root/work"));
    bundle
}

/// The same in a user namespace of its own, where less can be set.
pub(super) fn mapped() -> Bundle {
    let mut bundle = rich();
    bundle.user_namespace(100_000, 65536);
    bundle.remove("/process/scheduler").remove("/process/ioPriority").remove("/linux/devices");
    bundle
}

fn limits() -> Value {
    json!({
        "pids": {"limit": 50},
        "memory": {"limit": 64 << 20},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
        "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw"}]
    })
}

/// What the container's cgroups say.
fn cgroups(bundle: &Bundle) -> String {
    const FILES: [&str; 9] = [
        "pids.max",
        "memory.limit_in_bytes",
        "memory.max",
        "cpu.shares",
        "cpu.weight",
        "cpu.cfs_quota_us",
        "cpu.max",
        "devices.list",
        "cgroup.type",
    ];
    let mut seen = String::new();
    for dir in host::cgroups(bundle.tag()) {
        seen += &format!("{}\n", dir.display());
        for name in FILES {
            if let Ok(text) = fs::read_to_string(dir.join(name)) {
                seen += &format!("{name}: {text}");
            }
        }
    }
    seen
}

/// What the kernel numbers anew each time, left out.
fn steady(text: &str) -> String {
    let line = |line: &str| match line.split_once(" - ") {
        // mountinfo: ids, the device, and peer groups.
        Some((mount, kind)) => {
            let mount = mount.split(' ').skip(3).map(|word| word.split_once(':').map_or(word, |(name, _)| name));
            format!("{} - {kind}\n", mount.collect::<Vec<_>>().join(" "))
        }
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Null, if there is no container.
fn status(bundle: &Bundle) -> Value {
    serde_json::from_str(&bundle.command(&["state", &bundle.id]).stdout).unwrap_or_default()
}

fn wait_stopped(bundle: &Bundle) {
    eventually("the program did not end", || (status(bundle)["status"] == "stopped").then_some(()));
}

/// Hooks inside have the ids of the container.
fn unmark(bundle: &Bundle) {
    fs::write(bundle.file("marks"), "").unwrap();
    fs::set_permissions(bundle.file("marks"), fs::Permissions::from_mode(0o666)).unwrap();
}

fn marks(bundle: &Bundle) -> String {
    fs::read_to_string(bundle.file("marks")).unwrap_or_default()
}

/// Neither the pid file nor anything that carries the test's name is there.
fn nothing_left(bundle: &Bundle) -> Vec<String> {
    let mut left = bundle.scratch().lasting_leftovers();
    if bundle.file("pid").exists() {
        left.push("the pid file".to_owned());
    }
    left
}

pub(super) struct Create(pub(super) Bundle);

impl Scene for Create {
    fn bundle(&self) -> &Bundle {
        &self.0
    }

    fn prepare(&mut self) {
        unmark(&self.0);
        let _ = fs::remove_file(self.0.file("pid"));
    }

    fn args(&self) -> Vec<String> {
        words(&["create", "--bundle", path(&self.0.dir), "--pid-file", path(&self.0.file("pid")), &self.0.id])
    }

    fn look(&mut self, trace: &Trace) -> String {
        let (bundle, state) = (&self.0, status(&self.0));
        let pid_file = fs::read_to_string(bundle.file("pid")).unwrap_or_default();
        let mut seen = format!("{}, pid file {}\n", state["status"], pid_file.parse().ok() == state["pid"].as_i64());
        seen += &cgroups(bundle);
        let started = bundle.command(&["start", &bundle.id]);
        seen += &format!("start: {} {}\n", started.code, started.stderr);
        wait_stopped(bundle);
        let _ = fs::remove_file(bundle.file("pid"));
        seen + &steady(&trace.running.stdout()) + &marks(bundle)
    }

    fn after_failure(&mut self) -> Vec<String> {
        nothing_left(&self.0)
    }
}

pub(super) struct Run(pub(super) Bundle);

impl Scene for Run {
    fn bundle(&self) -> &Bundle {
        &self.0
    }

    fn args(&self) -> Vec<String> {
        words(&["run", "--bundle", path(&self.0.dir), &self.0.id])
    }

    fn look(&mut self, trace: &Trace) -> String {
        format!("{:?}\n", self.0.scratch().lasting_leftovers()) + &steady(&trace.output.stdout)
    }

    /// What failed may be its delete.
    fn after_failure(&mut self) -> Vec<String> {
        if status(&self.0)["status"] == "stopped" { Vec::new() } else { nothing_left(&self.0) }
    }
}

/// A scene with a container that is there before.
pub(super) struct With {
    bundle: Bundle,
    kind: Kind,
    container: Option<Container>,
    before: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    Exec,
    Update,
    Delete,
}

impl With {
    pub(super) fn new(mut bundle: Bundle, kind: Kind) -> Self {
        if kind != Kind::Start {
            bundle.script("exec sleep 1000");
        }
        Self { bundle, kind, container: None, before: String::new() }
    }

    fn limits(&self) -> String {
        let kept = fs::read_to_string(self.bundle.state_root().join(&self.bundle.id).join("config.json")).unwrap();
        let kept: Value = serde_json::from_str(&kept).unwrap();
        format!("{}{}", cgroups(&self.bundle), kept["linux"]["resources"])
    }

    /// Whoever is in the container beside its first process, a moment after the command.
    fn strangers(&self) -> Vec<String> {
        let init = self.container.as_ref().unwrap().pid();
        let others = || host::processes(self.bundle.tag()).into_iter().filter(move |pid| *pid != init);
        for _ in 0..200 {
            if others().next().is_none() {
                return Vec::new();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        others().map(host::describe).collect()
    }
}

impl Scene for With {
    fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    fn prepare(&mut self) {
        unmark(&self.bundle);
        let container = self.bundle.create();
        if self.kind != Kind::Start {
            container.start();
        }
        if self.kind == Kind::Update {
            self.before = self.limits();
        }
        self.container = Some(container);
    }

    fn creates_before(&self) -> bool {
        true
    }

    fn args(&self) -> Vec<String> {
        let id = &*self.bundle.id;
        match self.kind {
            Kind::Start => words(&["start", id]),
            Kind::Exec => words(&["exec", id, "/bin/sh", "-c", SELF_PORTRAIT]),
            Kind::Update => {
                words(&["update", "--pids-limit=77", "--memory=96M", "--cpu-share=256", "--cpu-quota=25000", id])
            }
            Kind::Delete => words(&["delete", "--force", id]),
        }
    }

    fn init(&self) -> Option<Pid> {
        let container = self.container.as_ref().filter(|_| self.kind == Kind::Start)?;
        Some(Pid::from_raw(container.pid()))
    }

    fn look(&mut self, trace: &Trace) -> String {
        match self.kind {
            Kind::Start => {
                wait_stopped(&self.bundle);
                steady(&self.container.as_ref().unwrap().stdout()) + &marks(&self.bundle)
            }
            Kind::Exec => steady(&trace.output.stdout),
            Kind::Update => self.limits(),
            Kind::Delete => {
                // A poststop hook that fails is a warning (RT-32).
                let warned = trace.output.stderr.contains("warning: hooks.poststop");
                let hook = warned || marks(&self.bundle).ends_with("poststop\n");
                format!("{:?}, hook: {hook}", self.bundle.scratch().lasting_leftovers())
            }
        }
    }

    fn after_failure(&mut self) -> Vec<String> {
        match self.kind {
            // It can be tried again, unless init has got to know of it and ended.
            Kind::Start if status(&self.bundle)["status"] == "created" => {
                let again = self.bundle.command(&["start", &self.bundle.id]);
                if again.code == 0 { Vec::new() } else { vec![format!("a container that does not start: {again:?}")] }
            }
            Kind::Start | Kind::Delete => Vec::new(),
            Kind::Exec => self.strangers(),
            Kind::Update if self.limits() == self.before => Vec::new(),
            Kind::Update => vec![format!("a part of the update: {}, before: {}", self.limits(), self.before)],
        }
    }

    fn release(&mut self) {
        self.container = None;
    }
}

/// A command of a scene.
pub(super) fn command(scene: &dyn Scene) -> Command {
    let args = scene.args();
    scene.bundle().prepare(&args.iter().map(String::as_str).collect::<Vec<_>>())
}
