//! `update`: other limits for a container that exists.

use std::fs::{self, File};

use crate::cgroups::{read, sleeping};
use crate::harness::{Bundle, Container, Output, Value, cgroup, eventually, json};

/// A file of the container's cgroup: its name on version 1 and on version 2.
#[track_caller]
fn value(bundle: &Bundle, controller: &str, v1: &str, v2: &str) -> String {
    read(&bundle.cgroup(controller), if cgroup::is_v2() { v2 } else { v1 })
}

#[track_caller]
fn memory_limit(bundle: &Bundle) -> String {
    value(bundle, "memory", "memory.limit_in_bytes", "memory.max")
}

fn update(container: &Container, flags: &[&str]) -> Output {
    container.command(&[&["update"], flags, &[&container.id]].concat())
}

/// `update` with resources on standard input.
fn update_from_stdin(bundle: &Bundle, flags: &[&str], resources: &Value) -> Output {
    let file = bundle.scratch().dir.join("resources.json");
    fs::write(&file, resources.to_string()).unwrap();
    let mut command = bundle.prepare(&[&["update"], flags, &[bundle.id.as_str()]].concat());
    command.stdin(File::open(&file).unwrap());
    bundle.finish(command)
}

/// The resources in the configuration that is kept with the container.
fn kept(bundle: &Bundle) -> Value {
    let text = fs::read_to_string(bundle.scratch().state_root().join(&bundle.id).join("config.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["linux"]["resources"].take()
}

/// LNX-69, LNX-77, LNX-80, LNX-93: what the flags say is in the files.
#[test]
fn flags() {
    let (bundle, container) = sleeping(json!({"memory": {"limit": 64 << 20}}));
    container.start();
    let flags = [
        "--memory=96M",
        "--memory-reservation",
        "33554432",
        "--cpu-share",
        "512",
        "--cpu-period=50000",
        "--cpu-quota",
        "25000",
        "--pids-limit",
        "77",
        "--cpuset-cpus",
        "0",
        "--cpuset-mems=0",
    ];
    let output = update(&container, &flags).success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    assert_eq!(memory_limit(&bundle), (96 << 20).to_string());
    assert_eq!(value(&bundle, "memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432");
    assert_eq!(value(&bundle, "cpu", "cpu.shares", "cpu.weight"), if cgroup::is_v2() { "59" } else { "512" });
    let quota = value(&bundle, "cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota, if cgroup::is_v2() { "25000 50000" } else { "25000" });
    assert_eq!(value(&bundle, "pids", "pids.max", "pids.max"), "77");
    assert_eq!(container.proc_status("Cpus_allowed_list"), "0");
    update(&container, &["--pids-limit", "-1", "--memory", "-1", "--cpu-quota=-1"]).success();
    assert_eq!(value(&bundle, "pids", "pids.max", "pids.max"), "max");
    let quota = value(&bundle, "cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota, if cgroup::is_v2() { "max 50000" } else { "-1" });
    assert_eq!(kept(&bundle)["memory"], json!({"limit": -1, "reservation": 32 << 20}));
    assert_eq!(kept(&bundle)["cpu"]["shares"], 512);
}

/// LNX-79, LNX-83: burst and idle, in whichever order the kernel takes them; an idle cgroup gets its weight back.
#[test]
fn burst_and_idle() {
    let (bundle, container) = sleeping(json!({"cpu": {"quota": 50_000, "period": 100_000, "shares": 512}}));
    if !bundle.cgroup("cpu").join("cpu.idle").exists() {
        skip!("this kernel has no cpu.idle");
    }
    update(&container, &["--cpu-burst", "30000", "--cpu-idle", "1"]).success();
    assert_eq!(value(&bundle, "cpu", "cpu.cfs_burst_us", "cpu.max.burst"), "30000");
    assert_eq!(read(&bundle.cgroup("cpu"), "cpu.idle"), "1");
    // The quota falls below the burst, which has to go first.
    update(&container, &["--cpu-quota", "20000", "--cpu-burst", "10000", "--cpu-idle", "0"]).success();
    assert_eq!(value(&bundle, "cpu", "cpu.cfs_burst_us", "cpu.max.burst"), "10000");
    assert_eq!(value(&bundle, "cpu", "cpu.shares", "cpu.weight"), if cgroup::is_v2() { "59" } else { "512" });
    let output = update(&container, &["--cpu-quota", "5000"]);
    output.failure(&["linux.resources.cpu.burst: 10000 is more than cpu.quota (5000)"]);
}

/// Resources as JSON, as engines write them; containerd's "deny all" takes no device away.
#[test]
fn resources() {
    let mut bundle = Bundle::with_script("while :; do cat /dev/null || exit 9; sleep 0.1; done");
    bundle.set("/linux/resources", json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 99}}));
    let container = bundle.create();
    container.start();
    let document = |limit: u64| {
        json!({"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": limit, "swap": 0}, "cpu": {"shares": 0},
               "pids": null, "blockIO": {"weight": 0}, "hugepageLimits": null, "network": null})
    };
    for (flags, limit) in
        [(&["--resources", "-"][..], 70 << 20), (&["--resources=-"], 71 << 20), (&["-r", "-"], 72 << 20)]
    {
        let output = update_from_stdin(&bundle, flags, &document(limit)).success();
        assert_eq!(output.stderr, "");
        assert_eq!(memory_limit(&bundle), limit.to_string());
    }
    let file = bundle.scratch().dir.join("limits.json");
    fs::write(&file, document(73 << 20).to_string()).unwrap();
    // All other options are ignored.
    update(&container, &["--resources", file.to_str().unwrap(), "--pids-limit", "5"]).success();
    assert_eq!(memory_limit(&bundle), (73 << 20).to_string());
    assert_eq!(value(&bundle, "pids", "pids.max", "pids.max"), "99");
    assert_eq!(container.status(), "running");
    update(&container, &["--resources", "/nonexistent"]).failure(&["--resources /nonexistent", "no such file"]);
    update_from_stdin(&bundle, &["-r", "-"], &json!({"pids": {"limit": "many"}}))
        .failure(&["linux.resources.pids.limit"]);
}

/// All or nothing: what was written before the kernel refused a value is taken back.
#[test]
fn a_refused_value_takes_all_back() {
    let (bundle, container) =
        sleeping(json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 42}, "cpu": {"shares": 300}}));
    let before = [memory_limit(&bundle), value(&bundle, "cpu", "cpu.shares", "cpu.weight")];
    let config = kept(&bundle);
    let output = update(&container, &["--memory=80M", "--cpu-share=700", "--pids-limit=7", "--cpuset-cpus=4000"]);
    output.failure(&["linux.resources.cpu.cpus: ", "cpuset.cpus (4000)"]);
    assert_eq!([memory_limit(&bundle), value(&bundle, "cpu", "cpu.shares", "cpu.weight")], before);
    assert_eq!(read(&bundle.cgroup("pids"), "pids.max"), "42");
    assert_eq!(kept(&bundle), config);
    let state = bundle.scratch().state_root().join(&bundle.id);
    assert!(!state.join("config.json.new").exists());
    // An idle cgroup has forgotten its weight by the time that the next value is refused.
    if bundle.cgroup("cpu").join("cpu.idle").exists() {
        update(&container, &["--cpu-idle=1", "--cpuset-cpus=4000"]).failure(&["cpuset.cpus"]);
        assert_eq!(read(&bundle.cgroup("cpu"), "cpu.idle"), "0");
        assert_eq!(value(&bundle, "cpu", "cpu.shares", "cpu.weight"), before[1]);
    }
}

