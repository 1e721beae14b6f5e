//! `linux.resources`: block devices, huge pages, network, RDMA, real time (config-linux.md). The others are in
//! `cgroups.rs` and `cgroup_devices.rs`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cgroups::{read, sleeping};
use crate::harness::{Bundle, cgroup, json};
use crate::update::Loop;

/// The first of these files that containers' cgroups have here.
fn first_of(controller: &str, names: &[&'static str]) -> Option<(&'static str, PathBuf)> {
    let bundle = Bundle::with_script("exec sleep 1000");
    let _container = bundle.create();
    let dir = bundle.cgroup(controller);
    names.iter().find(|name| dir.join(name).exists()).map(|name| (*name, dir))
}

/// LNX-84: a weight is in the file of the scheduler that the kernel has; without one, the error names it.
#[test]
fn block_weight() {
    if !cgroup::is_v2() && !cgroup::has("blkio") {
        skip!("no blkio controller here");
    }
    let names = if cgroup::is_v2() { ["io.bfq.weight", "io.weight"] } else { ["blkio.weight", "blkio.bfq.weight"] };
    match first_of("blkio", &names) {
        None => {
            let mut bundle = Bundle::new();
            bundle.set("/linux/resources", json!({"blockIO": {"weight": 500}}));
            bundle.refused(&["linux.resources.blockIO.weight", names[1], "no such file"]);
        }
        Some((name, _)) => {
            let (bundle, _container) = sleeping(json!({"blockIO": {"weight": 500}}));
            let expected = if name == "io.weight" { "4950" } else { "500" };
            let value = read(&bundle.cgroup("blkio"), name);
            assert_eq!(value.trim_start_matches("default "), expected);
        }
    }
}

/// LNX-84, LNX-85, LNX-86, LNX-87, LNX-88: what must be given, and ranges.
#[test]
fn block_values_that_cannot_be() {
    let mut bundle = Bundle::new();
    for (value, word) in [
        (json!({"weight": 5}), "weight"),
        (json!({"weightDevice": [{"major": 8, "minor": 0}]}), "weightDevice[0]"),
        (json!({"weightDevice": [{"major": 8, "weight": 10}]}), "minor"),
        (json!({"throttleReadBpsDevice": [{"minor": 0, "rate": 10}]}), "major"),
        (json!({"throttleWriteBpsDevice": [{"major": 8, "minor": 0}]}), "rate"),
        (json!({"throttleReadIOPSDevice": [{"major": 8, "minor": 0}]}), "rate"),
        (json!({"throttleWriteIOPSDevice": [{"major": 8, "minor": 0}]}), "rate"),
    ] {
        bundle.set("/linux/resources", json!({"blockIO": value}));
        bundle.refused(&["linux.resources.blockIO", word]);
    }
    // A leaf's weight went with CFQ.
    bundle.set("/linux/resources", json!({"blockIO": {"leafWeight": 500}}));
    bundle.refused(&["linux.resources.blockIO.leafWeight"]);
    // No such device.
    bundle.set(
        "/linux/resources",
        json!({"blockIO": {"throttleReadBpsDevice": [{"major": 4000, "minor": 1, "rate": 9}]}}),
    );
    bundle.refused(&["linux.resources.blockIO.throttleReadBpsDevice[0]", "4000:1"]);
}

/// LNX-87, LNX-88: the four limits are in the files, and one of them bites: reading takes its time.
#[test]
fn block_throttle() {
    if !cgroup::has(if cgroup::is_v2() { "io" } else { "blkio" }) {
        skip!("no blkio or io controller here");
    }
    let mut bundle = Bundle::with_script("dd if=/dev/disk of=/dev/null bs=64k count=48 iflag=direct");
    let Some(disk) = Loop::new(&bundle) else { skip!("no loop devices here") };
    let (major, minor) = disk.numbers();
    let limit = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    bundle.set(
        "/linux/resources",
        json!({"blockIO": {"throttleReadBpsDevice": limit(2 << 20), "throttleWriteBpsDevice": limit(3 << 20),
                           "throttleReadIOPSDevice": limit(1000), "throttleWriteIOPSDevice": limit(2000)}}),
    );
    disk.give(&mut bundle);
    let container = bundle.create();
    let dir = bundle.cgroup("blkio");
    let device = format!("{major}:{minor}");
    if cgroup::is_v2() {
        assert_eq!(read(&dir, "io.max"), format!("{device} rbps=2097152 wbps=3145728 riops=1000 wiops=2000"));
    } else {
        for (file, value) in
            [("read_bps", "2097152"), ("write_bps", "3145728"), ("read_iops", "1000"), ("write_iops", "2000")]
        {
            assert_eq!(read(&dir, &format!("blkio.throttle.{file}_device")), format!("{device} {value}"));
        }
    }
    // 3 MiB at 2 MiB a second: more than a second, even with a slice to begin with.
    let begun = Instant::now();
    container.start();
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// LNX-89, LNX-90: both limits of a size of huge pages; a size without a file is refused.
#[test]
fn huge_pages() {
    if !cgroup::has("hugetlb") {
        let mut bundle = Bundle::new();
        bundle.set("/linux/resources", json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}));
        bundle.refused(&["linux.resources.hugepageLimits[0]", "hugetlb"]);
        skip!("no hugetlb controller here");
    }
    let (bundle, _container) = sleeping(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}));
    let (file, reservations) = if cgroup::is_v2() {
        ("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max")
    } else {
        ("hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.rsvd.limit_in_bytes")
    };
    let dir = bundle.cgroup("hugetlb");
    assert_eq!(read(&dir, file), (4 << 20).to_string());
    assert_eq!(read(&dir, reservations), (4 << 20).to_string());
    let mut bundle = Bundle::new();
    for (limit, word) in [
        (json!({"pageSize": "3MB", "limit": 0}), "hugetlb.3MB"),
        (json!({"limit": 0}), "pageSize"),
        (json!({"pageSize": "2MB"}), "limit"),
    ] {
        bundle.set("/linux/resources", json!({"hugepageLimits": [limit]}));
        bundle.refused(&["linux.resources.hugepageLimits", word]);
    }
}

