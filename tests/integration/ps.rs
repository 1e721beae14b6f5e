//! `ps`.

use std::fs;

use crate::harness::{Bundle, Container, Value, cgroup, json};

/// A container of three processes.
fn three(bundle: &mut Bundle) -> Container {
    bundle.script("sleep 1000 & sleep 1001 & echo up; wait");
    let container = bundle.create();
    container.start().wait_output("up");
    container
}

#[track_caller]
fn json_of(bundle: &Bundle, args: &[&str]) -> Value {
    let output = bundle.command(&[&["ps"], args, &[&bundle.id]].concat()).success();
    assert_eq!(output.stdout.lines().count(), 1, "{:?}", output.stdout);
    serde_json::from_str(&output.stdout).unwrap()
}

#[track_caller]
fn pids(bundle: &Bundle) -> Vec<i64> {
    let list = json_of(bundle, &["--format", "json"]);
    list.as_array().unwrap().iter().map(|pid| pid.as_i64().unwrap()).collect()
}

/// As containerd calls it: a JSON list of the pids on the host, on one line.
#[test]
fn json_list() {
    let mut bundle = Bundle::new();
    let container = three(&mut bundle);
    let found = pids(&bundle);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains(&container.pid().into()));
    for pid in &found {
        assert_eq!(cgroup::of(*pid as i32, "pids"), bundle.config["linux"]["cgroupsPath"].as_str().unwrap());
    }
    assert_eq!(json_of(&bundle, &["-f", "json"]), json!(found));
    assert_eq!(json_of(&bundle, &["--format=json"]), json!(found));
}

/// The table is that of the host's ps, without the lines of others; `-ef` unless told otherwise.
#[test]
fn table() {
    let mut bundle = Bundle::new();
    let container = three(&mut bundle);
    for args in [&[][..], &["-ef"], &["--", "-ef"], &["-aux"], &["aux"], &["-e", "-o", "ppid,pid,args"]] {
        let words = [&["ps", bundle.id.as_str()], args].concat();
        if args.first() == Some(&"--") && !crate::harness::runtime::is_orlop() {
            continue;
        }
        let text = bundle.command(&words).success().stdout;
        let header = text.lines().next().unwrap();
        let column = header.split_whitespace().position(|name| name == "PID").unwrap();
        let mut shown: Vec<i64> = Vec::new();
        for line in text.lines().skip(1) {
            shown.push(line.split_whitespace().nth(column).unwrap().parse().unwrap());
        }
        shown.sort_unstable();
        assert_eq!((args, &shown), (args, &pids(&bundle)));
        assert!(text.contains("sleep 1001"), "{text}");
        assert!(text.contains("UID") == matches!(args, [] | ["-ef"] | ["--", "-ef"]), "{text}");
    }
    assert!(shown_alone(&bundle, container.pid()));
}

/// A pid that others have in another column is no reason to show their line.
fn shown_alone(bundle: &Bundle, init: i32) -> bool {
    let text = bundle.command(&["ps", &bundle.id, "-e", "-o", "ppid,pid"]).success().stdout;
    text.lines().skip(1).filter(|line| line.split_whitespace().nth(1) == Some(&init.to_string())).count() == 1
}

/// Options that ps refuses, and a table without pids, are errors with its own words.
#[test]
fn bad_options() {
    let mut bundle = Bundle::new();
    let _container = three(&mut bundle);
    bundle.command(&["ps", &bundle.id, "--no-such-option"]).failure(&["exit status"]);
    bundle.command(&["ps", &bundle.id, "-e", "-o", "args"]).failure(&["PID"]);
    bundle.command(&["ps", "--format", "xml", &bundle.id]).failure(&[]);
    bundle.command(&["ps", "no-such-container"]).failure(&["does not exist"]);
    bundle.command(&["ps"]).failure(&[]);
}

