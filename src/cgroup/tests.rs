//! Plans for made-up hosts: where the cgroups are, and what would be written.

use super::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";
const OWN: &str = "\
7:name=systemd:/user/1
6:pids:/
5:devices:/
4:memory:/jobs/a:b
3:cpuset:/
2:cpu,cpuacct:/
0::/
";
const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";

fn hybrid() -> Host {
    Host::fixture(Layout::fixture(HYBRID, OWN))
}

/// Every controller of v1.
pub(super) fn v1() -> Host {
    let names = ["cpu", "cpuset", "memory", "devices", "pids", "blkio", "hugetlb", "net_cls", "net_prio", "rdma"];
    let mount = |name: &str| format!("9 1 0:9 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n");
    Host::fixture(Layout::fixture(&names.map(mount).concat(), ""))
}

pub(super) fn v2() -> Host {
    Host::fixture(Layout::fixture(UNIFIED, "0::/user.slice/session-1.scope\n"))
}

fn compile(host: &Host, linux: &str) -> Result<Plan> {
    let config = serde_json::from_str(&format!(r#"{{"ociVersion": "1.3.0", "linux": {linux}}}"#)).unwrap();
    Plan::compile(&config, &ContainerId::new("c1").unwrap(), host, Driver::Cgroupfs)
}

fn dirs(host: &Host, linux: &str) -> Vec<String> {
    let plan = compile(host, linux).unwrap();
    plan.hierarchies().iter().map(|hierarchy| hierarchy.dir.display().to_string()).collect()
}

/// `file=value`; `?` where the file may be missing, `|` before what is written then.
pub(super) fn writes(host: &Host, resources: &str) -> Vec<String> {
    fn show(write: &Write) -> String {
        let Write { file, value, .. } = write;
        match &write.missing {
            Missing::Fails => format!("{file}={value}"),
            Missing::IsFine => format!("{file}={value}?"),
            Missing::Other(other) => format!("{file}={value}|{}", show(other)),
        }
    }
    let plan = compile(host, &format!(r#"{{"resources": {resources}}}"#)).unwrap();
    plan.writes.iter().map(show).collect()
}

pub(super) fn error(host: &Host, resources: &str) -> String {
    compile(host, &format!(r#"{{"resources": {resources}}}"#)).unwrap_err().to_string()
}

/// LNX-50: an absolute path is below every hierarchy's mount point.
#[test]
fn absolute_paths() {
    assert_eq!(
        dirs(&hybrid(), r#"{"cgroupsPath": "//pods/./p1/c1/"}"#),
        [
            "/sys/fs/cgroup/cpu,cpuacct/pods/p1/c1",
            "/sys/fs/cgroup/cpuset/pods/p1/c1",
            "/sys/fs/cgroup/memory/pods/p1/c1",
            "/sys/fs/cgroup/devices/pods/p1/c1",
            "/sys/fs/cgroup/pids/pods/p1/c1",
            "/sys/fs/cgroup/systemd/pods/p1/c1",
        ]
    );
    assert_eq!(dirs(&v2(), r#"{"cgroupsPath": "/pods/p1/c1"}"#), ["/sys/fs/cgroup/pods/p1/c1"]);
}

/// LNX-51: below the runtime's own cgroup; on v2 beside it.
#[test]
fn relative_paths() {
    let v1 = dirs(&hybrid(), r#"{"cgroupsPath": "pods/c1"}"#);
    assert_eq!(v1[0], "/sys/fs/cgroup/cpu,cpuacct/pods/c1");
    assert_eq!(v1[2], "/sys/fs/cgroup/memory/jobs/a:b/pods/c1");
    assert_eq!(v1[5], "/sys/fs/cgroup/systemd/user/1/pods/c1");
    assert_eq!(dirs(&v2(), r#"{"cgroupsPath": "pods/c1"}"#), ["/sys/fs/cgroup/user.slice/pods/c1"]);
}

/// LNX-53
#[test]
fn an_unset_path_is_the_id() {
    for unset in ["{}", r#"{"cgroupsPath": ""}"#, r#"{"cgroupsPath": null}"#] {
        assert_eq!(dirs(&hybrid(), unset)[2], "/sys/fs/cgroup/memory/jobs/a:b/c1");
        assert_eq!(dirs(&v2(), unset), ["/sys/fs/cgroup/user.slice/c1"]);
    }
}

/// In a container that shares its host's cgroup namespace, only a part of the hierarchy is mounted.
#[test]
fn nested_without_a_cgroup_namespace() {
    let mounts = "9 1 0:26 /outer/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
    let host = Host::fixture(Layout::fixture(mounts, "4:memory:/outer/x/jobs\n"));
    assert_eq!(dirs(&host, r#"{"cgroupsPath": "c1"}"#), ["/sys/fs/cgroup/memory/jobs/c1"]);
    assert_eq!(dirs(&host, r#"{"cgroupsPath": "/c1"}"#), ["/sys/fs/cgroup/memory/c1"]);
}

/// A process that was moved out of its cgroup namespace has no path in it.
#[test]
fn outside_of_the_cgroup_namespace() {
    let host = Host::fixture(Layout::fixture(HYBRID, "4:memory:/../jobs\n"));
    assert_eq!(dirs(&host, r#"{"cgroupsPath": "c1"}"#)[2], "/sys/fs/cgroup/memory/c1");
}

/// LNX-54
#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for bad in ["../c1", "/pods/../../c1", "..", "/", ".", "//", "/a\\u0000b", "a\\nb"] {
        let error = compile(&v2(), &format!(r#"{{"cgroupsPath": "{bad}"}}"#)).unwrap_err().to_string();
        assert!(error.starts_with("linux.cgroupsPath: "), "{bad}: {error}");
    }
}

#[test]
fn hierarchies_for_mounts() {
    let plan = compile(&hybrid(), "{}").unwrap();
    let cpu = &plan.hierarchies()[0];
    assert_eq!((cpu.name().as_str(), cpu.options().as_str()), ("cpu,cpuacct", "cpu,cpuacct"));
    assert_eq!(cpu.aliases().collect::<Vec<_>>(), ["cpu", "cpuacct"]);
    let systemd = &plan.hierarchies()[5];
    assert_eq!((systemd.name().as_str(), systemd.options().as_str()), ("systemd", "none,name=systemd"));
    assert_eq!(systemd.aliases().count(), 0);
}

/// A hierarchy that is mounted twice is used where everybody expects it.
#[test]
fn mounted_twice() {
    let elsewhere = "50 1 0:32 / /srv/root/memory rw - cgroup cgroup rw,memory\n";
    let host = Host::fixture(Layout::fixture(&format!("{elsewhere}{HYBRID}"), OWN));
    assert!(dirs(&host, r#"{"cgroupsPath": "/c"}"#).contains(&"/sys/fs/cgroup/memory/c".to_owned()));
    assert_eq!(dirs(&host, r#"{"cgroupsPath": "/c"}"#).len(), 6);
}

/// LNX-69 to LNX-75
#[test]
fn memory() {
    let full = r#"{"memory": {"limit": 300, "swap": 500, "reservation": 100}}"#;
    assert_eq!(
        writes(&hybrid(), full),
        ["memory.limit_in_bytes=300", "memory.memsw.limit_in_bytes=500", "memory.soft_limit_in_bytes=100"]
    );
    assert_eq!(writes(&v2(), full), ["memory.max=300", "memory.swap.max=200", "memory.low=100"]);

    let unlimited = r#"{"memory": {"limit": -1, "reservation": -1}}"#;
    assert_eq!(writes(&v2(), unlimited), ["memory.max=max", "memory.swap.max=max?", "memory.low=max"]);
    assert_eq!(
        writes(&hybrid(), unlimited),
        ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1?", "memory.soft_limit_in_bytes=-1"]
    );
    assert_eq!(writes(&v2(), r#"{"memory": {"limit": 7, "swap": 7}}"#), ["memory.max=7", "memory.swap.max=0?"]);
    assert_eq!(writes(&v2(), r#"{"memory": {"swap": -1}}"#), ["memory.swap.max=max?"]);
    assert_eq!(
        writes(&hybrid(), r#"{"memory": {"swappiness": 0, "disableOOMKiller": true, "checkBeforeUpdate": true}}"#),
        ["memory.swappiness=0", "memory.oom_control=1"]
    );
}

#[test]
fn memory_and_cpu_of_zero_are_unset() {
    let zero = r#"{"memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 0},
                   "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "realtimePeriod": 0}}"#;
    assert!(writes(&hybrid(), zero).is_empty());
    assert!(writes(&v2(), zero).is_empty());
}

/// LNX-71, LNX-73
#[test]
fn memory_values_that_cannot_be() {
    for host in [hybrid(), v2()] {
        for (memory, expected) in [
            (r#"{"limit": 2, "swap": 1}"#, "linux.resources.memory.swap: 1 is less than memory.limit (2)"),
            (r#"{"swap": 5}"#, "linux.resources.memory.swap: 5 needs a memory.limit"),
            (r#"{"limit": -1, "swap": 5}"#, "linux.resources.memory.swap: 5 needs a memory.limit"),
            (r#"{"limit": -2}"#, "linux.resources.memory.limit: -2 is neither a limit nor -1"),
            (r#"{"swappiness": 101}"#, "linux.resources.memory.swappiness: 101 is more than 100"),
            (r#"{"useHierarchy": false}"#, "linux.resources.memory.useHierarchy: not supported: Linux before 5.11"),
        ] {
            let error = error(&host, &format!(r#"{{"memory": {memory}}}"#));
            assert!(error.starts_with(expected), "{error}");
        }
    }
}

/// LNX-77 to LNX-83
#[test]
fn cpu() {
    let full =
        r#"{"cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 1000, "cpus": "0-1", "mems": "0"}}"#;
    assert_eq!(
        writes(&hybrid(), full),
        [
            "cpu.shares=512",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "cpu.cfs_burst_us=1000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
        ]
    );
    assert_eq!(
        writes(&v2(), full),
        ["cpu.weight=59", "cpu.max=50000 100000", "cpu.max.burst=1000", "cpuset.cpus=0-1", "cpuset.mems=0"]
    );
    assert_eq!(writes(&v2(), r#"{"cpu": {"quota": -1}}"#), ["cpu.max=max"]);
    assert_eq!(writes(&v2(), r#"{"cpu": {"period": 5000}}"#), ["cpu.max=max 5000"]);
    assert_eq!(
        writes(&hybrid(), r#"{"cpu": {"quota": -1, "burst": 0}}"#),
        ["cpu.cfs_quota_us=-1", "cpu.cfs_burst_us=0"]
    );
    assert_eq!(writes(&v2(), r#"{"cpu": {"idle": 1, "shares": 2}}"#), ["cpu.weight=1", "cpu.idle=1"]);
    assert_eq!(writes(&v2(), r#"{"cpu": {"idle": 0, "shares": 2}}"#), ["cpu.idle=0", "cpu.weight=1"]);
    assert_eq!(
        writes(&hybrid(), r#"{"cpu": {"realtimeRuntime": 950, "realtimePeriod": 1000}}"#),
        ["cpu.rt_period_us=1000", "cpu.rt_runtime_us=950"]
    );
}

/// LNX-77: the ends and the defaults of both scales meet; what is out of range is the nearest end.
#[test]
fn shares_as_weight() {
    for (shares, weight) in [
        (1, 1),
        (2, 1),
        (3, 2),
        (100, 17),
        (512, 59),
        (1023, 100),
        (1024, 100),
        (1025, 101),
        (262_144, 10_000),
        (u64::MAX, 10_000),
    ] {
        assert_eq!(
            writes(&v2(), &format!(r#"{{"cpu": {{"shares": {shares}}}}}"#)),
            [format!("cpu.weight={weight}")],
            "{shares}"
        );
    }
}

/// LNX-78, LNX-79, LNX-83
#[test]
fn cpu_values_that_cannot_be() {
    for host in [hybrid(), v2()] {
        for (cpu, expected) in [
            (r#"{"quota": 1000, "burst": 1001}"#, "linux.resources.cpu.burst: 1001 is more than cpu.quota (1000)"),
            (r#"{"idle": 2}"#, "linux.resources.cpu.idle: 2 is neither 0 nor 1"),
            (r#"{"quota": -7}"#, "linux.resources.cpu.quota: -7 is neither"),
        ] {
            let error = error(&host, &format!(r#"{{"cpu": {cpu}}}"#));
            assert!(error.starts_with(expected), "{error}");
        }
    }
}

/// LNX-93: 0 is a limit.
#[test]
fn pids() {
    for host in [hybrid(), v2()] {
        for (pids, expected) in [(r#"{"limit": 0}"#, "pids.max=0"), (r#"{"limit": -1}"#, "pids.max=max")] {
            assert_eq!(writes(&host, &format!(r#"{{"pids": {pids}}}"#)), [expected]);
        }
        assert!(writes(&host, r#"{"pids": {}}"#).is_empty());
        assert!(writes(&host, r#"{"pids": {"limit": null}}"#).is_empty());
        assert!(error(&host, r#"{"pids": {"limit": -2}}"#).starts_with("linux.resources.pids.limit: -2"));
    }
}

/// LNX-98: what v2 has no file for is an error, not left out.
#[test]
fn settings_of_v1_alone() {
    for (resources, property) in [
        (r#"{"memory": {"swappiness": 60}}"#, "memory.swappiness"),
        (r#"{"memory": {"disableOOMKiller": true}}"#, "memory.disableOOMKiller"),
        (r#"{"cpu": {"realtimeRuntime": 1}}"#, "cpu.realtimeRuntime"),
        (r#"{"cpu": {"realtimePeriod": 1}}"#, "cpu.realtimePeriod"),
    ] {
        let expected = format!("linux.resources.{property}: not supported: cgroup v1; v2 has no such setting");
        assert_eq!(error(&v2(), resources), expected);
        assert!(!writes(&hybrid(), resources).is_empty());
    }
    assert!(writes(&v2(), r#"{"memory": {"disableOOMKiller": false}}"#).is_empty());
}

/// LNX-95 to LNX-98
#[test]
fn unified() {
    let resources = r#"{"unified": {"memory.high": "5", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "cpuset.cpus": ""}}"#;
    assert_eq!(
        writes(&v2(), resources),
        ["memory.high=5", "io.max=8:0 rbps=1", "io.max=8:16 rbps=2", "cpuset.cpus=\n"]
    );
    assert!(error(&hybrid(), resources).starts_with("linux.resources.unified: not supported: cgroup v2"));
    for bad in ["../cgroup.procs", "a/b", "..", ".", "", "/x", "a\\u0000"] {
        let error = error(&v2(), &format!(r#"{{"unified": {{"{bad}": "1"}}}}"#));
        assert!(error.contains("is not the name of a cgroup's file"), "{bad}: {error}");
    }
    for bad in ["cgroup.freeze", "cgroup.kill", "cgroup.procs", "cgroup.threads"] {
        let error = error(&v2(), &format!(r#"{{"unified": {{"{bad}": "1"}}}}"#));
        assert!(error.contains("is no setting"), "{bad}: {error}");
    }
}

/// Controllers that the host lacks matter only where something is asked of them.
#[test]
fn a_missing_controller() {
    let host =
        Host::fixture(Layout::fixture("9 1 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids", "4:pids:/\n"));
    assert_eq!(writes(&host, r#"{"pids": {"limit": 3}}"#), ["pids.max=3"]);
    assert_eq!(
        error(&host, r#"{"memory": {"limit": 3}}"#),
        "linux.resources.memory.limit: not supported: the memory controller, which this host does not mount"
    );
    assert_eq!(
        error(&host, r#"{"devices": [{"allow": false}]}"#),
        "linux.resources.devices: not supported: the devices controller, which this host does not mount"
    );
}

/// LNX-84, LNX-89, LNX-91, LNX-94: nothing in them is nothing to do, on hosts without the controllers too.
#[test]
fn what_is_empty_needs_no_controller() {
    let empty = r#"{"blockIO": {"weight": 0, "weightDevice": null}, "hugepageLimits": [],
                    "network": {"classID": 0, "priorities": null}, "rdma": {}, "unified": null}"#;
    assert!(writes(&hybrid(), empty).is_empty());
    assert!(writes(&v2(), empty).is_empty());
}

/// Without rights to make a cgroup, only a container that asks for nothing can do without.
#[test]
fn who_can_do_without() {
    let optional = |linux: &str| compile(&v2(), linux).unwrap().is_optional();
    assert!(optional("{}"));
    assert!(optional(r#"{"resources": {"devices": [{"allow": false}]}}"#));
    assert!(!optional(r#"{"cgroupsPath": "/a"}"#));
    assert!(!optional(r#"{"resources": {"pids": {"limit": 5}}}"#));
}

#[test]
fn records_survive_the_state_file() {
    let record = Record {
        driver: Driver::Cgroupfs,
        unit: None,
        groups: vec![Group { version: Version::V1, controllers: "cpu,cpuacct".into(), dir: "/a/b".into(), made: 2 }],
    };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(
        text,
        r#"{"driver":"cgroupfs","groups":[{"version":"v1","controllers":"cpu,cpuacct","dir":"/a/b","made":2}]}"#
    );
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}
