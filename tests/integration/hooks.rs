//! `hooks` (config.md).

use std::fs;
use std::path::Path;

use crate::harness::{Bundle, Value, json};

pub(crate) const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that appends a word to a file of the host, or of the container for startContainer.
pub(crate) fn logging(bundle: &mut Bundle, kind: &str, word: &str) {
    let log = bundle.file("log");
    let file = if kind == "startContainer" { "/log" } else { log.to_str().unwrap() };
    bundle.hook(kind, &format!("echo {word} >> {file}"));
}

/// Makes the log of the hooks visible inside, so that all of them share one file.
pub(crate) fn share_log(bundle: &mut Bundle) {
    let log = bundle.file("log");
    fs::write(&log, "").unwrap();
    bundle.mount("/log", "bind", log.to_str().unwrap(), &["bind"]);
}

pub(crate) fn read_log(bundle: &Bundle) -> Vec<String> {
    fs::read_to_string(bundle.file("log")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// RT-20, RT-22, RT-24, RT-26, RT-28, RT-29, HK-11, HK-13…HK-36: six kinds, two hooks each, in the order of the lifecycle; the program runs
/// between startContainer and poststart.
#[test]
fn order() {
    let mut bundle = Bundle::with_script("echo program >> /log; exec sleep 1000");
    share_log(&mut bundle);
    for kind in KINDS {
        logging(&mut bundle, kind, &format!("{kind}1"));
        // poststart must not run before the program was executed: it can tell by the process's name.
        logging(&mut bundle, kind, &format!("{kind}2"));
    }
    let container = bundle.create();
    let created =
        ["prestart1", "prestart2", "createRuntime1", "createRuntime2", "createContainer1", "createContainer2"];
    assert_eq!(read_log(&bundle), created);
    container.start();
    crate::harness::eventually("the program did not run", || {
        read_log(&bundle).contains(&"program".into()).then_some(())
    });
    let log = read_log(&bundle);
    let log: Vec<_> = log.iter().filter(|word| *word != "program").collect();
    assert_eq!(log[6..], ["startContainer1", "startContainer2", "poststart1", "poststart2"]);
    container.stop();
    assert_eq!(read_log(&bundle).len(), 11);
    container.delete();
    assert_eq!(read_log(&bundle)[11..], ["poststop1", "poststop2"]);
}

/// HK-29, RT-08: when poststart runs, the program has been executed.
#[test]
fn poststart_is_after_the_exec() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let out = bundle.file("cmdline");
    let script = format!(
        "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' | tr -dc 0-9); tr '\\0' ' ' < /proc/$pid/cmdline > {}",
        out.display()
    );
    bundle.hook("poststart", &script);
    let container = bundle.create();
    container.start();
    let cmdline = fs::read_to_string(&out).unwrap();
    assert!(["/bin/sh -c", "sleep 1000"].iter().any(|start| cmdline.starts_with(start)), "{cmdline}");
}

/// HK-08, HK-09: argv and environment are exactly the configured ones.
#[test]
fn arguments_and_environment() {
    for kind in KINDS {
        let mut bundle = Bundle::with_script("exit 0");
        let out = bundle.file("out");
        fs::write(&out, "").unwrap();
        bundle.mount("/out", "bind", out.to_str().unwrap(), &["bind"]);
        let file = if kind == "startContainer" { Path::new("/out") } else { &out };
        let script = format!("tr '\\0' '\\n' < /proc/self/environ > {0}; echo \"$0|$1|$2\" >> {0}", file.display());
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script, "zero", "a b", ""], "env": ["PATH=/usr/bin:/bin", "ONE=two three"]});
        bundle.push(&format!("/hooks/{kind}"), hook);
        bundle.run().success();
        let text = fs::read_to_string(&out).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        // The shell may add variables of its own (PWD, SHLVL, _) for its children.
        lines.retain(|line| !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| line.starts_with(own)));
        lines.sort_unstable();
        assert_eq!(lines, ["ONE=two three", "PATH=/usr/bin:/bin", "zero|a b|"], "{kind}");
    }
}

/// crun's annotations for what hooks print: files, for all six kinds.
#[test]
fn output_into_files() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.set("/annotations", json!({"run.oci.hooks.stdout": bundle.file("out"), "run.oci.hooks.stderr": "err"}));
    for kind in KINDS {
        bundle.hook(kind, &format!("echo {kind} prints; echo {kind} complains >&2"));
    }
    let output = bundle.run().success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    let lines = |word: &str| KINDS.map(|kind| format!("{kind} {word}\n")).concat();
    assert_eq!(fs::read_to_string(bundle.file("out")).unwrap(), lines("prints"));
    assert_eq!(fs::read_to_string(bundle.dir.join("err")).unwrap(), lines("complains"));
}

