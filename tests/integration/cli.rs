//! The command line: global options, `spec`, `features`, logs, and the phrases that engines look for.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;

use crate::harness::{Bundle, Output, Value, json, runtime};

/// A bundle for commands that only need a state root.
fn plain(args: &[&str]) -> Output {
    Bundle::new().command(args)
}

/// `--version` in the form that engines parse.
#[test]
fn version() {
    let bundle = Bundle::new();
    let mut command = runtime::command();
    command.arg("--version");
    let text = bundle.finish(command).success().stdout;
    let lines: Vec<_> = text.lines().collect();
    let version = lines[0].strip_prefix("orlop version ").unwrap();
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{text}");
    assert!(lines[1].starts_with("commit: "), "{text}");
    assert!(lines.contains(&"spec: 1.3.0"), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("libseccomp: 2.")), "{text}");
}

/// An unknown flag or command is named in the error.
#[test]
fn unknown_flags() {
    plain(&["--no-such-flag", "list"]).failure(&["--no-such-flag"]);
    plain(&["create", "--no-such-flag", "x"]).failure(&["--no-such-flag"]);
    plain(&["state", "--no-such-flag", "x"]).failure(&["--no-such-flag"]);
    plain(&["no-such-command"]).failure(&["no-such-command"]);
    plain(&[]).failure(&[]);
    plain(&["state", "one", "two"]).failure(&[]);
}

/// `--help` of the program and of each command names the options, and exits with 0.
#[test]
fn help() {
    let text = plain(&["--help"]).success().stdout;
    for word in ["create", "start", "state", "kill", "delete", "run", "list", "spec", "features", "--root"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let flags = ["--bundle", "--pid-file", "--console-socket", "--no-pivot", "--no-new-keyring", "--preserve-fds"];
    for command in ["create", "run"] {
        let text = plain(&[command, "--help"]).success().stdout;
        for flag in flags {
            assert!(text.contains(flag), "{flag} in {text}");
        }
    }
}

/// `--rootless` takes three values.
#[test]
fn rootless_values() {
    for value in ["auto", "true", "false"] {
        plain(&["--rootless", value, "list"]).success();
        plain(&[&format!("--rootless={value}"), "list"]).success();
    }
    plain(&["--rootless", "perhaps", "list"]).failure(&["perhaps"]);
}

/// Options as engines write them: joined and apart, short, repeated (the last wins), with one dash.
#[test]
fn spellings() {
    let bundle = Bundle::with_script("exit 0");
    bundle.write();
    let dir = bundle.dir.to_str().unwrap();
    let joined = format!("--bundle={dir}");
    for args in [
        &["run", "--bundle", dir, &bundle.id][..],
        &["run", &joined, &bundle.id],
        &["run", "-b", dir, &bundle.id],
        &["run", "--bundle", "/no/such", "--bundle", dir, &bundle.id],
        &["run", "--no-pivot", "--no-pivot", &joined, &bundle.id],
        &["run", "-no-subreaper", &joined, &bundle.id],
        &["--debug", "--debug", "--log-level", "error", "--log-level", "warn", "run", &joined, &bundle.id],
    ] {
        let output = bundle.command(args);
        assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
    }
}

/// `spec` writes a configuration whose container runs with nothing but a root file system beside it.
#[test]
fn spec_then_run() {
    let mut bundle = Bundle::new();
    let mut command = bundle.prepare(&["spec"]);
    command.current_dir(&bundle.dir);
    bundle.finish(command).success();
    let text = fs::read(bundle.dir.join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(config["root"]["path"], "rootfs");
    assert_eq!(config["process"]["terminal"], true);
    for point in ["/proc", "/dev/pts", "/dev/shm", "/sys"] {
        let mounts = config["mounts"].as_array().unwrap();
        assert!(mounts.iter().any(|mount| mount["destination"] == point), "LNX-01: no {point}");
    }
    bundle.config = config;
    bundle.set("/process/terminal", json!(false)).set("/process/args", json!(["sh", "-c", "echo $$; exit 6"]));
    let output = bundle.run();
    assert_eq!((output.code, &*output.stdout), (6, "1\n"), "{}", output.stderr);
}

/// `spec` never overwrites; `--bundle` names the directory; `--rootless` adds a user namespace.
#[test]
fn spec_options() {
    let bundle = Bundle::new();
    let dir = bundle.dir.to_str().unwrap();
    bundle.write_raw(b"precious");
    bundle.command(&["spec", "--bundle", dir]).failure(&["config.json", "exist"]);
    assert_eq!(fs::read(bundle.dir.join("config.json")).unwrap(), b"precious");
    fs::remove_file(bundle.dir.join("config.json")).unwrap();
    bundle.command(&["spec", "--bundle", dir, "--rootless"]).success();
    let config: Value = serde_json::from_slice(&fs::read(bundle.dir.join("config.json")).unwrap()).unwrap();
    let namespaces = config["linux"]["namespaces"].as_array().unwrap();
    assert!(namespaces.iter().any(|entry| entry["type"] == "user"));
    assert!(!config["linux"]["uidMappings"].as_array().unwrap().is_empty());
}

/// `--log-format json --log`: each error one object with time, level and msg, appended; the same text
/// on standard error.
#[test]
fn json_log() {
    let bundle = Bundle::new();
    let log = bundle.file("log");
    let log_arg = log.to_str().unwrap();
    for count in 1..=2 {
        let output = bundle
            .command(&["--log", log_arg, "--log-format", "json", "state", "no-such-container"])
            .failure(&["does not exist"]);
        let text = fs::read_to_string(&log).unwrap();
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), count);
        let record = &records[count - 1];
        assert_eq!(record["level"], "error");
        let time = record["time"].as_str().unwrap();
        assert!(time.len() >= 20 && time.as_bytes()[10] == b'T', "not RFC 3339: {time}");
        let message = record["msg"].as_str().unwrap();
        assert!(message.contains("does not exist") && output.stderr.contains(message), "{message}");
    }
}