/// LNX-89, LNX-90: on a hybrid host whose version 2 has the huge pages, a mount namespace makes it the only version.
#[test]
fn huge_pages_of_a_hybrid_host() {
    let Some(point) = cgroup::hierarchies().get("").filter(|_| !cgroup::is_v2()) else {
        skip!("no hybrid cgroups here")
    };
    if !read(point, "cgroup.controllers").contains("hugetlb") {
        skip!("version 2 has no hugetlb controller here");
    }
    let mut bundle = Bundle::with_script("echo hi");
    let mount = format!("mount --bind {} /sys/fs/cgroup", point.display());
    let own = &format!("exec unshare --mount sh -c '{mount} && exec \"$0\" \"$@\"' \"$0\" \"$@\"");
    let (seen, dir) = (bundle.scratch().dir.join("seen"), format!("/sys/fs/cgroup/{}", bundle.tag()));
    bundle.hook("createRuntime", &format!("cat {dir}/hugetlb.2MB.max {dir}/hugetlb.2MB.rsvd.max > {}", seen.display()));
    bundle.set("/linux/resources", json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 6 << 20}]}));
    assert_eq!(bundle.run_after(own, &[]).success().stdout, "hi\n");
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "6291456\n6291456\n");
    bundle.set("/linux/resources", json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}));
    bundle.run_after(own, &[]).failure(&["linux.resources.hugepageLimits[0]", "hugetlb.3MB.max", "no such file"]);
    // A controller that this version does not have.
    bundle.set("/linux/resources", json!({"pids": {"limit": 5}}));
    bundle.run_after(own, &[]).failure(&["linux.resources.pids.limit", "pids controller"]);
    bundle.assert_clean();
}

