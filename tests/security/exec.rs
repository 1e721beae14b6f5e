//! `exec` beside hostile processes: what they can see and change of a process that is being added.

use std::fs;

use crate::exec::{idle, start};
use crate::harness::runtime::{self, is_orlop};
use crate::harness::{eventually, json};

/// A terminal is made of the container's devpts alone, whatever the image has there.
#[test]
fn terminal_from_the_image() {
    let mut bundle = idle();
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "devpts");
    bundle.set("/mounts/1/destination", json!("/elsewhere"));
    fs::create_dir_all(bundle.rootfs("dev/pts")).unwrap();
    fs::write(bundle.rootfs("dev/pts/ptmx"), "").unwrap();
    let container = start(&bundle);
    container.exec(&["-t"], &["true"]).failure(&["devpts"]);
    fs::remove_dir_all(bundle.rootfs("dev/pts")).unwrap();
    std::os::unix::fs::symlink("/proc/1/root/dev/pts", bundle.rootfs("dev/pts")).unwrap();
    container.exec(&["-t"], &["true"]).failure(&["/dev/pts"]);
}

/// What a hostile image says of its users is read as far as it makes sense, and no further.
#[test]
fn passwd_of_the_image() {
    let bundle = idle();
    let container = start(&bundle);
    let home = || container.exec(&["-u", "5"], &["sh", "-c", "echo $HOME"]).success().stdout;
    nix::unistd::mkfifo(&bundle.rootfs("etc/passwd"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(home(), "/\n", "a FIFO is not waited for");
    fs::remove_file(bundle.rootfs("etc/passwd")).unwrap();
    std::os::unix::fs::symlink("/proc/self/environ", bundle.rootfs("etc/passwd")).unwrap();
    assert_eq!(home(), "/\n");
    fs::remove_file(bundle.rootfs("etc/passwd")).unwrap();
    fs::write(bundle.rootfs("etc/passwd"), "5:x:6:6::/six:\nx:x:5:5::/five:\n").unwrap();
    assert_eq!(home(), "/five\n");
}

/// Nothing that the container prints or does hinders another command: an exec holds no lock.
#[test]
fn others_need_not_wait() {
    let bundle = idle();
    nix::unistd::mkfifo(&bundle.rootfs("tmp/wait"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let container = start(&bundle);
    let running = container.spawn_exec(&[], &["sh", "-c", "echo up; cat /tmp/wait"]);
    eventually("the process", || running.stdout().contains("up").then_some(()));
    assert_eq!(container.status(), "running");
    container.exec(&[], &["true"]).success();
    container.try_delete(&["--force"]).success();
    assert_eq!(running.finish().code, 137);
}

/// The tools of `debug` may be those of another image: its links do not lead to the host.
#[test]
fn tools_of_an_image() {
    if !is_orlop() {
        skip!("other runtimes have no such command");
    }
    let bundle = idle();
    let tools = bundle.file("tools");
    fs::create_dir_all(tools.join("bin")).unwrap();
    runtime::copy_program(std::path::Path::new("/bin/busybox"), &tools.join("bin/busybox"));
    let canary = super::Canary::new(&bundle);
    std::os::unix::fs::symlink(&canary.dir, tools.join("lib64")).unwrap();
    let container = start(&bundle);
    let command = ["/.orlop-tools/bin/busybox", "ls", "/lib64/file"];
    let args = [&["debug", "--tools", tools.to_str().unwrap(), &bundle.id, "--"], &command[..]].concat();
    let output = container.command(&args);
    assert!(output.code != 0 && output.stderr.contains("No such file"), "{output:?}");
}