/// Errors of init reach the log too; one error is one object, as podman expects.
#[test]
fn json_log_of_a_failing_create() {
    let mut bundle = Bundle::new();
    bundle.mount("/mnt", "no-such-filesystem", "none", &[]).write();
    let log = bundle.file("log");
    let args = [
        "--log",
        log.to_str().unwrap(),
        "--log-format=json",
        "create",
        "--bundle",
        bundle.dir.to_str().unwrap(),
        &bundle.id,
    ];
    bundle.command(&args).failure(&["mounts[6]", "/mnt"]);
    let record: Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
    assert!(record["msg"].as_str().unwrap().contains("mounts[6]"));
    bundle.assert_clean();
}

/// `--log` in text form, and an unknown form.
#[test]
fn text_log() {
    let bundle = Bundle::new();
    let log = bundle.file("log");
    bundle
        .command(&["--log", log.to_str().unwrap(), "--log-format", "text", "state", "no-such-container"])
        .failure(&["does not exist"]);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("level=error") && text.contains("does not exist"), "{text}");
    plain(&["--log-format", "xml", "list"]).failure(&["xml"]);
    plain(&["--log-level", "loud", "list"]).failure(&["loud"]);
    plain(&["--log", "/no/such/directory/log", "list"]).failure(&["/no/such/directory/log"]);
}

/// An error is one line that names property, object, call, errno and its meaning.
#[test]
fn error_line() {
    let mut bundle = Bundle::new();
    bundle.mount("/data", "bind", "/no/such/source", &["bind"]);
    let output = bundle.refused(&["mounts[6]", "/no/such/source", "ENOENT: no such file or directory"]);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert_eq!(output.code, 1);
}

/// The program survives being called without standard descriptors, and does not let the container's
/// files become them.
#[test]
fn closed_standard_descriptors() {
    let bundle = Bundle::with_script("echo ran > /tmp/ran");
    bundle.write();
    let program = runtime::program();
    let mut shell = std::process::Command::new("/bin/sh");
    shell.arg("-c").arg("exec \"$0\" \"$@\" <&- >&- 2>&-").arg(program);
    shell
        .args(["--root", bundle.scratch().state_root().to_str().unwrap(), "run", "--bundle"])
        .arg(&bundle.dir)
        .arg(&bundle.id);
    bundle.finish(shell).success();
    assert_eq!(fs::read_to_string(bundle.rootfs("tmp/ran")).unwrap(), "ran\n");
}

/// The state root is /run/orlop when none is given. (In a mount namespace with a /run of its own.)
#[test]
fn default_root() {
    let bundle = Bundle::with_script("exec sleep 1000");
    bundle.write();
    let script = "mount --make-rprivate / && mount -t tmpfs run /run && \"$0\" create --bundle \"$1\" \"$2\" >/dev/null && \
                  ls /run/orlop && \"$0\" delete --force \"$2\" && ls -A /run/orlop";
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["-m", "sh", "-c", script]).arg(runtime::program()).arg(&bundle.dir).arg(&bundle.id);
    assert_eq!(bundle.finish(unshare).success().stdout, format!("{}\n", bundle.id));
}

/// A plain user runs a container in a user namespace, without any right over cgroups; the state is in
/// $XDG_RUNTIME_DIR/orlop.
#[test]
fn plain_user() {
    const USER: u32 = 54321;
    let mut bundle = Bundle::with_script("id -u; echo $$; cat /proc/self/uid_map; exit 7");
    let own = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    bundle.namespace("user").set("/linux/uidMappings", own.clone()).set("/linux/gidMappings", own);
    bundle.remove("/linux/cgroupsPath").share("network");
    // What a plain user cannot have: a sysfs of the host's network namespace, and the group of terminals.
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "sysfs");
    let devpts = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    bundle.set("/mounts/2/options", devpts).write();
    // The program, where the user can reach it.
    let program = bundle.file("orlop");
    runtime::copy_program(&runtime::program(), &program);
    let runtime_dir = bundle.file("xdg");
    fs::create_dir(&runtime_dir).unwrap();
    for path in [&runtime_dir, &bundle.rootfs("")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let mut command = std::process::Command::new(&program);
    command.env_clear().env("XDG_RUNTIME_DIR", &runtime_dir).uid(USER).gid(USER).stdin(std::process::Stdio::null());
    command.args(["run", "--bundle"]).arg(&bundle.dir).arg("plain");
    let output = bundle.finish(command);
    assert_eq!(output.code, 7, "{}", output.stderr);
    let words: Vec<_> = output.stdout.split_whitespace().collect();
    assert_eq!(words, ["0", "1", "0", "54321", "1"]);
    assert!(runtime_dir.join("orlop").is_dir());
}

/// `checkpoint` and `restore` are not there, and podman, which asks for their help, is not told otherwise.
#[test]
fn no_checkpoints() {
    if !runtime::is_orlop() {
        skip!("other runtimes have them");
    }
    for args in [
        &["checkpoint", "--help"][..],
        &["checkpoint", "--image-path", "/i", "--work-path", "/w", "--leave-running", "--leave-running", "x"],
        &["restore", "--lsm-mount-context"],
        &["restore", "--image-path", "/i", "--detach", "-no-subreaper", "--bundle", "/b", "x"],
    ] {
        let output = plain(args).failure(&[args[0], "not supported"]);
        assert_eq!(output.stdout, "");
        assert!(!output.stderr.contains("flag needs an argument"));
    }
}