/// LNX-90: the limit bites: a mapping above it fails, one below does not.
#[test]
fn huge_pages_limited() {
    let pool = "/proc/sys/vm/nr_hugepages";
    if !cgroup::has("hugetlb") || !cgroup::is_v2() {
        skip!("no hugetlb controller here");
    }
    // The guest is ours alone.
    let former = std::fs::read_to_string(pool).unwrap();
    if std::fs::write(pool, "4").is_err() || std::fs::read_to_string(pool).unwrap().trim() != "4" {
        let _ = std::fs::write(pool, former);
        skip!("no huge pages to be had here");
    }
    let mut bundle = Bundle::new();
    // mmap(0, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0)
    let map = |pages: u64| format!("{} syscall 9 0 {} 1 {} -1 0", "/payload", pages << 21, 0x40022);
    bundle.bind_payload().script(&format!("{}; {}", map(1), map(2)));
    bundle.set("/linux/resources", json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 2 << 20}]}));
    let output = bundle.run();
    std::fs::write(pool, former).unwrap();
    let lines: Vec<_> = output.stdout.lines().collect();
    assert!(lines.len() == 2 && lines[0].parse::<u64>().is_ok(), "{output:?}");
    assert_eq!(lines[1], "ENOMEM", "{output:?}");
}

/// LNX-91, LNX-92: the class and the priorities are version 1's; where there is no such controller, that is said.
#[test]
fn network() {
    for (property, controller, value) in
        [("classID", "net_cls", json!(1_048_577)), ("priorities", "net_prio", json!([{"name": "lo", "priority": 5}]))]
    {
        let resources = json!({"network": {property: value}});
        if !cgroup::is_v2() && cgroup::has(controller) {
            let (bundle, _container) = sleeping(resources);
            let (file, expected) =
                if property == "classID" { ("net_cls.classid", "1048577") } else { ("net_prio.ifpriomap", "lo 5") };
            assert!(read(&bundle.cgroup(controller), file).contains(expected));
            continue;
        }
        let mut bundle = Bundle::new();
        bundle.set("/linux/resources", resources);
        let why = if cgroup::is_v2() { "cgroup v1" } else { controller };
        bundle.refused(&["linux.resources.network", property, why]);
    }
    let mut bundle = Bundle::new();
    for priority in [json!({"name": "lo"}), json!({"priority": 5})] {
        bundle.set("/linux/resources", json!({"network": {"priorities": [priority]}}));
        bundle.refused(&["linux.resources.network.priorities[0]"]);
    }
}

/// LNX-94: a device without limits is refused; so is one that the machine does not have.
#[test]
fn rdma() {
    let mut bundle = Bundle::new();
    bundle.set("/linux/resources", json!({"rdma": {"mlx5_1": {}}}));
    bundle.refused(&["linux.resources.rdma", "mlx5_1", "hcaHandles"]);
    bundle.set("/linux/resources", json!({"rdma": {"nosuch_0": {"hcaHandles": 3}}}));
    bundle.refused(&["linux.resources.rdma"]);
}

/// LNX-81: real-time scheduling, which version 2 cannot limit.
#[test]
fn real_time() {
    let resources = json!({"cpu": {"realtimePeriod": 500_000, "realtimeRuntime": 1_000}});
    if cgroup::is_v2() {
        let mut bundle = Bundle::new();
        bundle.set("/linux/resources", resources);
        bundle.refused(&["linux.resources.cpu.realtime", "cgroup v1"]);
        return;
    }
    if first_of("cpu", &["cpu.rt_runtime_us"]).is_none() {
        skip!("this kernel has no cpu.rt_runtime_us");
    }
    let mut bundle = Bundle::with_script("exec sleep 1000");
    // A cgroup above that is new as well has nothing to give by itself.
    for path in ["", "/a/b"] {
        let path = format!("{}{path}", bundle.config["linux"]["cgroupsPath"].as_str().unwrap());
        bundle.set("/linux/cgroupsPath", json!(path)).set("/linux/resources", resources.clone());
        let _container = bundle.create();
        assert_eq!(read(&bundle.cgroup("cpu"), "cpu.rt_period_us"), "500000", "{path}");
        assert_eq!(read(&bundle.cgroup("cpu"), "cpu.rt_runtime_us"), "1000", "{path}");
    }
}

