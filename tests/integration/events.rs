//! `events`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::runtime::{Running, is_orlop};
use crate::harness::{Bundle, Container, Value, cgroup, eventually, json};

fn sleeping() -> (Bundle, Container) {
    let bundle = Bundle::with_script("echo up; exec sleep 1000");
    let container = bundle.create();
    container.start().wait_output("up");
    (bundle, container)
}

#[track_caller]
fn stats(bundle: &Bundle) -> Value {
    let output = bundle.command(&["events", "--stats", &bundle.id]).success();
    assert_eq!(output.stdout.lines().count(), 1, "{:?}", output.stdout);
    let event: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(bundle.id)));
    event["data"].clone()
}

/// What a stream has printed so far.
fn events(stream: &Running) -> Vec<Value> {
    stream.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn kinds(stream: &Running) -> Vec<String> {
    events(stream).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn read(dir: &Path, file: &str) -> u64 {
    fs::read_to_string(dir.join(file)).unwrap().trim().parse().unwrap_or(u64::MAX)
}

/// Exactly the fields of runc, with their types.
#[test]
fn shape() {
    let (bundle, _container) = sleeping();
    let data = stats(&bundle);
    let top = ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"];
    assert_eq!(keys(&data), BTreeSet::from(top));
    assert_eq!((&data["intel_rdt"], &data["network_interfaces"]), (&json!({}), &Value::Null));
    let mut cpu = BTreeSet::from(["total", "kernel", "user"]);
    if !cgroup::is_v2() {
        cpu.extend(["percpu", "percpu_kernel", "percpu_user"]);
        assert_eq!(data["cpuset"]["cpus"][0], 0);
        assert_eq!(data["cpuset"]["sched_relax_domain_level"], -1);
    }
    assert_eq!(keys(&data["cpu"]["usage"]), cpu);
    assert_eq!(data["cpu"]["throttling"], json!({}));
    let flags = [
        "cpu_exclusive",
        "mem_hardwall",
        "mem_exclusive",
        "memory_migrate",
        "memory_spread_page",
        "memory_spread_slab",
        "memory_pressure",
        "sched_load_balance",
        "sched_relax_domain_level",
    ];
    assert!(keys(&data["cpuset"]).is_superset(&BTreeSet::from(flags)));
    for kind in ["usage", "swap", "kernel", "kernelTCP"] {
        assert!(keys(&data["memory"][kind]).is_superset(&BTreeSet::from(["limit", "failcnt"])), "{kind}");
    }
    assert!(data["memory"]["raw"].as_object().unwrap().values().all(Value::is_u64));
    if fs::read_to_string(bundle.cgroup("").join("cpu.pressure")).is_ok() && is_orlop() {
        for part in ["cpu", "memory", "blkio"] {
            let psi = &data[part]["psi"];
            assert_eq!(keys(psi), BTreeSet::from(["some", "full"]), "{part}");
            assert_eq!(keys(&psi["some"]), BTreeSet::from(["avg10", "avg60", "avg300", "total"]), "{part}");
        }
    }
}

/// The figures are those of the files.
#[test]
fn figures() {
    let mut bundle =
        Bundle::with_script("sleep 1000 & i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo up; wait");
    let resources = json!({
        "memory": {"limit": 64 << 20}, "pids": {"limit": 77}, "cpu": {"quota": 50_000, "period": 100_000}
    });
    bundle.set("/linux/resources", resources);
    let container = bundle.create();
    container.start().wait_output("up");
    // Nothing changes any more.
    bundle.command(&["pause", &bundle.id]).success();
    let data = stats(&bundle);
    assert_eq!(data["pids"], json!({"current": 2, "limit": 77}));
    assert_eq!(data["memory"]["usage"]["limit"], 64 << 20);
    let (memory, cpu) = (bundle.cgroup("memory"), bundle.cgroup("cpu"));
    let (current, peak) = match cgroup::is_v2() {
        true => ("memory.current", "memory.peak"),
        false => ("memory.usage_in_bytes", "memory.max_usage_in_bytes"),
    };
    // The kernel hands out and takes back what it has charged ahead.
    let near = |a: u64, b: u64| a.abs_diff(b) <= 1 << 20;
    assert!(near(data["memory"]["usage"]["usage"].as_u64().unwrap(), read(&memory, current)));
    if memory.join(peak).exists() {
        assert!(near(data["memory"]["usage"]["max"].as_u64().unwrap(), read(&memory, peak)));
    }
    let stat = fs::read_to_string(memory.join("memory.stat")).unwrap();
    assert_eq!(data["memory"]["raw"].as_object().unwrap().len(), stat.lines().count());
    let periods = fs::read_to_string(cpu.join("cpu.stat")).unwrap();
    let periods = periods.lines().find_map(|line| line.strip_prefix("nr_periods ")).unwrap();
    assert!(data["cpu"]["throttling"]["periods"].as_u64().unwrap_or(0).to_string() == periods, "{data}");
    let total = data["cpu"]["usage"]["total"].as_u64().unwrap();
    let file = match cgroup::is_v2() {
        true => {
            let stat = fs::read_to_string(cpu.join("cpu.stat")).unwrap();
            let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
            usage.parse::<u64>().unwrap() * 1000
        }
        false => read(&bundle.cgroup("cpuacct"), "cpuacct.usage"),
    };
    assert!(total > 0 && total <= file, "{total} {file}");
}

/// A device is named with what was read from and written to it.
#[test]
fn block_devices() {
    let mut bundle =
        Bundle::with_script("dd if=/dev/zero of=/data/file bs=1M count=2 conv=fsync 2>&1; echo up; sleep 1000");
    // A directory on a disk, where there is one: the scratch directory may be in memory.
    let dir = Path::new("/var/tmp").join(bundle.tag());
    fs::create_dir(&dir).unwrap();
    bundle.mount("/data", "bind", dir.to_str().unwrap(), &["bind"]);
    let container = bundle.create();
    container.start().wait_output("up");
    let data = stats(&bundle);
    fs::remove_dir_all(&dir).unwrap();
    let name = if cgroup::is_v2() { "io.stat" } else { "blkio.throttle.io_service_bytes_recursive" };
    let text = fs::read_to_string(bundle.cgroup("blkio").join(name)).unwrap_or_default();
    if !text.contains(':') {
        assert_eq!(data["blkio"].get("ioServiceBytesRecursive"), None);
        skip!("no disk behind /var/tmp that the kernel counts");
    }
    let entries = data["blkio"]["ioServiceBytesRecursive"].as_array().unwrap();
    let written = |entry: &&Value| entry["op"] == "Write" && entry["value"].as_u64() >= Some(2 << 20);
    assert!(entries.iter().any(|entry| written(&entry)), "{entries:?}");
}

/// Round after round, and at the end why the container has ended.
#[test]
fn interval() {
    let (bundle, container) = sleeping();
    let stream = bundle.spawn(&["events", "--interval", "20ms", &bundle.id]);
    eventually("no statistics", || (kinds(&stream).len() >= 4).then_some(()));
    assert!(kinds(&stream).iter().all(|kind| kind == "stats"));
    if !is_orlop() {
        return;
    }
    container.kill("TERM");
    container.kill("KILL");
    let (output, stream) = stream.finish_keeping();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let last = events(&stream).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["data"]["reason"], &last["data"]["signal"]),
        (&json!("exit"), &json!("signal"), &json!(9))
    );
    assert_eq!(last["data"]["exitStatus"], 137);
}

