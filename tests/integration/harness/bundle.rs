//! A bundle under construction: a root file system of busybox, and a configuration to change.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::container::Container;
use super::runtime::{self, Output, Running};
use super::scratch::{Scratch, path};
use super::{Value, cgroup, json};

/// The commands of busybox that tests use inside.
const APPLETS: &[&str] = &[
    "[",
    "awk",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "dd",
    "domainname",
    "dnsdomainname",
    "echo",
    "env",
    "false",
    "grep",
    "head",
    "hostname",
    "id",
    "ifconfig",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mknod",
    "mount",
    "mv",
    "nproc",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "sed",
    "seq",
    "setsid",
    "sh",
    "sleep",
    "sort",
    "stat",
    "stty",
    "sync",
    "sysctl",
    "tail",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "tty",
    "umount",
    "uname",
    "wc",
    "xargs",
];

#[derive(Debug)]
pub(crate) struct Bundle {
    scratch: Rc<Scratch>,
    pub(crate) dir: PathBuf,
    pub(crate) id: String,
    pub(crate) config: Value,
}

impl Bundle {
    /// A bundle with a root file system, and a configuration like the one of the `spec` command.
    pub(crate) fn new() -> Self {
        let scratch = Rc::new(Scratch::new());
        let dir = scratch.dir.join("bundle");
        let root = dir.join("rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        runtime::copy_program(Path::new("/bin/busybox"), &root.join("bin/busybox"));
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let config = default_config(&scratch.tag);
        Self { id: scratch.tag.clone(), scratch, dir, config }
    }

    /// A bundle whose program is a shell script.
    pub(crate) fn with_script(script: &str) -> Self {
        let mut bundle = Self::new();
        bundle.script(script);
        bundle
    }

    pub(crate) fn script(&mut self, script: &str) -> &mut Self {
        self.args(&["/bin/sh", "-c", script])
    }

    pub(crate) fn args(&mut self, args: &[&str]) -> &mut Self {
        self.set("/process/args", json!(args))
    }

    /// Makes the test program's own helper available inside and runs it; see [`super::payload`].
    pub(crate) fn payload(&mut self, args: &[&str]) -> &mut Self {
        self.bind_payload();
        let args: Vec<&str> = std::iter::once(super::payload::PATH).chain(args.iter().copied()).collect();
        self.args(&args)
    }

    /// Makes the helper available inside, for scripts that call it.
    pub(crate) fn bind_payload(&mut self) -> &mut Self {
        let source = std::env::current_exe().unwrap();
        let point = super::payload::PATH;
        self.push("/mounts", json!({"destination": point, "source": source, "type": "bind", "options": ["bind", "ro"]}))
    }

    /// Sets the property at a JSON pointer, making the objects on the way.
    pub(crate) fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let mut place = &mut self.config;
        for key in pointer[1..].split('/') {
            place = match key.parse::<usize>() {
                Ok(index) if place.is_array() => &mut place[index],
                _ => &mut place[key],
            };
        }
        *place = value;
        self
    }

    /// Appends to the list at a JSON pointer.
    pub(crate) fn push(&mut self, pointer: &str, value: Value) -> &mut Self {
        if self.config.pointer(pointer).is_none() {
            self.set(pointer, json!([]));
        }
        self.config.pointer_mut(pointer).unwrap().as_array_mut().unwrap().push(value);
        self
    }

