//! What a process gets without having been given it.

use std::fs;

use crate::exec::{idle, start};
use crate::harness::{Bundle, field, json};

/// CVE-2022-27650 is crun's, CVE-2025-27612 youki's: the inheritable set of what `exec` adds is empty, so
/// that a file's inheritable capabilities come to nothing.
#[test]
fn cve_2022_29162_and_2022_27650_and_2025_27612() {
    let bundle = idle();
    let container = start(&bundle);
    for flags in [&[][..], &["--cap", "CAP_NET_RAW"], &["--cap", "CAP_SYS_ADMIN", "-u", "1000"]] {
        let status = container.exec(flags, &["cat", "/proc/self/status"]).success().stdout;
        assert_eq!(field(&status, "CapInh"), "0000000000000000", "{flags:?}");
        assert_eq!(field(&status, "CapAmb"), "0000000000000000", "{flags:?}");
    }
    assert_eq!(container.proc_status("CapInh"), "0000000000000000");
}

/// The same with a program that has inheritable capabilities: its user does not get them.
#[test]
fn cve_2022_29162_file_capabilities() {
    const CAP_KILL: u32 = 1 << 5;
    let mut bundle = Bundle::new();
    bundle.args(&["/inheritable/busybox", "cat", "/proc/self/status"]);
    bundle.set("/process/noNewPrivileges", json!(false));
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let program = bundle.rootfs("inheritable/busybox");
    fs::create_dir(bundle.rootfs("inheritable")).unwrap();
    crate::harness::runtime::copy_program(std::path::Path::new("/bin/busybox"), &program);
    // struct vfs_cap_data, revision 2, with the effective flag: permitted and inheritable.
    let revision: u32 = 0x0200_0001;
    let words = [revision, 0, CAP_KILL, 0, 0];
    let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let path = std::ffi::CString::new(program.to_str().unwrap()).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: two NUL-terminated strings, and a value of the length given.
    let result = unsafe {
        libc::setxattr(path.as_ptr(), c"security.capability".as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    let text = bundle.output();
    assert_eq!(field(&text, "CapEff"), "0000000000000000");
}
