//! Annotations `org.orlop.landlock.*` (docs/security.md).

use std::fs;

use crate::harness::{Bundle, json};

/// /bin can be executed, /etc and /proc read, /tmp and /dev written to, whatever the mounts allow.
fn confined(script: &str) -> Bundle {
    let mut bundle = Bundle::with_script(script);
    bundle.set(
        "/annotations",
        json!({
            "org.orlop.landlock.execute": "/bin",
            "org.orlop.landlock.read": "/etc:/proc:/missing",
            "org.orlop.landlock.write": "/tmp:/dev",
        }),
    );
    for name in ["etc/file", "root/secret"] {
        fs::write(bundle.rootfs(name), "content\n").unwrap();
    }
    crate::harness::runtime::copy_program(std::path::Path::new("/bin/busybox"), &bundle.rootfs("tmp/busybox"));
    bundle
}

const SCRIPT: &str = "cat /etc/file; echo x >/etc/file; cat /root/secret; ls /root; mkdir /root/made; \
    echo x >/tmp/file && cat /tmp/file; /tmp/busybox true || echo not executed; echo end >/dev/null; echo end";

const EXPECTED: &str = "content\nx\nnot executed\nend\n";

/// Whoever the program runs as, with and without noNewPrivileges; what `exec` adds too.
#[test]
fn only_what_is_allowed() {
    if version() < 1 {
        skip!("the kernel has no Landlock");
    }
    for no_new_privileges in [true, false] {
        for (uid, user_namespace) in [(0, false), (1000, false), (0, true)] {
            let mut bundle = confined(SCRIPT);
            bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
            bundle.set("/process/user", json!({"uid": uid, "gid": uid}));
            fs::set_permissions(bundle.rootfs("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
            if user_namespace {
                bundle.user_namespace(100_000, 65_536);
            }
            let context = format!("{no_new_privileges} {uid} {user_namespace}");
            assert_eq!(bundle.run().stdout, EXPECTED, "{context}");
            let _ = fs::remove_file(bundle.rootfs("tmp/file"));
            bundle.script("exec sleep 1000");
            let container = crate::exec::start(&bundle);
            assert_eq!(container.exec(&[], &["sh", "-c", SCRIPT]).stdout, EXPECTED, "exec: {context}");
        }
    }
}

/// Nothing of it is left to the program: its capabilities are those configured.
#[test]
fn no_privilege_is_left() {
    if version() < 1 {
        skip!("the kernel has no Landlock");
    }
    let mut bundle = confined("");
    bundle.set("/process/noNewPrivileges", json!(false)).capabilities(&["CAP_KILL"]);
    assert_eq!(crate::harness::field(&bundle.process_status(), "CapEff"), "0000000000000020");
}

/// A program, and a startContainer hook, outside of what can be executed.
#[test]
fn a_program_that_is_not_allowed() {
    if version() < 1 {
        skip!("the kernel has no Landlock");
    }
    let mut bundle = confined("");
    bundle.args(&["/tmp/busybox", "true"]);
    bundle.run().failure(&["exec: \"/tmp/busybox\": EACCES"]);
    bundle.args(&["/bin/true"]).push("/hooks/startContainer", json!({"path": "/tmp/busybox", "args": ["true"]}));
    bundle.run().failure(&["hooks.startContainer[0]", "permission denied"]);
    bundle.assert_clean();
}

/// A name that is none, and a path that could mean anything.
#[test]
fn bad_annotations() {
    for (key, value, problem) in [
        ("org.orlop.landlock.readonly", "/", "is none that orlop knows"),
        ("org.orlop.landlock.read", "etc", "is not an absolute path"),
        ("org.orlop.landlock.write", "/tmp:", "is not an absolute path"),
    ] {
        let mut bundle = Bundle::new();
        bundle.set("/annotations", json!({key: value}));
        bundle.refused(&["annotations", key, problem]);
    }
}

/// 0 without Landlock.
fn version() -> i64 {
    #[allow(unsafe_code)]
    // SAFETY: asked for the version, the kernel reads no attributes.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u64>(), 0, 1) };
    version.max(0)
}