/// The end is told with the exit status, whether the first process is still a zombie or not.
#[test]
fn exit_status() {
    if !is_orlop() {
        skip!("only orlop says so");
    }
    let bundle = Bundle::with_script("echo up; read x < /tmp/go; exit 7");
    nix::unistd::mkfifo(&bundle.rootfs("tmp/go"), nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let container = bundle.create();
    container.start().wait_output("up");
    let stream = bundle.spawn(&["events", "--interval=20ms", &bundle.id]);
    eventually("no statistics", || (!kinds(&stream).is_empty()).then_some(()));
    fs::write(bundle.rootfs("tmp/go"), "\n").unwrap();
    container.wait_zombie();
    let (output, stream) = stream.finish_keeping();
    assert_eq!(output.code, 0);
    let last = json!({"type": "exit", "id": bundle.id, "data": {"reason": "exited", "exitStatus": 7}});
    assert_eq!(events(&stream).pop(), Some(last));
}

/// Starts a container that may have 32 MiB, and lets it go on once somebody listens to its events.
fn hungry(bundle: &mut Bundle) -> (Container, Running) {
    nix::unistd::mkfifo(&bundle.rootfs("tmp/go"), nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    bundle.set("/linux/resources", json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}));
    let container = bundle.create();
    container.start();
    let stream = bundle.spawn(&["events", "--interval", "20ms", &bundle.id]);
    eventually("no statistics", || kinds(&stream).contains(&"stats".to_owned()).then_some(()));
    fs::write(bundle.rootfs("tmp/go"), "\n").unwrap();
    (container, stream)
}