/// LNX-82: the program sees the CPUs that it may use.
#[test]
fn fewer_processors() {
    if !cgroup::has("cpuset") {
        skip!("no cpuset controller here");
    }
    let mut bundle = Bundle::with_script("nproc");
    bundle.set("/linux/resources", json!({"cpu": {"cpus": "0"}}));
    assert_eq!(bundle.output(), "1\n");
}

/// LNX-74: the killer stays on unless it is switched off.
#[test]
fn oom_killer() {
    let (bundle, _container) = sleeping(json!({"memory": {"disableOOMKiller": false, "useHierarchy": true}}));
    if !cgroup::is_v2() {
        assert!(read(&bundle.cgroup("memory"), "memory.oom_control").starts_with("oom_kill_disable 0"));
    }
    let mut bundle = Bundle::new();
    // LNX-75: there is no other way any more.
    bundle.set("/linux/resources", json!({"memory": {"useHierarchy": false}}));
    bundle.refused(&["linux.resources.memory.useHierarchy"]);
}

/// LNX-72: limits that the kernel no longer has are passed over, with a warning.
#[test]
fn kernel_memory() {
    let mut bundle = Bundle::with_script("echo fine");
    bundle.set("/linux/resources", json!({"memory": {"kernel": 1 << 20, "kernelTCP": 1 << 20}}));
    let output = bundle.run().success();
    assert_eq!(output.stdout, "fine\n");
    assert!(output.stderr.contains("linux.resources.memory.kernel is ignored"), "{output:?}");
    assert!(output.stderr.contains("linux.resources.memory.kernelTCP is ignored"), "{output:?}");
}

/// LNX-96, LNX-98: a value of several lines is written line by line.
#[test]
fn unified_lines() {
    if !cgroup::is_v2() || !cgroup::has("io") {
        skip!("no io controller of version 2 here");
    }
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let (Some(one), Some(two)) = (Loop::new(&bundle), Loop::new(&bundle)) else { skip!("no loop devices here") };
    let names = [one.numbers(), two.numbers()].map(|(major, minor)| format!("{major}:{minor}"));
    let value = format!("{} rbps=4096\n{} wiops=7\n", names[0], names[1]);
    bundle.set("/linux/resources", json!({"unified": {"io.max": value}}));
    let _container = bundle.create();
    let text = read(&bundle.cgroup(""), "io.max");
    assert!(text.contains(&format!("{} rbps=4096 ", names[0])), "{text}");
    assert!(text.contains(&format!("{} rbps=max wbps=max riops=max wiops=7", names[1])), "{text}");
    let mut bundle = Bundle::new();
    bundle.set("/linux/resources", json!({"unified": {"cgroup.freeze": "1"}}));
    bundle.refused(&["linux.resources.unified", "cgroup.freeze"]);
}

/// LNX-69: where the limit is too small even for the container's first process, the error says so, with the cgroup's
/// own figures.
#[test]
fn too_little_memory() {
    let mut bundle = Bundle::with_script("echo hi");
    bundle.set("/linux/resources", json!({"memory": {"limit": 4096, "swap": 4096}}));
    let counters = if cgroup::is_v2() { "memory.events: oom_kill 1" } else { "memory.oom_control: oom_kill 1" };
    bundle.refused(&["linux.resources.memory.limit: too small: within 4096 bytes", "the kernel killed", counters]);
}
