//! `debug`: tools of the host or of another image in a container that has none, which sees nothing of it.

use std::fs;
use std::path::Path;

use crate::harness::{Bundle, Container, json, runtime};

/// An image of one program, and nothing else.
fn bare() -> Bundle {
    let mut bundle = Bundle::new();
    fs::remove_dir_all(bundle.rootfs("bin")).unwrap();
    runtime::copy_program("/bin/busybox".as_ref(), &bundle.rootfs("sleep"));
    bundle.args(&["/sleep", "60"]).set("/root/readonly", json!(true));
    bundle
}

/// A directory with busybox, by the names `sh` and `ls`.
fn toolbox(bundle: &Bundle) -> String {
    let bin = bundle.file("tools/bin");
    fs::create_dir_all(&bin).unwrap();
    for name in ["sh", "ls", "mount", "cat", "touch", "id"] {
        runtime::copy_program("/bin/busybox".as_ref(), &bin.join(name));
    }
    bundle.file("tools").to_str().unwrap().to_owned()
}

fn start(bundle: &Bundle) -> Container {
    let container = bundle.create();
    container.start();
    container
}

#[test]
fn tools_of_another_image() {
    let bundle = bare();
    let tools = toolbox(&bundle);
    let container = start(&bundle);
    let before = container.proc("mountinfo");
    let debug = |script: &str| {
        let output = bundle.command(&["debug", "--tools", &tools, &container.id, "--", "sh", "-c", script]).success();
        output.stdout
    };
    assert_eq!(debug("ls -d /sleep /proc/1/exe /bin/sh /.orlop-tools/bin/sh").lines().count(), 4);
    assert_eq!(debug("cat /proc/1/comm"), "sleep\n", "it is in the container's pid namespace");
    assert_eq!(debug("touch /x /bin/x /.orlop-tools/x /sleep 2>/dev/null; ls /"), debug("ls /"));
    assert_eq!(container.proc("mountinfo"), before, "the container's mounts have changed");
    assert!(!bundle.rootfs(".orlop-tools").exists() && !bundle.rootfs("bin").exists());
    let failed = bundle.command(&["debug", "--tools", "/nosuch", &container.id, "--", "sh"]);
    failed.failure(&["/nosuch", "no such file or directory"]);
}

/// Of the host, in a user namespace, and with the exit status of the command.
#[test]
fn tools_of_the_host() {
    if !Path::new("/usr/lib64").exists() || !Path::new("/usr/bin/id").exists() {
        skip!("the host's programs and their libraries are not in /usr");
    }
    let mut bundle = bare();
    bundle.user_namespace(100_000, 65_536).set("/root/readonly", json!(false));
    let container = start(&bundle);
    let output = bundle.command(&["debug", &container.id, "--", "sh", "-c", "id -u; exit 7"]);
    assert_eq!((output.code, output.stdout.as_str()), (7, "0\n"), "{output:?}");
    container.exec(&[], &["sh"]).failure(&["executable file not found"]);
}
