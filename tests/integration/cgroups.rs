//! `linux.cgroupsPath` and `linux.resources` (config-linux.md).

use std::fs;
use std::path::Path;

use crate::harness::{Bundle, Container, Value, cgroup, json};

/// A container that sleeps, with these resources.
pub(crate) fn sleeping(resources: Value) -> (Bundle, Container) {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/linux/resources", resources);
    let container = bundle.create();
    (bundle, container)
}

#[track_caller]
pub(crate) fn read(dir: &Path, file: &str) -> String {
    let path = dir.join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

/// Compares files of the container's cgroups with `(controller, file on version 1, its value, file on
/// version 2, its value)`; an empty name skips that version.
#[track_caller]
fn assert_files(bundle: &Bundle, expected: &[(&str, &str, &str, &str, &str)]) {
    for (controller, file1, value1, file2, value2) in expected {
        let (file, value) = if cgroup::is_v2() { (file2, value2) } else { (file1, value1) };
        if !file.is_empty() {
            assert_eq!(read(&bundle.cgroup(controller), file), *value, "{file}");
        }
    }
}

/// LNX-49, LNX-50, LNX-52, LNX-55: an absolute path is below the mount of each hierarchy; the process is in it
/// before it runs, and delete takes it away.
#[test]
fn absolute_path() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let path = format!("/{}-top/middle/leaf", bundle.tag());
    bundle.set("/linux/cgroupsPath", json!(path));
    let container = bundle.create();
    for controller in cgroup::in_use() {
        assert_eq!(cgroup::of(container.pid(), controller), path, "{controller}");
    }
    container.start().stop();
    container.delete();
    assert!(!bundle.cgroup("pids").exists());
    // Parents stay: others may have begun to use them. They are ours to remove here.
    for dir in crate::harness::host::cgroups(bundle.tag()).iter().rev() {
        fs::remove_dir(dir).unwrap();
    }
}

/// LNX-51, LNX-52: a relative path is below the runtime's own cgroup.
#[test]
fn relative_path() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let name = format!("{}-relative", bundle.tag());
    bundle.set("/linux/cgroupsPath", json!(name));
    let container = bundle.create();
    for controller in cgroup::in_use() {
        let own = cgroup::own(controller);
        assert_eq!(
            cgroup::of(container.pid(), controller),
            format!("{}/{name}", own.trim_end_matches('/')),
            "{controller}"
        );
    }
}

/// LNX-53: without a path the runtime chooses one, and takes it away again.
#[test]
fn no_path() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.remove("/linux/cgroupsPath");
    let container = bundle.create();
    assert!(cgroup::of(container.pid(), "pids").contains(&bundle.id));
    container.stop();
    container.delete();
    bundle.assert_clean();
}

/// LNX-54: a path that leads elsewhere is refused.
#[test]
fn bad_paths() {
    let mut bundle = Bundle::new();
    for path in ["/../x", "/a/../../x", "..", "a/../../x"] {
        bundle.set("/linux/cgroupsPath", json!(path));
        bundle.refused(&["linux.cgroupsPath", path]);
    }
}

/// LNX-57, conformance: a container moved to another cgroup can be deleted, and that cgroup stays.
#[test]
fn moved_elsewhere() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    let other = cgroup::dir("pids", &format!("/{}-other", bundle.tag()));
    fs::create_dir(&other).unwrap();
    fs::write(other.join("cgroup.procs"), container.pid().to_string()).unwrap();
    container.start().stop();
    container.delete();
    assert!(other.is_dir());
    fs::remove_dir(&other).unwrap();
    bundle.assert_clean();
}

/// LNX-69…LNX-71: memory limit, reservation, swap.
#[test]
fn memory() {
    let (bundle, _container) = sleeping(json!({"memory": {"limit": 64 << 20, "reservation": 32 << 20}}));
    let (limit, reservation) = ((64 << 20).to_string(), (32 << 20).to_string());
    assert_files(
        &bundle,
        &[
            ("memory", "memory.limit_in_bytes", &limit, "memory.max", &limit),
            ("memory", "memory.soft_limit_in_bytes", &reservation, "memory.low", &reservation),
        ],
    );
}

