//! `list`.

use std::fs;
use std::process::Command;

use crate::harness::runtime::program;
use crate::harness::{Bundle, Value};

/// The table has runc's columns, and a line for each container.
#[test]
fn table() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    let text = bundle.command(&["list"]).success().stdout;
    let mut lines = text.lines();
    let head: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let row: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    let pid = container.pid().to_string();
    assert_eq!(row[..4], [bundle.id.as_str(), pid.as_str(), "created", bundle.dir.to_str().unwrap()]);
    assert_eq!(row.len(), 6, "{row:?}");
    assert_eq!(lines.next(), None);
    assert_eq!(bundle.command(&["list", "--format", "table"]).success().stdout, text);
}

/// JSON: the states in a list; `--quiet`: the ids alone.
#[test]
fn json_and_quiet() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let first = bundle.create();
    let mut config = bundle.config.clone();
    config["linux"]["cgroupsPath"] = format!("/{}-2", bundle.tag()).into();
    bundle.write_raw(config.to_string().as_bytes());
    let second = bundle.create_as(&format!("{}-2", bundle.id), &[]);
    second.start();

    let text = bundle.command(&["list", "--format", "json"]).success().stdout;
    let list: Vec<Value> = serde_json::from_str(&text).unwrap();
    let summary: Vec<_> = list.iter().map(|state| (&state["id"], &state["status"], &state["pid"])).collect();
    let (id1, id2) = (Value::from(&*first.id), Value::from(&*second.id));
    let (created, running) = (Value::from("created"), Value::from("running"));
    let (pid1, pid2) = (Value::from(first.pid()), Value::from(second.pid()));
    assert_eq!(summary, [(&id1, &created, &pid1), (&id2, &running, &pid2)]);
    let quiet = bundle.command(&["list", "--quiet"]).success().stdout;
    assert_eq!(quiet, format!("{}\n{}\n", first.id, second.id));
    assert_eq!(bundle.command(&["list", "-q"]).success().stdout, quiet);
}

/// Without containers, and without a state root at all, the list is empty.
#[test]
fn empty() {
    let bundle = Bundle::new();
    let text = bundle.command(&["list", "--format", "json"]).success().stdout;
    assert_eq!(text.trim(), "[]");
    assert_eq!(bundle.command(&["list", "--quiet"]).success().stdout, "");
    assert_eq!(bundle.command(&["list"]).success().stdout.lines().count(), 1);
    bundle.command(&["list", "--format", "xml"]).failure(&["xml"]);
}

/// More containers than the command may have descriptors: none is left out.
#[test]
fn few_descriptors() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    let root = bundle.state_root();
    let record = fs::read_to_string(root.join(&container.id).join("state.json")).unwrap();
    let copies: Vec<_> = (0..40).map(|n| root.join(format!("{}-{n}", container.id))).collect();
    for (n, copy) in copies.iter().enumerate() {
        fs::create_dir(copy).unwrap();
        let (id, own) = (format!("\"id\":\"{}\"", container.id), format!("\"id\":\"{}-{n}\"", container.id));
        fs::write(copy.join("state.json"), record.replacen(&id, &own, 1)).unwrap();
    }
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg("ulimit -n 16; exec \"$0\" \"$@\"").arg(program()).arg("--root").arg(&root);
    shell.args(["list", "--quiet"]);
    let output = bundle.finish(shell).success();
    copies.iter().for_each(|copy| fs::remove_dir_all(copy).unwrap());
    assert_eq!((output.stdout.lines().count(), output.stderr.as_str()), (41, ""));
}
