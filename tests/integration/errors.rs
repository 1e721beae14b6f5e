//! What a failure is called and explained by: `docs/errors.md`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Bundle, Value, json};

/// The record that ends a command in a log of JSON lines.
#[track_caller]
fn record(bundle: &Bundle, args: &[&str]) -> Value {
    let log = bundle.file("log.json");
    let _ = fs::remove_file(&log);
    let global = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let output = bundle.command(&[&global[..], args].concat()).failure(&[]);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(output.stderr, format!("orlop: {}\n", record["msg"].as_str().unwrap()));
    record
}

#[track_caller]
fn create(bundle: &Bundle) -> Value {
    bundle.write();
    let record = record(bundle, &["create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
    bundle.assert_clean();
    record
}

#[track_caller]
fn parts(record: &Value, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(record[name], *value, "{record}");
    }
}

/// What init fails with is told part by part, with the kernel's words where there are any.
#[test]
fn a_mount_that_fails() {
    let mut bundle = Bundle::new();
    bundle.mount("/data", "tmpfs", "tmpfs", &["sise=1m"]);
    let index = bundle.config["mounts"].as_array().unwrap().len() - 1;
    let record = create(&bundle);
    let property = format!("mounts[{index}]");
    let object = "/data (type tmpfs)";
    parts(
        &record,
        &[
            ("code", "system-call"),
            ("phase", "mounts"),
            ("property", &property),
            ("object", object),
            ("syscall", "fsconfig"),
            ("errno", "EINVAL"),
            ("kernel", "tmpfs: Unknown parameter 'sise'"),
        ],
    );
    let expected =
        format!("{property}: {object}: fsconfig: EINVAL: invalid argument (kernel: tmpfs: Unknown parameter 'sise')");
    assert_eq!(record["msg"], *expected);
}

#[test]
fn codes_of_what_create_refuses() {
    let mut bundle = Bundle::new();
    bundle.set("/process/rlimits", json!([{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}]));
    parts(
        &create(&bundle),
        &[("code", "config-invalid"), ("phase", "configuration"), ("property", "process.rlimits[0].type")],
    );
    bundle.set("/process/rlimits", json!([{"type": 1}]));
    parts(&create(&bundle), &[("code", "config-syntax"), ("phase", "configuration")]);
    bundle.set("/process/rlimits", json!([])).args(&["nosuch"]);
    let missing = create(&bundle);
    parts(&missing, &[("code", "program-not-found"), ("phase", "user")]);
    assert!(missing["hint"].as_str().unwrap().starts_with("looked in /"), "{missing}");
    bundle.args(&["/tmp"]);
    parts(&create(&bundle), &[("code", "program-not-executable"), ("phase", "user")]);
    bundle.args(&["/bin/true"]).mount("/x", "none", "/nosuch", &["bind"]);
    parts(&create(&bundle), &[("code", "not-found"), ("errno", "ENOENT"), ("object", "/nosuch")]);
}

#[test]
fn codes_of_hooks() {
    let mut bundle = Bundle::new();
    bundle.hook("createRuntime", "echo broken; exit 3");
    let failed = create(&bundle);
    parts(&failed, &[("code", "hook-failed"), ("phase", "create-hooks"), ("property", "hooks.createRuntime[0]")]);
    assert!(failed["msg"].as_str().unwrap().contains("exited with status 3; output: broken"), "{failed}");
    bundle.set("/hooks/createRuntime", json!([{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]));
    parts(&create(&bundle), &[("code", "hook-timeout")]);
    bundle.set("/hooks", json!({})).hook("createContainer", "exit 4");
    parts(&create(&bundle), &[("code", "hook-failed"), ("property", "hooks.createContainer[0]")]);
}

#[test]
fn codes_of_containers() {
    let mut bundle = Bundle::new();
    parts(&record(&bundle, &["state", "nosuch"]), &[("code", "container-not-found"), ("object", "nosuch")]);
    parts(&record(&bundle, &["nosuch"]), &[("code", "usage"), ("phase", "arguments")]);
    bundle.script("exec sleep 60");
    let container = bundle.create();
    let id = container.id.clone();
    parts(
        &record(&bundle, &["create", "--bundle", bundle.dir.to_str().unwrap(), &id]),
        &[("code", "container-exists"), ("phase", "state")],
    );
    parts(&record(&bundle, &["delete", &id]), &[("code", "container-status")]);
}

/// The kernel says of a script without its interpreter that the script is missing. It has been looked at by then: no
/// filter is in the way.
#[test]
fn an_interpreter_that_is_missing() {
    let mut bundle = Bundle::new();
    let script = bundle.rootfs("bin/script");
    fs::write(&script, "#!/opt/nosuch/perl -w\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    bundle.args(&["script"]);
    for seccomp in [None, Some("SCMP_ACT_ERRNO"), Some("SCMP_ACT_KILL_PROCESS")] {
        if let Some(action) = seccomp {
            let rule = json!([{"names": ["open", "openat"], "action": action}]);
            bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rule}));
        }
        let container = bundle.create();
        let failed = record(&bundle, &["start", &container.id]);
        assert!(failed["msg"].as_str().unwrap().contains("no such file or directory"), "{failed}");
        parts(&failed, &[("code", "interpreter-not-found"), ("phase", "execve")]);
        assert!(failed["hint"].as_str().unwrap().contains("/opt/nosuch/perl"), "{failed}");
        container.wait_zombie();
        container.delete();
    }
}

/// A filter under which nothing can be executed is named before it ends init without a word.
#[test]
fn a_filter_that_kills_execve() {
    let mut bundle = Bundle::new();
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_KILL_PROCESS"}));
    let container = bundle.create();
    let failed = record(&bundle, &["start", &container.id]);
    parts(&failed, &[("code", "init-died"), ("property", "linux.seccomp"), ("phase", "start")]);
    assert!(failed["msg"].as_str().unwrap().contains("execve"), "{failed}");
}

#[test]
fn init_that_is_killed() {
    let mut bundle = Bundle::new();
    bundle.script("true").hook("createRuntime", "kill -9 $(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/')");
    let failed = create(&bundle);
    parts(&failed, &[("code", "init-died")]);
    assert!(failed["msg"].as_str().unwrap().contains("killed by SIGKILL"), "{failed}");
}