/// LNX-71: `swap` is memory and swap together.
#[test]
fn swap() {
    let v1 = cgroup::dir("memory", "/").join("memory.memsw.limit_in_bytes");
    if !cgroup::is_v2() && !v1.exists() {
        skip!("no swap accounting here");
    }
    let (bundle, container) = sleeping(json!({"memory": {"limit": 64 << 20, "swap": 96 << 20}}));
    let (both, alone) = ((96 << 20).to_string(), (32 << 20).to_string());
    if cgroup::is_v2() && !bundle.cgroup("memory").join("memory.swap.max").exists() {
        skip!("no swap accounting here");
    }
    assert_files(&bundle, &[("memory", "memory.memsw.limit_in_bytes", &both, "memory.swap.max", &alone)]);
    drop(container);
    let mut bundle = Bundle::new();
    bundle.set("/linux/resources", json!({"memory": {"limit": 64 << 20, "swap": 32 << 20}}));
    bundle.refused(&["linux.resources.memory"]);
}

/// LNX-69: -1 is unlimited.
#[test]
fn unlimited() {
    let (bundle, _container) = sleeping(json!({"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}}));
    assert_files(&bundle, &[("memory", "", "", "memory.max", "max"), ("pids", "pids.max", "max", "pids.max", "max")]);
    if !cgroup::is_v2() {
        assert_eq!(
            read(&bundle.cgroup("memory"), "memory.limit_in_bytes"),
            read(&cgroup::dir("memory", "/"), "memory.limit_in_bytes")
        );
    }
}

/// LNX-73, LNX-74, LNX-98: swappiness and the switch of the OOM killer exist on version 1 only.
#[test]
fn memory_of_version_1() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/linux/resources", json!({"memory": {"swappiness": 17, "disableOOMKiller": true}}));
    if cgroup::is_v2() {
        bundle.refused(&["linux.resources.memory"]);
        return;
    }
    let _container = bundle.create();
    assert_eq!(read(&bundle.cgroup("memory"), "memory.swappiness"), "17");
    assert!(read(&bundle.cgroup("memory"), "memory.oom_control").starts_with("oom_kill_disable 1"));
}

/// LNX-77, LNX-80: shares, quota and period.
#[test]
fn cpu() {
    let (bundle, _container) = sleeping(json!({"cpu": {"shares": 512, "quota": 30_000, "period": 60_000}}));
    assert_files(
        &bundle,
        &[
            ("cpu", "cpu.shares", "512", "", ""),
            ("cpu", "cpu.cfs_quota_us", "30000", "cpu.max", "30000 60000"),
            ("cpu", "cpu.cfs_period_us", "60000", "", ""),
        ],
    );
    if cgroup::is_v2() {
        // 1024 shares are weight 100; the curve between is the runtime's.
        let weight: u32 = read(&bundle.cgroup("cpu"), "cpu.weight").parse().unwrap();
        assert!((10..100).contains(&weight), "{weight}");
    }
}

/// LNX-77: the default of both versions is the same weight.
#[test]
fn cpu_default_shares() {
    let (bundle, _container) = sleeping(json!({"cpu": {"shares": 1024}}));
    assert_files(&bundle, &[("cpu", "cpu.shares", "1024", "cpu.weight", "100")]);
}

/// LNX-79, LNX-80, LNX-83: burst, no quota, idle.
#[test]
fn cpu_burst_and_idle() {
    let burst = if cgroup::is_v2() { "cpu.max.burst" } else { "cpu.cfs_burst_us" };
    let probe = Bundle::with_script("exec sleep 1000");
    let container = probe.create();
    let (has_burst, has_idle) =
        (probe.cgroup("cpu").join(burst).exists(), probe.cgroup("cpu").join("cpu.idle").exists());
    drop(container);
    if !has_burst || !has_idle {
        skip!("this kernel has no {burst} or no cpu.idle");
    }
    let (bundle, container) = sleeping(json!({"cpu": {"quota": 50_000, "period": 100_000, "burst": 20_000}}));
    assert_eq!(read(&bundle.cgroup("cpu"), burst), "20000");
    drop(container);
    let (bundle, container) = sleeping(json!({"cpu": {"idle": 1, "shares": 512}}));
    assert_eq!(read(&bundle.cgroup("cpu"), "cpu.idle"), "1");
    drop(container);
    let mut bundle = Bundle::new();
    bundle.set("/linux/resources", json!({"cpu": {"quota": 10_000, "period": 100_000, "burst": 20_000}}));
    bundle.refused(&["linux.resources.cpu"]);
}

/// LNX-82: CPUs and memory nodes.
#[test]
fn cpuset() {
    if !cgroup::has("cpuset") {
        skip!("no cpuset controller here");
    }
    let (bundle, container) = sleeping(json!({"cpu": {"cpus": "0", "mems": "0"}}));
    assert_files(
        &bundle,
        &[("cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0", "cpuset.mems", "0")],
    );
    assert_eq!(container.proc_status("Cpus_allowed_list"), "0");
}

/// LNX-82: on version 1, new parents get the CPUs and nodes of theirs, so that the leaf can have some.
#[test]
fn cpuset_through_new_parents() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/linux/cgroupsPath", json!(format!("/{}-p/q", bundle.tag())));
    bundle.set("/linux/resources", json!({"cpu": {"cpus": "0"}}));
    let container = bundle.create();
    assert_eq!(container.proc_status("Cpus_allowed_list"), "0");
    drop(container);
    for dir in crate::harness::host::cgroups(bundle.tag()).iter().rev() {
        fs::remove_dir(dir).unwrap();
    }
}

/// LNX-93: a limit of processes.
#[test]
fn pids() {
    let (bundle, _container) = sleeping(json!({"pids": {"limit": 42}}));
    assert_files(&bundle, &[("pids", "pids.max", "42", "pids.max", "42")]);
}

/// LNX-93: 0 is a limit, not the absence of one.
#[test]
fn no_pids_at_all() {
    let (bundle, _container) = sleeping(json!({"pids": {"limit": 0}}));
    assert_files(&bundle, &[("pids", "pids.max", "0", "pids.max", "0")]);
}

/// LNX-93: the limit bites.
#[test]
fn fork_limit() {
    let mut bundle = Bundle::with_script("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo all");
    bundle.set("/linux/resources", json!({"pids": {"limit": 5}}));
    let output = bundle.run();
    assert!(output.code != 0 && !output.stdout.contains("all"), "{output:?}");
    assert!(output.stderr.contains("fork"), "{output:?}");
}

/// LNX-69: the limit bites: who takes more is killed.
#[test]
fn out_of_memory() {
    let mut bundle = Bundle::with_script("dd if=/dev/zero of=/dev/null bs=128M count=1; echo \"exit $?\"");
    bundle.set("/linux/resources", json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}));
    let output = bundle.run();
    assert!(output.stdout.contains("exit 137") || output.code == 137, "{output:?}");
}

