//! `--timings`: where the time of a command goes, in the parent, in init and in hooks.

use std::fs;

use crate::harness::{Bundle, Value};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[track_caller]
fn events(bundle: &Bundle) -> Vec<Value> {
    let text = fs::read_to_string(bundle.file("timings")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    document["traceEvents"].as_array().unwrap().clone()
}

#[track_caller]
fn find<'a>(events: &'a [Value], name: &str, lane: u64) -> &'a Value {
    let found = events.iter().find(|event| event["name"].as_str().unwrap().starts_with(name) && event["tid"] == lane);
    found.unwrap_or_else(|| panic!("no {name} of {lane} in {events:#?}"))
}

/// Chrome's trace events, of both processes on one clock.
#[test]
fn phases_of_parent_and_init() {
    let mut bundle = Bundle::with_script("true");
    bundle.hook("prestart", "sleep 0.05").hook("createContainer", "true").write();
    let file = bundle.file("timings");
    bundle.run_with(&["--timings", file.to_str().unwrap()]).success();
    let events = events(&bundle);
    for phase in
        ["configuration", "state", "cgroup", "clone", "limits", "commit", "start", "execve", "running", "delete"]
    {
        find(&events, phase, 1);
    }
    let waiting = events.iter().filter(|event| event["name"] == "waiting-for-init").count();
    assert_eq!(waiting, 2, "before and after the hooks: {events:#?}");
    for phase in ["namespaces", "mounts", "masks", "pivot-root", "user"] {
        find(&events, phase, 2);
    }
    let hook = find(&events, "hooks.prestart[0] /bin/sh", 1);
    assert!(hook["dur"].as_f64().unwrap() >= 50_000.0, "{hook}");
    find(&events, "hooks.createContainer[0] /bin/sh", 2);
    let at = |name, lane| find(&events, name, lane)["ts"].as_f64().unwrap();
    assert!(at("clone", 1) <= at("namespaces", 2) && at("namespaces", 2) <= at("mounts", 2));
    assert!(at("user", 2) <= at("running", 1));
    assert!(events.iter().filter(|event| event["ph"] == "X").all(|event| event.get("args").is_none()));
}

#[test]
fn a_chart_on_standard_error() {
    let bundle = Bundle::with_script("echo out");
    bundle.write();
    let output = bundle.run_with(&["--timings", "-"]).success();
    assert_eq!(output.stdout, "out\n");
    assert!(output.stderr.starts_with("who      phase"), "{}", output.stderr);
    assert!(
        output.stderr.lines().any(|line| line.starts_with("init     mounts") && line.contains('█')),
        "{}",
        output.stderr
    );
}

/// From the environment, for the other commands, and for one that fails.
#[test]
fn every_command() {
    let bundle = Bundle::with_script("exec sleep 60");
    let container = bundle.create();
    container.start();
    let file = bundle.file("timings");
    let file = file.to_str().unwrap();
    let output = bundle.command(&["--timings", file, "exec", &container.id, "true"]).success();
    assert_eq!(output.stderr, "");
    find(&events(&bundle), "user", 2);
    find(&events(&bundle), "running", 1);
    let mut command = bundle.prepare(&["exec", &container.id, "nosuch"]);
    command.env("ORLOP_TIMINGS", file);
    bundle.finish(command).failure(&["nosuch"]);
    find(&events(&bundle), "waiting-for-init", 1);
    bundle.command(&["--timings", "/nosuch/file", "state", &container.id]).success();
}

/// Each span is a child of the command's, and that one of the caller's; hooks of the host learn theirs.
#[test]
fn the_callers_trace_goes_on() {
    let mut bundle = Bundle::with_script("true");
    let seen = bundle.file("seen");
    bundle.hook("prestart", &format!("echo $TRACEPARENT >{}", seen.display())).write();
    let run = |timings: bool| {
        let mut command = bundle.prepare(&["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
        command.env("TRACEPARENT", CALLER);
        if timings {
            command.env("ORLOP_TIMINGS", bundle.file("timings"));
        }
        bundle.finish(command).success();
        fs::read_to_string(&seen).unwrap().trim().to_owned()
    };
    assert_eq!(run(false), CALLER, "without timings it is passed on");
    let seen = run(true);
    let events = events(&bundle);
    let command = &find(&events, "orlop", 1)["args"];
    assert_eq!(command["parent_span_id"], "00f067aa0ba902b7");
    let hook = &find(&events, "hooks.prestart[0]", 1)["args"];
    assert_eq!(seen, format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", hook["span_id"].as_str().unwrap()));
    let mounts = &find(&events, "mounts", 2)["args"];
    assert!([hook, mounts].iter().all(|args| args["parent_span_id"] == command["span_id"]), "{events:#?}");
    assert_ne!(hook["span_id"], mounts["span_id"]);
}
