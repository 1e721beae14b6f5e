//! What a user without any privilege can do (docs/rootless.md): a single id, or ranges through newuidmap.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::harness::{Bundle, Output, Value, eventually, json, runtime};

/// Nobody's id on this machine.
const USER: u32 = 64_321;

/// The bundle as the user's own, with a user namespace in which he is root and nobody else is.
fn bundle(script: &str) -> Bundle {
    let mut bundle = Bundle::with_script(script);
    bundle.user_namespace(USER, 1).remove("/linux/cgroupsPath");
    // Group 5 does not exist in there.
    bundle.set("/mounts/2/options", json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]));
    for dir in [bundle.dir.clone(), bundle.file("state"), bundle.file("run")] {
        fs::create_dir_all(&dir).unwrap();
        chown(&dir, Some(USER), Some(USER)).unwrap();
    }
    // Where the program was built may be out of the user's reach.
    runtime::copy_program(&runtime::program(), &program(&bundle));
    bundle
}

fn program(bundle: &Bundle) -> PathBuf {
    bundle.file("orlop")
}

/// A command of the user, who has nothing but his ids. With `etc` he is in a mount namespace where the
/// files there are those of /etc.
fn prepare(bundle: &Bundle, args: &[&str], etc: Option<&Path>) -> Command {
    let mut command = Command::new(program(bundle));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("XDG_RUNTIME_DIR", bundle.file("run"));
    command.args(args).stdin(Stdio::null()).current_dir(&bundle.dir);
    let etc = etc.map(Path::to_owned);
    #[allow(unsafe_code)]
    // SAFETY: system calls on values that were made before; the child does nothing else until it executes.
    unsafe {
        command.pre_exec(move || {
            if let Some(etc) = &etc {
                let none: Option<&str> = None;
                nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
                mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
                for name in ["passwd", "subuid", "subgid"] {
                    mount(Some(&etc.join(name)), &Path::new("/etc").join(name), none, MsFlags::MS_BIND, none)?;
                }
            }
            setgroups(&[])?;
            let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
            setresgid(gid, gid, gid)?;
            Ok(setresuid(uid, uid, uid)?)
        });
    }
    command
}

/// A command on this test's state root.
fn command(bundle: &Bundle, args: &[&str]) -> Output {
    let root = bundle.scratch().state_root();
    bundle.finish(prepare(bundle, &[&["--root", root.to_str().unwrap()], args].concat(), None))
}

fn run(bundle: &Bundle) -> Output {
    bundle.write();
    command(bundle, &["run", &bundle.id])
}

fn output(bundle: &Bundle) -> String {
    let output = run(bundle).success();
    assert_eq!(output.stderr, "");
    output.stdout
}

/// A `run` that fails with these words, and leaves nothing.
fn refused(bundle: &Bundle, words: &[&str]) {
    run(bundle).failure(words);
    bundle.assert_clean();
}

/// LNX-08, LNX-17: root inside is the user outside, and nobody can leave a group there (CVE-2014-8989).
#[test]
fn a_single_id() {
    let bundle = bundle("id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; touch /tmp/new");
    let words = output(&bundle);
    let words: Vec<&str> = words.split_whitespace().collect();
    let user = USER.to_string();
    assert_eq!(words, ["0", "0", "0", &user, "1", "0", &user, "1", "deny"]);
    assert_eq!(fs::metadata(bundle.rootfs("tmp/new")).unwrap().uid(), USER);
}

/// What `spec --rootless` writes runs as it is; its state is in the user's runtime directory.
#[test]
fn spec_and_run() {
    let bundle = bundle("");
    bundle.finish(prepare(&bundle, &["spec", "--rootless"], None)).success();
    let mut config: Value = serde_json::from_slice(&fs::read(bundle.dir.join("config.json")).unwrap()).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] =
        json!(["/bin/sh", "-c", "echo up; ls /dev/null /sys/class /proc/self/status; read x < /tmp/gate"]);
    bundle.write_raw(&serde_json::to_vec(&config).unwrap());
    let gate = bundle.rootfs("tmp/gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    chown(&gate, Some(USER), Some(USER)).unwrap();

    let running = bundle.begin(prepare(&bundle, &["run", &bundle.id], None));
    eventually("no output", || running.stdout().contains("/proc/self/status").then_some(()));
    let state = bundle.file("run").join("orlop").join(&bundle.id).join("state.json");
    assert_eq!(fs::metadata(&state).unwrap().uid(), USER);
    let list = bundle.finish(prepare(&bundle, &["list", "--quiet"], None)).success();
    assert_eq!(list.stdout.trim(), bundle.id);
    fs::write(&gate, "\n").unwrap();
    running.finish().success();
    assert!(!state.exists());
}