/// LNX-80: the quota bites: a busy loop is throttled.
#[test]
fn cpu_throttled() {
    let mut bundle = Bundle::with_script("while :; do :; done");
    bundle.set("/linux/resources", json!({"cpu": {"quota": 5_000, "period": 100_000}}));
    let container = bundle.create();
    container.start();
    let dir = bundle.cgroup("cpu");
    crate::harness::eventually("the busy loop is not throttled", || {
        let stat = read(&dir, "cpu.stat");
        let count = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "))?;
        (count != "0").then_some(())
    });
}

/// LNX-95…LNX-98: unified keys are files of version 2: written there, and refused elsewhere.
#[test]
fn unified() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set(
        "/linux/resources",
        json!({"unified": {"pids.max": "44", "memory.high": "1073741824", "cpu.weight": "55"}}),
    );
    if !cgroup::is_v2() {
        bundle.refused(&["linux.resources.unified"]);
        return;
    }
    let container = bundle.create();
    for (file, value) in [("pids.max", "44"), ("memory.high", "1073741824"), ("cpu.weight", "55")] {
        assert_eq!(read(&bundle.cgroup(""), file), value);
    }
    drop(container);
    for (key, value) in [("nosuch.key", "1"), ("pids.nosuch", "1"), ("memory.max", "nonsense")] {
        bundle.set("/linux/resources", json!({"unified": {key: value}}));
        bundle.refused(&["linux.resources.unified", key]);
    }
}

