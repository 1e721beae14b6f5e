//! `process.env`: passed on as written, and HOME where it is missing.
//!
//! Runs in: both (compile in parent, home in init) · config.md "process" (CFG-15)
//!
//! Engines rely on runtimes for HOME (Kubernetes sets none), so it is added from the image's
//! /etc/passwd when the configuration has no HOME; nothing that is configured is ever changed.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::SFlag;

use crate::error::{Property, Result};
use crate::sys;

pub(super) fn compile(env: &[String]) -> Result<Vec<CString>> {
    let property = |index| Property::at("process.env", index);
    env.iter()
        .enumerate()
        .map(|(index, entry)| {
            sys::c_string(entry).map_err(|_| property(index).invalid(format!("{entry:?} has a NUL byte inside")))
        })
        .collect()
}

/// Sets a variable, whatever the configuration says of it.
pub(super) fn set(env: &mut Vec<CString>, entry: CString) {
    let name = entry.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    unset(env, name);
    env.push(entry);
}

pub(super) fn unset(env: &mut Vec<CString>, name: &[u8]) {
    env.retain(|entry| entry.to_bytes().strip_prefix(name).is_none_or(|rest| !rest.starts_with(b"=")));
}

/// The value of a variable; where it is given twice, the first one counts, as for getenv(3).
pub(super) fn value<'a>(env: &'a [CString], name: &[u8]) -> Option<&'a [u8]> {
    env.iter().find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
}

/// `HOME=...` for a user of the image, whose root directory is given. `/` when the image does not
/// say: a broken or hostile /etc/passwd is no reason to fail.
pub(super) fn home(root: BorrowedFd<'_>, uid: u32) -> CString {
    let directory = passwd(root).and_then(|text| home_in(&text, uid));
    let entry = [b"HOME=", directory.as_deref().unwrap_or(b"/")].concat();
    CString::new(entry).unwrap_or_else(|_| c"HOME=/".to_owned())
}

/// Far above any real one; what the image makes us read has to be bounded.
const LARGEST_PASSWD: usize = 1 << 20;

/// /etc/passwd if it is a regular file of the image: no FIFO that blocks us, no device, no link to
/// one of our descriptors.
fn passwd(root: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let file = sys::path::openat2(root, c"etc/passwd", flags, resolve).ok()?;
    let stat = sys::fd::fstat(file.as_fd()).ok()?;
    let is_regular = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
    if is_regular { read_bounded(&file) } else { None }
}

fn read_bounded(file: &OwnedFd) -> Option<Vec<u8>> {
    let mut text = vec![0; 4096];
    let mut length = 0;
    loop {
        match sys::retry(|| nix::unistd::read(file, &mut text[length..])).ok()? {
            0 => break,
            count => length += count,
        }
        if length == text.len() {
            if length >= LARGEST_PASSWD {
                break;
            }
            text.resize(length * 2, 0);
        }
    }
    text.truncate(length);
    Some(text)
}

/// The sixth field of the first line whose third is the user's id.
pub(crate) fn home_in(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    let uid = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        if fields.next()? != uid.as_bytes() {
            return None;
        }
        let home = fields.nth(2)?;
        home.starts_with(b"/").then(|| home.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nbroken\nuser:x:1000:1000::/home/user:/bin/sh\n\
        other:x:1000:1:twice:/elsewhere:\n1001:x:7:7::/seven:\nempty:x:8:8:::\nrelative:x:9:9::home:\n";

    /// CFG-15
    #[test]
    fn entries_are_passed_on_as_written() {
        let written: Vec<String> = ["A=1", "A=2", "NO_EQUALS", "", "=x", "U=ä"].map(String::from).into();
        let env = compile(&written).unwrap();
        assert_eq!(env.iter().map(|entry| entry.to_str().unwrap()).collect::<Vec<_>>(), written);
        let error = compile(&["A=1".into(), "B=\0".into()]).unwrap_err().to_string();
        assert_eq!(error, r#"process.env[1]: "B=\0" has a NUL byte inside"#);
    }

    #[test]
    fn the_first_of_two_values_counts() {
        let env = compile(&["PATHS=/x".into(), "PATH=/a".into(), "PATH=/b".into()]).unwrap();
        assert_eq!(value(&env, b"PATH"), Some(&b"/a"[..]));
        assert_eq!(value(&env, b"HOME"), None);
    }

    #[test]
    fn what_is_set_is_there_once() {
        let mut env = compile(&["AB=1".into(), "A=1".into(), "A".into(), "A=2".into()]).unwrap();
        set(&mut env, c"A=3".to_owned());
        assert_eq!(env, [c"AB=1", c"A", c"A=3"].map(ToOwned::to_owned));
    }

    #[test]
    fn homes() {
        for (uid, home) in [(0, Some("/root")), (1000, Some("/home/user")), (1001, None), (7, Some("/seven"))] {
            assert_eq!(home_in(PASSWD, uid).as_deref(), home.map(str::as_bytes), "{uid}");
        }
        for uid in [8, 9, 12] {
            assert_eq!(home_in(PASSWD, uid), None, "{uid}");
        }
    }

    #[test]
    fn only_a_regular_file_of_the_image_is_read() {
        let root = std::env::temp_dir().join(format!("orlop-passwd-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        let dir = File::open(&root).unwrap();
        let home = |uid| home(dir.as_fd(), uid).into_string().unwrap();
        assert_eq!(home(1000), "HOME=/");
        nix::unistd::mkfifo(&root.join("etc/passwd"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(home(1000), "HOME=/");
        fs::remove_file(root.join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/real", root.join("etc/passwd")).unwrap();
        fs::write(root.join("real"), PASSWD).unwrap();
        assert_eq!(home(1000), "HOME=/home/user", "an absolute link stays in the image");
        fs::write(root.join("real"), [&b"#\n".repeat(600_000)[..], PASSWD].concat()).unwrap();
        assert_eq!(home(1000), "HOME=/", "nothing is looked for beyond the limit");
        fs::remove_dir_all(&root).unwrap();
    }
}