/// What has no file stays part of the message; a file that cannot be had is an error before anything is made.
#[test]
fn output_of_one_kind() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.set("/annotations", json!({"run.oci.hooks.stdout": "out"}));
    bundle.hook("createRuntime", "echo printed; echo complaint >&2; exit 7");
    let output = bundle.refused(&["hooks.createRuntime[0]", "status 7; output: complaint"]);
    assert!(!output.stderr.contains("printed"), "{}", output.stderr);
    assert_eq!(fs::read_to_string(bundle.dir.join("out")).unwrap(), "printed\n");
    for (path, reason) in [("/nonexistent/out", "no such file"), ("", "is not the path of a file")] {
        bundle.set("/annotations", json!({"run.oci.hooks.stderr": path}));
        bundle.refused(&["annotations.run.oci.hooks.stderr: ", reason]);
    }
    // Without hooks nobody prints.
    bundle.set("/hooks", json!({}));
    bundle.set("/annotations", json!({"run.oci.hooks.stdout": "none"}));
    bundle.run().success();
    assert!(!bundle.dir.join("none").exists());
}

/// HK-12, RT-06…RT-09, RT-12: the state on standard input, right for the moment: the status, and the pid
/// as the hook's own pid namespace has it.
#[test]
fn state_on_standard_input() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/annotations", json!({"org.example.key": "value"}));
    let dir = bundle.file("states");
    fs::create_dir(&dir).unwrap();
    bundle.mount("/states", "bind", dir.to_str().unwrap(), &["bind"]);
    for kind in KINDS {
        let dir = if kind == "startContainer" { "/states" } else { dir.to_str().unwrap() };
        bundle.hook(kind, &format!("cat > {dir}/{kind}"));
    }
    let container = bundle.create();
    let pid = container.pid();
    container.start().stop();
    container.delete();
    let expected = [
        ("prestart", "created", pid),
        ("createRuntime", "creating", pid),
        ("createContainer", "creating", 1),
        ("startContainer", "created", 1),
        ("poststart", "running", pid),
        ("poststop", "stopped", 0),
    ];
    for (kind, status, pid) in expected {
        let text = fs::read_to_string(dir.join(kind)).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["id"], bundle.id, "{kind}");
        assert_eq!(state["bundle"], bundle.dir.to_str().unwrap(), "{kind}");
        assert_eq!(state["annotations"]["org.example.key"], "value", "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}");
        if pid != 0 {
            assert_eq!(state["pid"], pid, "{kind}");
        }
    }
}

/// HK-15, HK-16, HK-18…HK-24, HK-27, HK-28, HK-30…HK-34: which namespaces and which root each kind sees.
#[test]
fn namespaces() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let dir = bundle.file("seen");
    fs::create_dir(&dir).unwrap();
    fs::write(bundle.rootfs("inside"), "").unwrap();
    bundle.mount("/seen", "bind", dir.to_str().unwrap(), &["bind"]);
    for kind in KINDS {
        let dir = if kind == "startContainer" { "/seen" } else { dir.to_str().unwrap() };
        let script = format!(
            "for n in net uts ipc mnt pid; do readlink /proc/self/ns/$n; done > {dir}/{kind}; \
             [ -e /inside ] && echo container >> {dir}/{kind} || echo host >> {dir}/{kind}",
        );
        bundle.hook(kind, &script);
    }
    let container = bundle.create();
    container.start();
    let names = ["net", "uts", "ipc", "mnt", "pid"];
    let inside = names.map(|name| container.link(&format!("ns/{name}")));
    let outside =
        names.map(|name| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap().to_owned());
    container.stop();
    container.delete();
    for kind in KINDS {
        let text = fs::read_to_string(dir.join(kind)).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let in_container = ["createContainer", "startContainer"].contains(&kind);
        let expected = if in_container { &inside } else { &outside };
        let root = if kind == "startContainer" { "container" } else { "host" };
        // createContainer runs before pivot_root: /proc is still the host's, which cannot show the ids
        // of a process of another pid namespace under "self".
        if lines.len() == 6 {
            assert_eq!(lines[..5], expected.each_ref().map(|s| s.as_str()), "{kind}");
        } else {
            assert_eq!(kind, "createContainer");
        }
        assert_eq!(*lines.last().unwrap(), root, "{kind}");
    }
}

/// HK-24: createContainer runs in the container's namespaces: its hostname and its network are there.
#[test]
fn create_container_is_inside() {
    let mut bundle = Bundle::with_script("exit 0");
    let out = bundle.file("out");
    bundle.hook(
        "createContainer",
        &format!(
            "cat /proc/sys/kernel/ns_last_pid > /dev/null; wc -l < /proc/net/dev > {}; echo $$ >> {}",
            out.display(),
            out.display()
        ),
    );
    bundle.run().success();
    let text = fs::read_to_string(&out).unwrap();
    let pid: i32 = text.lines().last().unwrap().parse().unwrap();
    assert!(pid < 10, "not in the container's pid namespace: {text}");
}