/// RT-01: every command works, on what the same user has made.
#[test]
fn all_commands() {
    let bundle = bundle("trap 'exit 7' TERM; echo up; while :; do sleep 1; done");
    bundle.write();
    command(&bundle, &["create", &bundle.id]).success();
    let state =
        || -> Value { serde_json::from_str(&command(&bundle, &["state", &bundle.id]).success().stdout).unwrap() };
    assert_eq!(state()["status"], "created");
    let pid = state()["pid"].as_i64().unwrap();
    assert_eq!(fs::metadata(format!("/proc/{pid}")).unwrap().mode() & 0o777, 0o555);
    command(&bundle, &["start", &bundle.id]).success();
    eventually("not running", || (state()["status"] == "running").then_some(()));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert_eq!(crate::harness::field(&status, "Uid").split('\t').next(), Some(USER.to_string().as_str()));
    assert!(command(&bundle, &["list"]).success().stdout.contains(&bundle.id));
    command(&bundle, &["delete", &bundle.id]).failure(&["not stopped"]);
    command(&bundle, &["kill", &bundle.id, "KILL"]).success();
    eventually("not stopped", || (state()["status"] == "stopped").then_some(()));
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None);
    command(&bundle, &["delete", &bundle.id]).success();
    bundle.assert_clean();
}

/// exec enters what is the container's own, and has no need of rights over what is the host's.
#[test]
fn exec_beside_namespaces_of_the_host() {
    let mut bundle = bundle("echo up; exec sleep 100");
    bundle.share("network").share("cgroup").share("uts").remove("/hostname");
    bundle.write();
    command(&bundle, &["create", &bundle.id]).success();
    command(&bundle, &["start", &bundle.id]).success();
    let script = "id -u; stat -c %N /proc/self/ns/net /proc/self/ns/pid /proc/1/ns/net /proc/1/ns/pid";
    let output = command(&bundle, &["exec", &bundle.id, "sh", "-c", script]).success().stdout;
    let lines: Vec<&str> = output.lines().map(|line| line.rsplit("-> ").next().unwrap()).collect();
    assert_eq!((lines.len(), lines[0]), (5, "0"), "{output}");
    assert_eq!(lines[1..3], lines[3..5]);
    command(&bundle, &["kill", &bundle.id, "KILL"]).success();
    command(&bundle, &["delete", "--force", &bundle.id]).success();
}

/// `exec` joins the user namespace first: only in there has the user the right to join the others.
#[test]
fn exec() {
    let mut bundle = bundle("echo up; exec sleep 1000");
    let ranges = has_helpers();
    let etc = ranges.then(|| etc(&bundle));
    if ranges {
        for kind in ["uidMappings", "gidMappings"] {
            bundle.push(&format!("/linux/{kind}"), json!({"containerID": 1, "hostID": 200_000, "size": 10_000}));
        }
        bundle.set("/process/user", json!({"uid": 1000, "gid": 100}));
    }
    bundle.namespace("cgroup").write();
    let root = bundle.scratch().state_root();
    let command = |args: &[&str]| {
        let args = [&["--root", root.to_str().unwrap()], args].concat();
        bundle.finish(prepare(&bundle, &args, etc.as_deref()))
    };
    command(&["create", &bundle.id]).success();
    let state: Value = serde_json::from_str(&command(&["state", &bundle.id]).success().stdout).unwrap();
    let init = state["pid"].as_i64().unwrap() as i32;
    command(&["start", &bundle.id]).success();
    eventually("no program", || fs::read_to_string(format!("/proc/{init}/comm")).ok().filter(|name| name == "sleep\n"));

    let script = "id -u; for kind in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$kind; done";
    let output = command(&["exec", "--user", "0:0", &bundle.id, "sh", "-c", script]).success().stdout;
    let link = |kind: &str| fs::read_link(format!("/proc/{init}/ns/{kind}")).unwrap().display().to_string();
    let expected = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"].map(link);
    assert_eq!(output.lines().collect::<Vec<_>>(), [&["0".to_owned()][..], &expected].concat());
    if ranges {
        assert_eq!(command(&["exec", &bundle.id, "id", "-u"]).success().stdout, "1000\n");
    }
    command(&["exec", &bundle.id, "nosuch"]).failure(&["executable file not found in $PATH"]);
    assert_eq!(command(&["exec", &bundle.id, "sh", "-c", "kill -KILL $$"]).code, 137);

    let pid_file = bundle.file("run").join("pid");
    let args = ["exec", "--detach", "--pid-file", pid_file.to_str().unwrap(), &bundle.id, "sleep", "1000"];
    command(&args).success();
    let added: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{added}/cmdline")).unwrap(), "sleep\x001000\x00");
    command(&["kill", &bundle.id, "KILL"]).success();
    for pid in [added, init] {
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
    }
    command(&["delete", &bundle.id]).success();
    bundle.assert_clean();
}

/// /etc/passwd, subuid and subgid of a machine where the user has ten thousand ids more.
fn etc(bundle: &Bundle) -> PathBuf {
    let etc = bundle.file("etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("passwd"), format!("root:x:0:0::/:/bin/sh\nplain:x:{USER}:{USER}::/:/bin/sh\n")).unwrap();
    for name in ["subuid", "subgid"] {
        fs::write(etc.join(name), "plain:200000:10000\n").unwrap();
    }
    etc
}

fn has_helpers() -> bool {
    ["newuidmap", "newgidmap"].iter().all(|name| {
        let path = Path::new("/usr/bin").join(name);
        fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o4000 != 0)
    })
}

