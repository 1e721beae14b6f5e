//! `exec` beside hostile processes: what they can see and change of a process that is being added.

use std::fs;

use crate::exec::{idle, start};
use crate::harness::{Bundle, eventually, json};

/// CVE-2024-21626: no descriptor leads the working directory, or the program, to the host.
#[test]
fn working_directory_through_a_descriptor() {
    let bundle = idle();
    for (name, target) in [("self", "/proc/self/fd"), ("init", "/proc/1/fd")] {
        std::os::unix::fs::symlink(target, bundle.rootfs(name)).unwrap();
    }
    let container = start(&bundle);
    for descriptor in 3..32 {
        for base in ["/proc/self/fd", "/proc/1/fd", "/self", "/init"] {
            let path = format!("{base}/{descriptor}");
            container.exec(&["--cwd", &path], &["pwd"]).failure(&["cwd"]);
            container.exec(&[], &[&format!("{path}/../../../bin/ls")]).failure(&["exec"]);
        }
    }
}

/// CVE-2019-5736: the runtime's file is neither changed nor even open in the container.
#[test]
fn program_is_the_runtime() {
    let bundle = idle();
    fs::write(bundle.rootfs("bin/self"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(bundle.rootfs("bin/self"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let container = start(&bundle);
    let program = crate::harness::runtime::program();
    let before = fs::read(&program).unwrap();
    let output = container.exec(&[], &["/proc/self/exe", "--version"]);
    assert!(output.code != 0 || output.stdout.contains("version"), "{output:?}");
    container.exec(&[], &["/bin/self"]);
    assert!(fs::read(&program).unwrap() == before);
}

/// CVE-2016-9962: a process with every capability in its namespaces looks at whoever turns up, while
/// others are added: it never gets to see a descriptor, the executable or the memory of the runtime.
#[test]
fn a_spy_sees_nothing() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(100_000, 65536);
    bundle.capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN", "CAP_KILL"]);
    bundle.payload(&["spy", "/tmp/stop"]);
    let container = start(&bundle);
    container.wait_output("watching");
    for _ in 0..60 {
        container.exec(&[], &["true"]).success();
    }
    fs::write(bundle.rootfs("tmp/stop"), "").unwrap();
    let report = container.wait_output("done");
    let seen = report.lines().filter(|line| line.starts_with("seen")).count();
    assert!(seen > 0, "the spy saw no process at all: {report}");
    let secrets: Vec<_> = report.lines().filter(|line| line.starts_with("open")).collect();
    assert!(secrets.is_empty(), "{secrets:#?}");
}

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
