//! startContainer hooks are programs of the image: nothing that holds for the container's is missing.

use std::fs;

use crate::harness::agent::{Agent, Answer};
use crate::harness::{Bundle, field, json};

fn with_hook(bundle: &mut Bundle) {
    let script = "cat /proc/self/status >/status; mkdir /made; exit 0";
    bundle.push("/hooks/startContainer", json!({"path": "/bin/sh", "args": ["sh", "-c", script]}));
}

/// A hook makes no call that the program may not make.
#[test]
fn under_the_filter() {
    for no_new_privileges in [true, false] {
        for uid in [0, 1000] {
            let mut bundle = Bundle::new();
            with_hook(&mut bundle);
            fs::set_permissions(bundle.rootfs(""), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
            bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            bundle.set("/process/user", json!({"uid": uid, "gid": uid}));
            let refused = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
            bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": refused}));
            bundle.output();
            assert!(!bundle.rootfs("made").exists(), "{no_new_privileges} {uid}");
            let status = fs::read_to_string(bundle.rootfs("status")).unwrap();
            assert_eq!(field(&status, "Seccomp"), "2");
            assert_eq!(field(&status, "NoNewPrivs"), if no_new_privileges { "1" } else { "0" });
            let capabilities = if uid == 0 { "0000000020000420" } else { "0000000000000000" };
            assert_eq!(field(&status, "CapEff"), capabilities, "{no_new_privileges} {uid}");
        }
    }
}

/// With a listener, too: what its agent would be asked about is allowed, as nobody is there yet.
#[test]
fn under_a_filter_with_a_listener() {
    let mut bundle = Bundle::new();
    with_hook(&mut bundle);
    let path = bundle.file("agent.sock");
    bundle.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["execve", "openat"], "action": "SCMP_ACT_NOTIFY"},
        ]}),
    );
    let agent = Agent::listen(&path, |_| Answer::Continue);
    bundle.output();
    assert_eq!(agent.connections().len(), 1);
    assert!(!bundle.rootfs("made").exists());
    assert_eq!(field(&fs::read_to_string(bundle.rootfs("status")).unwrap(), "Seccomp"), "2");
}