    /// Takes the property at a JSON pointer away.
    pub(crate) fn remove(&mut self, pointer: &str) -> &mut Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = self.config.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(key).unwrap();
        self
    }

    /// Appends a mount.
    pub(crate) fn mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) -> &mut Self {
        let mount = json!({"destination": destination, "type": kind, "source": source, "options": options});
        self.push("/mounts", mount)
    }

    /// Asks for a new namespace of a further type.
    pub(crate) fn namespace(&mut self, kind: &str) -> &mut Self {
        self.push("/linux/namespaces", json!({"type": kind}))
    }

    /// Lets the runtime join a namespace instead of making one.
    pub(crate) fn join(&mut self, kind: &str, namespace: &str) -> &mut Self {
        self.share(kind).push("/linux/namespaces", json!({"type": kind, "path": namespace}))
    }

    /// Leaves a namespace out: the container shares the host's.
    pub(crate) fn share(&mut self, kind: &str) -> &mut Self {
        let list = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|entry| entry["type"] != kind);
        self
    }

    /// A user namespace that maps `size` ids from 0 inside to `first` outside. As engines do, the root
    /// file system's directories are given to its root; `/bin` is not.
    pub(crate) fn user_namespace(&mut self, first: u32, size: u32) -> &mut Self {
        for name in ["", "dev", "etc", "proc", "sys", "tmp", "root"] {
            chown(self.rootfs(name), Some(first), Some(first)).unwrap();
        }
        let map = json!([{"containerID": 0, "hostID": first, "size": size}]);
        self.namespace("user").set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    }

    /// Gives the program exactly these capabilities, in all sets but the ambient and inheritable ones.
    pub(crate) fn capabilities(&mut self, names: &[&str]) -> &mut Self {
        let set = json!({"bounding": names, "effective": names, "permitted": names});
        self.set("/process/capabilities", set)
    }

    /// A hook that runs a shell script of the host.
    pub(crate) fn hook(&mut self, kind: &str, script: &str) -> &mut Self {
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]});
        self.push(&format!("/hooks/{kind}"), hook)
    }

    /// A file of the root file system, seen from the host.
    pub(crate) fn rootfs(&self, name: &str) -> PathBuf {
        self.dir.join("rootfs").join(name)
    }

    /// A file of the test beside the bundle.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.scratch.dir.join(name)
    }

    /// The directory of the container's cgroup in the hierarchy of `controller`.
    pub(crate) fn cgroup(&self, controller: &str) -> PathBuf {
        cgroup::dir(controller, self.config["linux"]["cgroupsPath"].as_str().unwrap())
    }

    /// Where the runtime keeps the state directories of this test.
    pub(crate) fn state_root(&self) -> PathBuf {
        self.scratch.state_root()
    }

    pub(crate) fn tag(&self) -> &str {
        &self.scratch.tag
    }

    /// Writes `config.json`.
    pub(crate) fn write(&self) -> &Self {
        self.write_raw(&serde_json::to_vec_pretty(&self.config).unwrap())
    }

    pub(crate) fn write_raw(&self, text: &[u8]) -> &Self {
        fs::write(self.dir.join("config.json"), text).unwrap();
        self
    }

    /// Starts a command of the runtime on this test's state root.
    #[track_caller]
    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        let root = self.scratch.state_root();
        runtime::spawn(&self.scratch.dir, &[&["--root", path(&root)], args].concat())
    }

    /// A command of the runtime on this test's state root, to be completed by the test.
    pub(crate) fn prepare(&self, args: &[&str]) -> std::process::Command {
        let mut command = runtime::command();
        command.arg("--root").arg(self.scratch.state_root()).args(args);
        command
    }

    /// Runs a prepared command to its end.
    #[track_caller]
    pub(crate) fn finish(&self, command: std::process::Command) -> Output {
        runtime::spawn_command(&self.scratch.dir, command).finish()
    }

    /// Starts a prepared command.
    #[track_caller]
    pub(crate) fn begin(&self, command: std::process::Command) -> Running {
        runtime::spawn_command(&self.scratch.dir, command)
    }

    /// Runs a command of the runtime on this test's state root.
    #[track_caller]
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        self.spawn(args).finish()
    }

    /// `run` in the foreground, to its end.
    #[track_caller]
    pub(crate) fn run(&self) -> Output {
        self.run_with(&[])
    }

    /// `run` in the foreground with further flags, to its end.
    #[track_caller]
    pub(crate) fn run_with(&self, flags: &[&str]) -> Output {
        self.spawn_run(flags).finish()
    }

    #[track_caller]
    pub(crate) fn spawn_run(&self, flags: &[&str]) -> Running {
        self.write();
        let args = ["run", "--bundle", path(&self.dir)];
        self.spawn(&[&args[..], flags, &[&self.id]].concat())
    }

    /// `run` that must succeed; what the program printed.
    #[track_caller]
    pub(crate) fn output(&self) -> String {
        let output = self.run().success();
        assert_eq!(output.stderr, "", "unexpected standard error");
        output.stdout
    }

    /// `/proc/self/status` of the program.
    #[track_caller]
    pub(crate) fn process_status(&mut self) -> String {
        self.args(&["/bin/cat", "/proc/self/status"]).output()
    }

    /// `run` by a shell of the host that prepares its own state first.
    #[track_caller]
    pub(crate) fn run_after(&self, preparation: &str, flags: &[&str]) -> Output {
        self.write();
        let mut shell = std::process::Command::new("/bin/sh");
        shell.arg("-c").arg(format!("{preparation}; exec \"$0\" \"$@\"")).arg(runtime::program());
        shell.arg("--root").arg(self.scratch.state_root()).arg("run").arg("--bundle").arg(&self.dir);
        shell.args(flags).arg(&self.id).stdin(std::process::Stdio::null());
        self.finish(shell)
    }

    /// `create` that must succeed.
    #[track_caller]
    pub(crate) fn create(&self) -> Container {
        self.create_with(&[])
    }

    /// `create` with further flags that must succeed.
    #[track_caller]
    pub(crate) fn create_with(&self, flags: &[&str]) -> Container {
        self.write();
        self.create_as(&self.id, flags)
    }

    /// `create` of another container of the same bundle; does not write the configuration.
    #[track_caller]
    pub(crate) fn create_as(&self, id: &str, flags: &[&str]) -> Container {
        let running = self.spawn_create(id, flags);
        Container::created(&self.scratch, id, running)
    }

    #[track_caller]
    pub(crate) fn spawn_create(&self, id: &str, flags: &[&str]) -> Running {
        let args = ["create", "--bundle", path(&self.dir)];
        self.spawn(&[&args[..], flags, &[id]].concat())
    }

    /// `create` that must fail, with each of `words` in its message, and leave nothing behind.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> Output {
        self.write();
        self.refused_as_written(words)
    }

    /// Like [`Self::refused`], for a configuration that the test wrote itself.
    #[track_caller]
    pub(crate) fn refused_as_written(&self, words: &[&str]) -> Output {
        let output = self.spawn_create(&self.id, &[]).finish();
        if output.code == 0 {
            self.command(&["delete", "--force", &self.id]);
        }
        let output = output.failure(words);
        self.scratch.assert_clean();
        output
    }

    /// Nothing of this test is left on the host.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        self.scratch.assert_clean();
    }

    pub(crate) fn scratch(&self) -> &Rc<Scratch> {
        &self.scratch
    }
}

fn default_config(tag: &str) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "orlop",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]}
        ],
        "linux": {
            "cgroupsPath": format!("/{tag}"),
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]
        }
    })
}
