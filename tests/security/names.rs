//! Ids and names: whole, and no more than that.

use std::fs;

use crate::exec::{idle, start};
use crate::harness::{Bundle, cgroup, field, json};

/// The image's users have no say in who the process is.
#[test]
fn cve_2016_3697() {
    let mut bundle = Bundle::new();
    fs::write(bundle.rootfs("etc/passwd"), "1000:x:0:0::/:/bin/sh\n").unwrap();
    fs::write(bundle.rootfs("etc/group"), "1000:x:0:\n").unwrap();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let status = bundle.process_status();
    assert_eq!(field(&status, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(field(&status, "Gid"), "1000\t1000\t1000\t1000");
}

/// CVE-2026-46680 is containerd's: an id is all of what is written, and never 0 by default.
#[test]
fn cve_2026_30892_and_2026_46680() {
    let mut bundle = idle();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let container = start(&bundle);
    // Nothing is no flag at all.
    for (user, ids) in
        [("1", "1 1000"), ("1:2", "1 2"), ("01", "1 1000"), ("4294967294:0", "4294967294 0"), ("", "1000 1000")]
    {
        let output = container.exec(&["-u", user], &["sh", "-c", "echo $(id -u) $(id -g)"]).success();
        assert_eq!(output.stdout.trim(), ids, "{user:?}");
    }
    let bad = ["1:", " 1", "1 ", "1x", "-1", "+1", "a", ":", ":0", "0x0", "1:2:3", "4294967295", "4294967296"];
    for user in bad.iter().chain(&["18446744073709551616", "1:4294967296", "1:x", "1\n"]) {
        let output = container.exec(&["-u", user], &["id", "-u"]);
        assert_ne!(output.code, 0, "{user:?}: {output:?}");
    }
}

/// Names that become parts of paths are single names.
#[test]
fn ghsa_5g49_rx9x_qfc6() {
    let mut bundle = Bundle::new();
    for (property, resources) in [
        ("hugepageLimits", json!({"hugepageLimits": [{"pageSize": "../../x", "limit": 1}]})),
        ("unified", json!({"unified": {"../cgroup.procs": "1"}})),
        ("rdma", json!({"rdma": {"../x": {"hcaHandles": 1}}})),
        ("rdma", json!({"rdma": {"a b\nc": {"hcaHandles": 1}}})),
    ] {
        bundle.set("/linux/resources", resources);
        bundle.refused(&["linux.resources", property]);
    }
}

/// runc 1.5.2: a cgroup beside the container's, whose name begins as the container's does, is not below it.
#[test]
fn runc_1_5_2_exec_in_a_sibling_cgroup() {
    let bundle = idle();
    let container = start(&bundle);
    let own = bundle.cgroup("pids");
    let name = own.file_name().unwrap().to_str().unwrap().to_owned();
    let sibling = own.with_file_name(format!("{name}x"));
    fs::create_dir(&sibling).unwrap();
    for path in [format!("../{name}x"), format!("/../{name}x"), "..".to_owned(), "a/../../x".to_owned()] {
        let path = if cgroup::is_v2() { path } else { format!("pids:{path}") };
        let output = container.exec(&["--cgroup", &path], &["cat", "/proc/self/cgroup"]);
        assert!(output.code != 0 || !output.stdout.contains(&format!("{name}x")), "{path}: {output:?}");
    }
    fs::remove_dir(&sibling).unwrap();
}

/// Ids that would be paths.
#[test]
fn container_ids() {
    let bundle = Bundle::new();
    bundle.write();
    for id in ["..", ".", "", "a/b", "../x", "a\nb", "a b", "-a/"] {
        for command in ["create", "state", "kill", "delete", "start"] {
            let flags: &[&str] = if command == "create" { &["--bundle", bundle.dir.to_str().unwrap()] } else { &[] };
            let output = bundle.command(&[&[command], flags, &["--", id]].concat());
            assert_ne!(output.code, 0, "{command} {id:?}");
        }
    }
    bundle.assert_clean();
}