/// A container that takes too much memory: a notice, and an end for that reason.
#[test]
fn out_of_memory() {
    let mut bundle = Bundle::with_script("read x < /tmp/go; exec dd if=/dev/zero of=/dev/null bs=128M count=1");
    let (container, stream) = hungry(&mut bundle);
    assert_eq!(container.wait(), 137);
    eventually("no notice", || kinds(&stream).contains(&"oom".to_owned()).then_some(()));
    let oom = events(&stream).into_iter().find(|event| event["type"] == "oom").unwrap();
    assert_eq!((&oom["type"], &oom["id"]), (&json!("oom"), &json!(bundle.id)));
    // The kernel's log, where it can be read and has told by then.
    assert!(oom.get("data").is_none_or(|data| data["name"] == "dd" && data["pid"].is_i64()), "{oom}");
    if is_orlop() {
        assert_eq!(stream.finish_keeping().0.code, 0);
    } else {
        container.delete();
        stream.finish_quietly();
    }
}

/// Another process of the container is killed: a notice, and the container goes on.
#[test]
fn out_of_memory_of_another_process() {
    let mut bundle = Bundle::with_script(
        "read x < /tmp/go; dd if=/dev/zero of=/dev/null bs=128M count=1; echo survived; exec sleep 1000",
    );
    let (container, stream) = hungry(&mut bundle);
    container.wait_output("survived");
    eventually("no notice", || kinds(&stream).contains(&"oom".to_owned()).then_some(()));
    assert_eq!(container.status(), "running");
    if is_orlop() {
        let text = bundle.command(&["events", "--stats", "--format", "openmetrics", &bundle.id]).success().stdout;
        let kills = text.lines().find_map(|line| line.strip_prefix("container_oom_kills_total")?.rsplit(' ').next());
        assert!(kills.unwrap().parse::<u64>().unwrap() >= 1, "{text}");
    }
    container.stop();
    container.delete();
    stream.finish_quietly();
}

/// A container without a reader: the command ends too.
#[test]
fn nobody_reads() {
    if !is_orlop() {
        skip!("other runtimes go on");
    }
    let (bundle, container) = sleeping();
    let mut command = bundle.prepare(&["events", "--interval", "1h", &bundle.id]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = crate::harness::runtime::launch(&mut command);
    drop(child.stdout.take());
    let status = eventually("it goes on", || child.try_wait().unwrap());
    assert!(status.success());
    assert_eq!(container.status(), "running");
}

/// What cannot be: a container that has stopped or is unknown, an interval that is none.
#[test]
fn refused() {
    let (bundle, container) = sleeping();
    for interval in ["0", "0s", "-1s", "5", "x"] {
        let interval = format!("--interval={interval}");
        bundle.command(&["events", &interval, &bundle.id]).failure(&["interval"]);
    }
    bundle.command(&["events", "--stats", "no-such-container"]).failure(&["does not exist"]);
    bundle.command(&["events"]).failure(&[]);
    if is_orlop() {
        bundle.command(&["events", "--format", "openmetrics", &bundle.id]).failure(&["--stats"]);
    }
    container.stop();
    bundle.command(&["events", "--stats", &bundle.id]).failure(&["is not running"]);
    bundle.command(&["events", &bundle.id]).failure(&["is not running"]);
}

/// `--format openmetrics`: each sample after the type of its metric, base units, numbers, one end mark.
#[test]
fn openmetrics() {
    if !is_orlop() {
        skip!("only orlop has it");
    }
    let (bundle, _container) = sleeping();
    let text = bundle.command(&["events", "--stats", "--format", "openmetrics", &bundle.id]).success().stdout;
    let body = text.strip_suffix("# EOF\n").unwrap();
    assert!(!body.contains("# EOF"));
    let (mut family, mut kind, mut known) = (String::new(), String::new(), BTreeSet::new());
    for line in body.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", name, is] => {
                assert!(known.insert(name.to_owned()), "{name} twice");
                (family, kind) = (name.to_owned(), is.to_owned());
                assert!(["counter", "gauge"].contains(&is), "{line}");
            }
            ["#", "UNIT", name, unit] => assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}"),
            ["#", "HELP", name, help] => assert!(name == family && !help.is_empty(), "{line}"),
            _ => {
                let (name, rest) = line.split_once('{').unwrap();
                let (labels, value) = rest.rsplit_once("} ").unwrap();
                assert_eq!(name, format!("{family}{}", if kind == "counter" { "_total" } else { "" }));
                assert!(labels.starts_with(&format!("id=\"{}\"", bundle.id)), "{line}");
                assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
            }
        }
    }
    for name in ["container_cpu_usage_seconds", "container_memory_usage_bytes", "container_processes"] {
        assert!(known.contains(name), "{name}");
    }
    assert!(text.contains(&format!("container_processes{{id=\"{}\"}} 1\n", bundle.id)), "{text}");
}