/// LNX-96, GHSA-5g49-rx9x-qfc6: a key is the plain name of a file.
#[test]
fn unified_keys_are_names() {
    let mut bundle = Bundle::new();
    for key in ["../cgroup.procs", "a/b", "..", "/sys/kernel", ""] {
        bundle.set("/linux/resources", json!({"unified": {key: "1"}}));
        bundle.refused(&["linux.resources.unified"]);
    }
}

/// LNX-89: neither is the size of huge pages a path; it names a size that exists.
#[test]
fn huge_pages() {
    let mut bundle = Bundle::new();
    for size in ["../../x", "2", "MB", "3MB", "2mb", "2MB/../x"] {
        bundle.set("/linux/resources", json!({"hugepageLimits": [{"pageSize": size, "limit": 0}]}));
        bundle.refused(&["linux.resources.hugepageLimits"]);
    }
}

/// LNX-98: settings that only the other version has are refused.
#[test]
fn settings_of_the_other_version() {
    if !cgroup::is_v2() {
        skip!("no pure cgroup v2 here");
    }
    let mut bundle = Bundle::new();
    for (resources, word) in [
        (json!({"network": {"classID": 1}}), "network"),
        (json!({"cpu": {"realtimeRuntime": 1000}}), "realtimeRuntime"),
        (json!({"memory": {"swappiness": 1}}), "swappiness"),
    ] {
        bundle.set("/linux/resources", resources);
        bundle.refused(&["linux.resources", word]);
    }
}

/// A value that the kernel refuses names the property and the file.
#[test]
fn values_that_the_kernel_refuses() {
    let mut bundle = Bundle::new();
    bundle.set("/linux/resources", json!({"cpu": {"cpus": "4000-4001"}}));
    bundle.refused(&["linux.resources.cpu", "cpuset.cpus"]);
    bundle.set("/linux/resources", json!({"cpu": {"quota": 1, "period": 100_000}}));
    bundle.refused(&["linux.resources.cpu", "invalid argument"]);
    bundle.set("/linux/resources", json!({"cpu": {"cpus": "nonsense"}}));
    bundle.refused(&["linux.resources.cpu"]);
}

/// What containerd sends with every update, and `null`s, are fine.
#[test]
fn nothing_configured() {
    let (_bundle, container) = sleeping(json!({"memory": {}, "cpu": null, "pids": null, "devices": []}));
    drop(container);
    let (_bundle, container) = sleeping(json!({}));
    drop(container);
    let mut bundle = Bundle::with_script("exit 0");
    bundle.set("/linux/resources", Value::Null);
    bundle.run().success();
}

/// LNX-55: the program begins its life in the container's cgroups.
#[test]
fn created_before_the_program_runs() {
    let mut bundle = Bundle::with_script("cat /proc/self/cgroup");
    bundle.set("/linux/resources", json!({"pids": {"limit": 50}}));
    let text = bundle.output();
    for line in text.lines().filter(|line| cgroup::is_v2() || !line.starts_with("0::")) {
        assert!(line.ends_with(&format!(":/{}", bundle.tag())), "{text}");
    }
}