/// Processes in cgroups that the container has made below its own belong to it, however deep and many
/// those are; others do not.
#[test]
fn cgroups_below() {
    let mut bundle = Bundle::new();
    let container = three(&mut bundle);
    let all = pids(&bundle);
    // What lists processes: version 1 has one hierarchy for it, version 2 only one.
    let top = bundle.cgroup("freezer");
    let mut deep = top.clone();
    for _ in 0..30 {
        deep = deep.join("d".repeat(60));
        fs::create_dir(&deep).unwrap();
    }
    for number in 0..300 {
        fs::create_dir(top.join(format!("wide{number}"))).unwrap();
    }
    fs::write(deep.join("cgroup.procs"), all[1].to_string()).unwrap();
    fs::write(top.join("wide299/cgroup.procs"), all[2].to_string()).unwrap();
    assert_eq!(pids(&bundle), all);
    bundle.command(&["kill", "--all", &bundle.id, "KILL"]).success();
    assert_eq!(container.wait(), 137);
    container.delete();
    bundle.assert_clean();
}

/// Also the pid that a process has inside, in a pid namespace of the container's own and below that.
#[test]
fn pids_inside() {
    let mut bundle = Bundle::new();
    let container = three(&mut bundle);
    let list = json_of(&bundle, &["--format", "json-full"]);
    let mut inside = Vec::new();
    for process in list.as_array().unwrap() {
        let status = fs::read_to_string(format!("/proc/{}/status", process["pid"])).unwrap();
        let last = crate::harness::field(&status, "NSpid").split_whitespace().last().unwrap().to_owned();
        assert_eq!(process["containerPid"].to_string(), last);
        assert_eq!(process["ppid"].to_string(), crate::harness::field(&status, "PPid"));
        // A child of the shell may not have executed yet.
        assert!(["sh", "sleep"].contains(&process["name"].as_str().unwrap()), "{process}");
        assert_eq!(process["uid"], 0);
        inside.push(process["containerPid"].as_i64().unwrap());
    }
    inside.sort_unstable();
    assert_eq!((inside.len(), inside[0]), (3, 1));
    drop(container);

    let mut bundle = Bundle::new();
    bundle.share("pid");
    let _container = three(&mut bundle);
    for process in json_of(&bundle, &["--format", "json-full"]).as_array().unwrap() {
        assert_eq!(process["containerPid"], process["pid"]);
    }
}

/// In each status: what was created has its first process, what has stopped has none.
#[test]
fn statuses() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    assert_eq!(pids(&bundle), [i64::from(container.pid())]);
    container.start();
    bundle.command(&["pause", &bundle.id]).success();
    assert_eq!(pids(&bundle), [i64::from(container.pid())]);
    container.stop();
    if crate::harness::runtime::is_orlop() {
        assert_eq!(json_of(&bundle, &["--format", "json"]), json!([]));
    }
    let text = bundle.command(&["ps", &bundle.id]).success().stdout;
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// Without a ps on the host, the list and a table of our own, which says so; but not with options for it.
#[test]
fn no_ps_here() {
    let mut bundle = Bundle::new();
    let container = three(&mut bundle);
    let without = |args: &[&str]| {
        let mut command = bundle.prepare(args);
        command.env("PATH", "/no/such/directory:relative:");
        bundle.finish(command)
    };
    let output = without(&["ps", &bundle.id]).success();
    assert_eq!(output.stdout.lines().count(), 4, "{output:?}");
    let line = format!("{} ", container.pid());
    assert!(output.stdout.lines().any(|shown| shown.contains(&line)), "{output:?}");
    assert!(output.stderr.contains("no ps"), "{output:?}");
    without(&["ps", &bundle.id, "aux"]).failure(&["ps"]);
    assert_eq!(without(&["ps", "--format", "json", &bundle.id]).success().stderr, "");
}

/// Names chosen by the container do not spoil the output.
#[test]
fn hostile_names() {
    let bundle = Bundle::with_script(
        "printf 'a\\n1 2' > /proc/self/comm; printf 'a\\n1 2' > /proc/$$/comm; echo up; while :; do read x < /dev/zero; done",
    );
    let container = bundle.create();
    container.start().wait_output("up");
    let list = json_of(&bundle, &["--format", "json-full"]);
    assert_eq!(list[0]["pid"], container.pid());
    assert_eq!(list[0]["name"], "a\\n1 2");
    assert_eq!(bundle.command(&["ps", &bundle.id, "-e", "-o", "pid,comm"]).success().stdout.lines().count(), 2);
}