/// The same where it is the new configuration that cannot be kept: something is mounted on the file.
#[test]
fn what_cannot_be_kept_is_taken_back() {
    let (bundle, container) = sleeping(json!({"memory": {"limit": 64 << 20}}));
    let config = bundle.scratch().state_root().join(&bundle.id).join("config.json");
    let cpus = || container.proc_status("Cpus_allowed_list");
    let before = (memory_limit(&bundle), cpus());
    let none = None::<&str>;
    nix::mount::mount(Some(&config), &config, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
    let output = update(&container, &["--memory=80M", "--cpuset-cpus=0"]);
    nix::mount::umount(&config).unwrap();
    let output = output.failure(&["config.json", "renameat", "EBUSY"]);
    assert!(!output.stderr.contains("taken back"), "{}", output.stderr);
    assert_eq!((memory_limit(&bundle), cpus()), before);
    assert!(!config.with_extension("json.new").exists());
}

/// LNX-71: memory and swap belong together, whichever of them changes.
#[test]
fn memory_and_swap() {
    let (bundle, container) = sleeping(json!({"memory": {"limit": 64 << 20, "swap": 128 << 20}}));
    let swap = |bundle: &Bundle| value(bundle, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
    let expected = |memory: u64, both: u64| (if cgroup::is_v2() { both - memory } else { both } << 20).to_string();
    update(&container, &["--memory=80M"]).success();
    assert_eq!((memory_limit(&bundle), swap(&bundle)), ((80 << 20).to_string(), expected(80, 128)));
    // Both grow above what the other was, and shrink below.
    update(&container, &["--memory=256M", "--memory-swap=512M"]).success();
    assert_eq!((memory_limit(&bundle), swap(&bundle)), ((256 << 20).to_string(), expected(256, 512)));
    update(&container, &["--memory=32M", "--memory-swap=48M"]).success();
    assert_eq!((memory_limit(&bundle), swap(&bundle)), ((32 << 20).to_string(), expected(32, 48)));
    update(&container, &["--memory=64M"]).failure(&["linux.resources.memory.swap", "less than memory.limit"]);
    assert_eq!(memory_limit(&bundle), (32 << 20).to_string());
}

/// A container that holds on to 40 MiB: files in memory, and no swap to write them to.
fn holding() -> (Bundle, Container) {
    let mut bundle =
        Bundle::with_script("dd if=/dev/zero of=/dev/file bs=1M count=40 2>/dev/null; echo held; exec sleep 1000");
    bundle.set("/linux/resources", json!({"memory": {"limit": 256 << 20, "swap": 256 << 20}}));
    let container = bundle.create();
    container.start().wait_output("held");
    (bundle, container)
}

/// LNX-69: a limit below what a container uses and cannot give up is refused; nobody is killed.
#[test]
fn a_limit_below_use() {
    let (bundle, container) = holding();
    let config = kept(&bundle);
    let output = update(&container, &["--memory=16M", "--memory-swap=16M", "--pids-limit=50"]);
    output.failure(&["linux.resources.memory.limit", "unable to set memory limit to 16777216", "current usage: "]);
    assert_eq!(memory_limit(&bundle), (256 << 20).to_string());
    assert_eq!(container.status(), "running");
    assert_eq!(kept(&bundle), config);
    if cgroup::is_v2() {
        assert_eq!(read(&bundle.cgroup("memory"), "memory.high"), "max");
    }
    update(&container, &["--memory=128M", "--memory-swap=128M"]).success();
    assert_eq!(memory_limit(&bundle), (128 << 20).to_string());
}

/// A block device of 64 MiB.
pub(crate) struct Loop(String);

impl Loop {
    /// None where the machine has no loop devices.
    pub(crate) fn new(bundle: &Bundle) -> Option<Self> {
        let image = bundle.scratch().dir.join("disk");
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let output = std::process::Command::new("losetup").args(["--find", "--show"]).arg(&image).output().ok()?;
        output.status.success().then(|| Self(String::from_utf8(output.stdout).unwrap().trim().to_owned()))
    }

    pub(crate) fn numbers(&self) -> (u64, u64) {
        use std::os::unix::fs::MetadataExt as _;
        let device = fs::metadata(&self.0).unwrap().rdev();
        (nix::sys::stat::major(device), nix::sys::stat::minor(device))
    }

    /// Makes it /dev/disk of the container, to be read and written.
    pub(crate) fn give(&self, bundle: &mut Bundle) {
        let (major, minor) = self.numbers();
        bundle.push("/linux/devices", json!({"path": "/dev/disk", "type": "b", "major": major, "minor": minor}));
        let rule = json!({"allow": true, "type": "b", "major": major, "minor": minor, "access": "rw"});
        bundle
            .push("/linux/resources/devices", json!({"allow": false, "access": "rwm"}))
            .push("/linux/resources/devices", rule);
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

/// LNX-69, LNX-76: what can be reclaimed makes room for a lower limit, unless `checkBeforeUpdate` says that it must not.
#[test]
fn a_limit_below_what_can_be_reclaimed() {
    let mut bundle =
        Bundle::with_script("exec 3</dev/disk; dd of=/dev/null bs=1M count=40 <&3 2>/dev/null; echo read; sleep 1000");
    bundle.set("/linux/resources", json!({"memory": {"limit": 256 << 20}}));
    let Some(disk) = Loop::new(&bundle) else { skip!("no loop devices here") };
    disk.give(&mut bundle);
    let container = bundle.create();
    container.start().wait_output("read");
    let usage = || value(&bundle, "memory", "memory.usage_in_bytes", "memory.current").parse::<u64>().unwrap();
    assert!(usage() > 40 << 20, "{}", usage());
    let check = json!({"memory": {"limit": 16 << 20, "checkBeforeUpdate": true}});
    update_from_stdin(&bundle, &["-r", "-"], &check)
        .failure(&["linux.resources.memory.limit", "unable to set memory limit"]);
    assert_eq!(memory_limit(&bundle), (256 << 20).to_string());
    update(&container, &["--memory=16M"]).success();
    assert_eq!(memory_limit(&bundle), (16 << 20).to_string());
    assert_eq!(container.status(), "running");
    if cgroup::is_v2() {
        assert_eq!(read(&bundle.cgroup("memory"), "memory.high"), "max");
    }
}

/// The new limit bites.
#[test]
fn fewer_processes() {
    let mut bundle = Bundle::with_script(
        "echo ready; while [ ! -e /go ]; do sleep 0.1; done; for i in 1 2 3 4 5 6; do sleep 1000 & done; echo all",
    );
    bundle.set("/linux/resources", json!({"pids": {"limit": 100}}));
    let container = bundle.create();
    container.start().wait_output("ready");
    update(&container, &["--pids-limit=4"]).success();
    fs::write(bundle.rootfs("go"), "").unwrap();
    assert_ne!(container.wait(), 0);
    assert!(!container.stdout().contains("all"));
    assert!(container.stderr().contains("fork"), "{}", container.stderr());
}

/// A created and a paused container can be updated, a stopped one cannot.
#[test]
fn in_every_status() {
    let (bundle, container) = sleeping(json!({"pids": {"limit": 20}}));
    update(&container, &["--pids-limit=21"]).success();
    container.start();
    let (file, frozen, thawed) =
        if cgroup::is_v2() { ("cgroup.freeze", "1", "0") } else { ("freezer.state", "FROZEN", "THAWED") };
    let file = bundle.cgroup("freezer").join(file);
    fs::write(&file, frozen).unwrap();
    eventually("the container is not paused", || (container.status() == "paused").then_some(()));
    update(&container, &["--pids-limit=22"]).success();
    assert_eq!(container.status(), "paused");
    fs::write(&file, thawed).unwrap();
    assert_eq!(read(&bundle.cgroup("pids"), "pids.max"), "22");
    container.stop();
    update(&container, &["--pids-limit=23"]).failure(&["container not running"]);
    container.delete();
    bundle.command(&["update", "--pids-limit=24", &bundle.id]).failure(&["does not exist"]);
}

/// LNX-71, LNX-73, LNX-78, LNX-83, LNX-84: values that cannot be are refused before anything is written.
#[test]
fn invalid_values() {
    let (bundle, container) = sleeping(json!({"pids": {"limit": 42}}));
    for (flags, words) in [
        (&["--memory=1X"][..], &["--memory", "1X"][..]),
        (&["--memory=-2"], &["--memory"]),
        (&["--cpu-quota=-7"], &["linux.resources.cpu.quota"]),
        (&["--cpu-idle=2"], &["linux.resources.cpu.idle"]),
        (&["--blkio-weight=5"], &["linux.resources.blockIO.weight"]),
        (&["--l3-cache-schema=L3:0=f"], &["intelRdt"]),
        (&["--nonsense=1"], &["nonsense"]),
    ] {
        update(&container, &[&["--pids-limit=5"], flags].concat()).failure(words);
        assert_eq!(read(&bundle.cgroup("pids"), "pids.max"), "42");
    }
    update(&container, &["--kernel-memory=1G", "--kernel-memory-tcp=1G"]).success();
}

/// Of updates at the same time each is made as a whole: what is kept is what is in force.
#[test]
fn at_the_same_time() {
    let (bundle, _container) = sleeping(json!({"pids": {"limit": 100}}));
    let commands: Vec<_> = (1..=6)
        .map(|n| {
            let (memory, pids) = (format!("--memory={n}00M"), format!("--pids-limit={n}00"));
            bundle.spawn(&["update", &memory, &pids, &bundle.id])
        })
        .collect();
    for command in commands {
        command.finish().success();
    }
    let kept = kept(&bundle);
    let pids = kept["pids"]["limit"].as_u64().unwrap();
    assert_eq!(kept["memory"]["limit"], pids << 20);
    assert_eq!(read(&bundle.cgroup("pids"), "pids.max"), pids.to_string());
    assert_eq!(memory_limit(&bundle), (pids << 20).to_string());
}
