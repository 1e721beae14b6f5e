//! `diff`: what a container has changed of its layers (docs/images.md).

use std::fs;

use crate::harness::{Bundle, Value, json};

/// A root file system of the layer `rootfs`, with some files to change.
fn layered(script: &str) -> Bundle {
    let mut bundle = Bundle::with_script(script);
    for dir in ["opt/sub", "srv"] {
        fs::create_dir_all(bundle.rootfs(dir)).unwrap();
    }
    for name in ["etc/base", "etc/gone", "opt/bottom", "opt/sub/x", "srv/file"] {
        fs::write(bundle.rootfs(name), "base\n").unwrap();
    }
    bundle.set("/root/path", json!("")).set("/annotations", json!({"org.orlop.overlay.lower": "rootfs"}));
    bundle
}

const CHANGES: &str = "echo more >> /etc/base; rm /etc/gone; mkdir /new; echo > /new/file; rm -r /opt; mkdir /opt;
    echo > /opt/bottom; echo > /opt/top; rm -r /srv; echo > /srv; echo up";

const LINES: &str = "C /etc\nC /etc/base\nD /etc/gone\nA /new\nA /new/file\nC /opt\nC /opt/bottom\nD /opt/sub\n\
                     A /opt/top\nC /srv\n";

/// The same while it runs, when it has stopped, as lines and as JSON, with an upper directory in the state
/// directory or elsewhere.
#[test]
fn added_changed_and_deleted() {
    for upper in ["state", "changes"] {
        let mut bundle = layered(&format!("{CHANGES}; exec sleep 1000"));
        bundle.set("/annotations/org.orlop.overlay.upper", json!(upper));
        let container = bundle.create();
        let before = container.command(&["diff", &container.id]).success().stdout;
        assert_eq!(before, "", "{upper}");
        container.start().wait_output("up");
        assert_eq!(container.command(&["diff", &container.id]).success().stdout, LINES);
        container.stop();
        assert_eq!(container.command(&["diff", &container.id]).success().stdout, LINES);
        let diff = container.command(&["diff", "--format", "json", &container.id]).success().stdout;
        assert_eq!(
            serde_json::from_str::<Value>(&diff).unwrap(),
            json!({"changed": ["/etc", "/etc/base", "/opt", "/opt/bottom", "/srv"],
                   "added": ["/new", "/new/file", "/opt/top"], "deleted": ["/etc/gone", "/opt/sub"]})
        );
    }
}

/// In a user namespace, where overlayfs keeps its notes elsewhere.
#[test]
fn in_a_user_namespace() {
    let mut bundle = layered(&format!("{CHANGES}; exec sleep 1000"));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.namespace("user").set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let container = bundle.create();
    container.start().wait_output("up");
    assert_eq!(container.command(&["diff", &container.id]).success().stdout, LINES);
}

/// Nothing is followed, and no name reaches the terminal as it is.
#[test]
fn hostile_names() {
    let script = "cd /new; mkdir d; ln -s /etc link; ln -s ../../../.. d/up; echo > \"$(printf 'a\\033[1m\\nb')\"; echo up; exec sleep 1000";
    let bundle = layered(&format!("mkdir /new; {script}"));
    let container = bundle.create();
    container.start().wait_output("up");
    let lines = container.command(&["diff", &container.id]).success().stdout;
    assert_eq!(lines, "A /new\nA /new/a\\u{1b}[1m\\nb\nA /new/d\nA /new/d/up\nA /new/link\n");
}

/// What has no changes to look at says why.
#[test]
fn refusals() {
    let mut bundle = layered("exec sleep 1000");
    bundle.command(&["diff", "none"]).failure(&["container does not exist"]);
    bundle.set("/root/readonly", json!(true));
    let container = bundle.create();
    assert_eq!(container.command(&["diff", &container.id]).success().stdout, "");
    drop(container);
    bundle.set("/root/readonly", json!(false)).set("/annotations/org.orlop.overlay.upper", json!("tmpfs"));
    let container = bundle.create();
    container.command(&["diff", &container.id]).failure(&["org.orlop.overlay.upper", "memory"]);
    drop(container);
    bundle.remove("/annotations").set("/root/path", json!("rootfs"));
    let container = bundle.create();
    container.command(&["diff", &container.id]).failure(&["not made of layers"]);
}
