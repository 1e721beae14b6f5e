//! The runtime's own program, as a container's processes get to see it.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::json;

use crate::exec::{idle, start};
use crate::harness::runtime::{is_orlop, program};
use crate::harness::{Bundle, eventually};

/// What is visible inside is a copy in memory that nothing can change.
#[test]
fn cve_2019_5736_executable_is_a_sealed_copy() {
    let mut bundle = Bundle::with_script("exit 0");
    assert_sealed_executable(&bundle);
    // Where somebody could look at init from the beginning, all of orlop is copied.
    bundle.share("pid");
    assert_sealed_executable(&bundle);
}

fn assert_sealed_executable(bundle: &Bundle) {
    let container = bundle.create();
    let exe = format!("/proc/{}/exe", container.pid());
    let link = fs::read_link(&exe).unwrap();
    assert!(link.to_str().unwrap().starts_with("/memfd:"), "{}", link.display());
    let file = fs::File::open(&exe).unwrap();
    let seals = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GET_SEALS).unwrap();
    let needed = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    assert_eq!(seals & needed, needed);
    assert!(file.as_raw_fd() > 2);
}

/// What waits for `start` is a program of its own with two pages of memory, whoever its user is; where it
/// cannot do what is left to do, it is orlop.
#[test]
fn init_waits_in_little_memory() {
    if !is_orlop() {
        skip!("other runtimes wait as the whole of themselves");
    }
    let mut bundle = Bundle::with_script("exit 0");
    for uid in [0, 1000] {
        bundle.set("/process/user", json!({"uid": uid, "gid": uid}));
        let container = bundle.create();
        assert_eq!(container.proc("cmdline"), "orlop\0init\0");
        let size = container.proc_status("VmRSS");
        let pages: u32 = size.strip_suffix(" kB").unwrap().trim().parse().unwrap();
        assert!(pages <= 64, "{size}");
    }
    bundle.hook("startContainer", "exit 0");
    assert!(bundle.create().proc("cmdline").contains("create"));
}

/// runc#5272, CVE-2026-31431: bugs of the page cache write to pages that can only be read. Those of the
/// process inside are not those of the host's file.
#[test]
fn runc_5272_executable_shares_no_pages() {
    let bundle = idle();
    let container = bundle.create();
    let own = fs::metadata(program()).unwrap();
    let inside = fs::metadata(format!("/proc/{}/exe", container.pid())).unwrap();
    assert_ne!((inside.dev(), inside.ino()), (own.dev(), own.ino()));
    let maps = fs::read_to_string(format!("/proc/{}/maps", container.pid())).unwrap();
    assert!(!maps.contains(program().to_str().unwrap()), "{maps}");
}

/// The published attack: the program is the runtime itself, executed again.
#[test]
fn cve_2019_5736_program_is_the_runtime() {
    let before = fs::read(program()).unwrap();
    let mut bundle = Bundle::new();
    bundle.args(&["/proc/self/exe", "--version"]);
    bundle.run();
    with_interpreter(&bundle);
    bundle.args(&["/bin/evil"]);
    bundle.run();
    assert!(fs::read(program()).unwrap() == before);
    bundle.assert_clean();
}

/// The same by `exec`, as published.
#[test]
fn cve_2019_5736_program_of_exec_is_the_runtime() {
    let bundle = idle();
    with_interpreter(&bundle);
    let container = start(&bundle);
    let before = fs::read(program()).unwrap();
    container.exec(&[], &["/proc/self/exe", "--version"]);
    container.exec(&[], &["/bin/evil"]);
    assert!(fs::read(program()).unwrap() == before);
}

/// Every command that puts a process into a container runs from such a copy.
#[test]
fn cve_2019_5736_commands() {
    if !is_orlop() {
        skip!("other runtimes have other commands");
    }
    let bundle = idle();
    let container = start(&bundle);
    let sleep = ["sleep", "1000"];
    let attending =
        [container.spawn_exec(&[], &sleep), bundle.spawn(&["debug", &bundle.id, "--", "/bin/sleep", "1000"])];
    for command in &attending {
        let copy = || {
            fs::read_link(format!("/proc/{}/exe", command.pid())).ok()?.to_str()?.starts_with("/memfd:").then_some(())
        };
        eventually("a sealed copy", copy);
    }
    container.stop();
    attending.into_iter().for_each(|command| drop(command.finish()));
}

fn with_interpreter(bundle: &Bundle) {
    fs::write(bundle.rootfs("bin/evil"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(bundle.rootfs("bin/evil"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A process with every capability takes the executable of whoever turns up, and writes to it as soon as
/// it is not being executed any more.
#[test]
fn cve_2019_5736_race() {
    let mut bundle = Bundle::new();
    bundle.capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN", "CAP_FOWNER"]);
    bundle.payload(&["overwrite", "/tmp/stop"]);
    let container = start(&bundle);
    container.wait_output("watching");
    let before = fs::read(program()).unwrap();
    for _ in 0..super::tries() {
        container.exec(&[], &["/proc/self/exe"]);
        container.exec(&[], &["true"]).success();
    }
    fs::write(bundle.rootfs("tmp/stop"), "").unwrap();
    let report = container.wait_output("done");
    assert!(fs::read(program()).unwrap() == before, "{report}");
    assert!(report.contains("opened"), "nothing was attacked: {report}");
}