/// HK-20: createRuntime can reach the container's network namespace through its pid.
#[test]
fn create_runtime_reaches_the_network_namespace() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let out = bundle.file("out");
    let script = format!(
        "pid=$(tr -d ' \\n' | sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); readlink /proc/$pid/ns/net /proc/$pid/ns/mnt > {}",
        out.display()
    );
    bundle.hook("createRuntime", &script);
    let container = bundle.create();
    let expected = format!("{}\n{}\n", container.link("ns/net"), container.link("ns/mnt"));
    assert_eq!(fs::read_to_string(&out).unwrap(), expected);
}

/// HK-25: what createContainer mounts below the root file system is there in the container.
#[test]
fn create_container_can_mount() {
    let mut bundle = Bundle::with_script("cat /etc/mounted/file; ls /proc/no-such 2>/dev/null; cat /proc/self/mounts");
    let point = bundle.rootfs("etc/mounted");
    fs::create_dir(&point).unwrap();
    bundle.hook("createContainer", &format!("mount -t tmpfs hooked {0} && echo here > {0}/file", point.display()));
    let text = bundle.run().stdout;
    assert!(text.starts_with("here\n") && text.contains("hooked /etc/mounted tmpfs"), "{text}");
}

/// HK-12: a hook that does not read its standard input is no failure, whatever the size of the state.
#[test]
fn standard_input_may_be_ignored() {
    for kind in KINDS {
        let mut bundle = Bundle::with_script("exit 0");
        bundle.set("/annotations", json!({"org.example.big": "x".repeat(300_000)}));
        bundle.push(&format!("/hooks/{kind}"), json!({"path": "/bin/true"}));
        bundle.run().success();
        bundle
            .push(&format!("/hooks/{kind}"), json!({"path": "/bin/sh", "args": ["sh", "-c", "exec <&-; sleep 0.05"]}));
        bundle.run().success();
    }
}

/// HK-32: poststop runs when the container is gone: no process, no cgroup.
#[test]
fn poststop_is_after_the_deletion() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let out = bundle.file("out");
    let cgroup = bundle.cgroup("pids");
    bundle.hook(
        "poststop",
        &format!(
            "[ -e {} ] && echo there > {2} || echo gone > {2}; ls {1} >> {2}",
            cgroup.display(),
            bundle.scratch().state_root().display(),
            out.display()
        ),
    );
    let container = bundle.create();
    assert!(cgroup.exists());
    container.start().stop();
    container.delete();
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("gone\n"), "{text}");
}

/// Hooks inherit no descriptors of the runtime beyond the standard ones.
#[test]
fn descriptors() {
    for kind in KINDS {
        let mut bundle = Bundle::with_script("exit 0");
        let out = bundle.file("out");
        fs::write(&out, "").unwrap();
        bundle.mount("/out", "bind", out.to_str().unwrap(), &["bind"]);
        bundle.bind_payload();
        let out_arg = if kind == "startContainer" { "/out" } else { out.to_str().unwrap() };
        let payload = std::env::current_exe().unwrap();
        let payload = if kind == "startContainer" { "/payload" } else { payload.to_str().unwrap() };
        let hook = json!({"path": payload, "args": ["/payload", "fds-to", out_arg]});
        bundle.push(&format!("/hooks/{kind}"), hook);
        bundle.run().success();
        assert_eq!(fs::read_to_string(&out).unwrap(), "0 1 2", "{kind}");
    }
}

/// `null` and empty lists of hooks are no hooks.
#[test]
fn none() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.set("/hooks", json!({"prestart": null, "poststop": []}));
    bundle.run().success();
    bundle.set("/hooks", Value::Null);
    bundle.run().success();
}

/// Hooks of the host begin with our caller's umask, whatever init needs for its own files.
#[test]
fn umask() {
    let mut bundle = Bundle::with_script("exit 0");
    let out = bundle.file("out");
    let kinds = KINDS.into_iter().filter(|kind| *kind != "startContainer");
    for kind in kinds.clone() {
        bundle.hook(kind, &format!("echo {kind} $(umask) >> {}", out.display()));
    }
    bundle.run().success();
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "umask"]).stdout(std::process::Stdio::piped());
    let ours = crate::harness::runtime::launch(&mut shell).wait_with_output().unwrap();
    let ours = String::from_utf8(ours.stdout).unwrap();
    let expected: Vec<_> = kinds.map(|kind| format!("{kind} {}", ours.trim())).collect();
    assert_eq!(fs::read_to_string(&out).unwrap().lines().collect::<Vec<_>>(), expected);
}
