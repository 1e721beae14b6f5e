//! What `orlop spec` writes: a config.json to start from.
//!
//! Runs in: parent · config.md

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use nix::errno::Errno;

use super::VERSION;
use crate::error::{Error, On as _, Result};
use crate::sys::Call as _;

/// Writes `config.json` into a bundle that has none.
pub(crate) fn write(bundle: &Path, rootless: bool) -> Result<()> {
    let path = bundle.join("config.json");
    let user = rootless.then(|| (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()));
    match OpenOptions::new().write(true).create_new(true).open(&path).call("open") {
        Err(error) if error.errno == Errno::EEXIST => {
            Err(Error::other(format!("{}: file exists: remove it first", path.display())))
        }
        file => file.on(path.display())?.write_all(text(user).as_bytes()).call("write").on(path.display()),
    }
}

/// For a plain user with these ids: a user namespace; no network of its own, as nobody could
/// configure it (so /sys is the host's, which a network namespace would have to own); no limits.
pub(crate) fn text(user: Option<(u32, u32)>) -> String {
    let (terminal_group, sys, linux) = match user {
        None => (r#", "gid=5""#, SYSFS, LINUX.to_owned()),
        Some((uid, gid)) => {
            ("", HOST_SYS, LINUX_ROOTLESS.replace("UID", &uid.to_string()).replace("GID", &gid.to_string()))
        }
    };
    COMMON
        .replace("VERSION", VERSION)
        .replace("TERMINAL_GROUP", terminal_group)
        .replace("SYS_MOUNT", sys)
        .replace("LINUX", &linux)
}

const COMMON: &str = r#"{
  "ociVersion": "VERSION",
  "process": {
    "terminal": true,
    "user": { "uid": 0, "gid": 0 },
    "args": ["sh"],
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    "cwd": "/",
    "capabilities": {
      "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    },
    "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024 }],
    "noNewPrivileges": true
  },
  "root": { "path": "rootfs", "readonly": true },
  "hostname": "orlop",
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc" },
    {
      "destination": "/dev",
      "type": "tmpfs",
      "source": "tmpfs",
      "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]
    },
    {
      "destination": "/dev/pts",
      "type": "devpts",
      "source": "devpts",
      "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"TERMINAL_GROUP]
    },
    {
      "destination": "/dev/shm",
      "type": "tmpfs",
      "source": "shm",
      "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]
    },
    { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
    SYS_MOUNT,
    {
      "destination": "/sys/fs/cgroup",
      "type": "cgroup",
      "source": "cgroup",
      "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]
    }
  ],
  "linux": {
LINUX,
    "maskedPaths": [
      "/proc/acpi",
      "/proc/asound",
      "/proc/interrupts",
      "/proc/kcore",
      "/proc/keys",
      "/proc/latency_stats",
      "/proc/sched_debug",
      "/proc/scsi",
      "/proc/timer_list",
      "/proc/timer_stats",
      "/sys/devices/virtual/powercap",
      "/sys/firmware"
    ],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  }
}
"#;

const SYSFS: &str =
    r#"{ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] }"#;

const HOST_SYS: &str = r#"{
      "destination": "/sys",
      "type": "none",
      "source": "/sys",
      "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]
    }"#;

const LINUX: &str = r#"    "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
    "namespaces": [
      { "type": "pid" },
      { "type": "network" },
      { "type": "ipc" },
      { "type": "uts" },
      { "type": "mount" },
      { "type": "cgroup" }
    ]"#;

const LINUX_ROOTLESS: &str = r#"    "uidMappings": [{ "containerID": 0, "hostID": UID, "size": 1 }],
    "gidMappings": [{ "containerID": 0, "hostID": GID, "size": 1 }],
    "namespaces": [
      { "type": "pid" },
      { "type": "ipc" },
      { "type": "uts" },
      { "type": "mount" },
      { "type": "cgroup" },
      { "type": "user" }
    ]"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let config = super::super::parse(text(None).as_bytes()).unwrap();
        assert_eq!(config.oci_version, VERSION);
        assert_eq!(config.mounts.len(), 7);
        assert!(config.linux.resources.is_some() && config.linux.uid_mappings.is_empty());
    }

    #[test]
    fn the_rootless_one_maps_the_caller_and_limits_nothing() {
        let config = super::super::parse(text(Some((1000, 100))).as_bytes()).unwrap();
        assert_eq!(config.linux.uid_mappings[0].host_id, 1000);
        assert_eq!(config.linux.gid_mappings[0].host_id, 100);
        assert!(config.linux.resources.is_none());
        assert!(!text(Some((0, 0))).contains("gid=5"));
    }
}