/// LNX-17: ranges, with the help of newuidmap and newgidmap: whoever has them may have further groups, too.
#[test]
fn ranges() {
    if !has_helpers() {
        skip!("newuidmap and newgidmap are not installed");
    }
    let mut bundle = bundle("cat /proc/self/uid_map; id -u; id -G; cat /proc/self/setgroups; touch /tmp/new");
    for kind in ["uidMappings", "gidMappings"] {
        bundle.push(&format!("/linux/{kind}"), json!({"containerID": 1, "hostID": 200_000, "size": 10_000}));
    }
    bundle.set("/process/user", json!({"uid": 1000, "gid": 100, "additionalGids": [5, 9000]}));
    fs::set_permissions(bundle.rootfs("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
    bundle.write();
    let etc = etc(&bundle);
    let root = bundle.scratch().state_root();
    let id = bundle.id.clone();
    let args = ["--root", root.to_str().unwrap(), "run", &id];
    let text = bundle.finish(prepare(&bundle, &args, Some(&etc))).success().stdout;
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", &USER.to_string(), "1", "1", "200000", "10000", "1000", "100", "5", "9000", "allow"]);
    let new = fs::metadata(bundle.rootfs("tmp/new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (200_999, 200_099));

    bundle.set("/linux/uidMappings/1/size", json!(10_001)).write();
    let output = bundle.finish(prepare(&bundle, &args, Some(&etc)));
    let hint = "/etc/subuid gives plain only 200000-209999: mapping 200000 takes a line such as plain:200000:10001";
    output.failure(&["linux.uidMappings: newuidmap failed", hint]);
    bundle.assert_clean();
}

/// Without the helpers there is one id, and the message says what is missing.
#[test]
fn no_helpers() {
    let mut bundle = bundle("true");
    bundle.push("/linux/uidMappings", json!({"containerID": 1, "hostID": 200_000, "size": 10})).write();
    let mut command = prepare(&bundle, &["run", &bundle.id], None);
    command.env("PATH", "/nowhere");
    bundle.finish(command).failure(&["linux.uidMappings: not supported: ", "newuidmap"]);
    bundle.assert_clean();
}

/// MNT-92: /sys of the host's network namespace cannot be mounted; it can be looked at.
#[test]
fn sys_of_the_host() {
    let mut bundle =
        bundle("grep -c ' /sys sysfs ' /proc/mounts; ls -d /sys/class/net; touch /sys/new || echo read-only");
    bundle.share("network");
    let output = run(&bundle).success();
    assert_eq!(output.stdout, "1\n/sys/class/net\nread-only\n");
}

/// Where no cgroup may be made the container does without, unless a place or a limit is asked for.
#[test]
fn cgroups() {
    let mut bundle = bundle("cat /proc/self/cgroup");
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(output(&bundle).lines().count(), own.lines().count());
    bundle.set("/linux/resources", json!({"memory": {"limit": 100_000_000}}));
    refused(&bundle, &["linux.resources.memory.limit"]);
    let place = json!(format!("/{}", bundle.tag()));
    bundle.set("/linux/resources", json!({})).set("/linux/cgroupsPath", place);
    refused(&bundle, &["linux.cgroupsPath", "EACCES: permission denied"]);
    bundle.write();
    command(&bundle, &["--rootless", "true", "run", &bundle.id]).success();
}

/// MNT-91: then a cgroup mount shows the cgroups the container has stayed in, also in the host's cgroup namespace.
#[test]
fn cgroup_mount() {
    let mut bundle =
        bundle("grep -c . /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs 2>/dev/null | head -n 1");
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"]);
    let own = output(&bundle);
    assert!(own.contains("/cgroup.procs:"), "{own}");
    bundle.share("cgroup");
    let inherited = output(&bundle);
    assert!(inherited.contains("/cgroup.procs:"), "{inherited}");
}

/// What only root can do is refused with the reason.
#[test]
fn beyond_a_plain_users_rights() {
    let mut several = bundle("true");
    several.set("/process/user/additionalGids", json!([0]));
    refused(&several, &["process.user.additionalGids: "]);

    let mut mapped = bundle("true");
    mapped
        .push("/mounts", json!({"destination": "/tmp", "source": mapped.rootfs("tmp"), "options": ["bind", "idmap"]}));
    refused(&mapped, &["mounts[6]: not supported: idmap", "not root"]);

    let mut none = bundle("true");
    none.share("user").remove("/linux/uidMappings").remove("/linux/gidMappings");
    refused(&none, &["linux.namespaces: ", "user namespace"]);
}

/// RT-34: a create that fails late leaves nothing either.
#[test]
fn no_leftovers() {
    let mut bundle = bundle("true");
    bundle.args(&["/no/such/program"]);
    refused(&bundle, &["/no/such/program"]);
    bundle.args(&["/bin/true"]).mount("/data", "tmpfs", "tmpfs", &["nosuchoption=1"]);
    refused(&bundle, &["mounts[6]", "nosuchoption"]);
}
