//! `process.args[0]`: which file of the container is executed.
//!
//! Runs in: init, inside the container and as its user · config.md "process" (CFG-17)
//!
//! The file is looked for when the container is created, because engines report a missing one as a
//! failed create; execve itself happens at `start`. The texts are those engines look for.

use std::ffi::{CStr, CString};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::SFlag;
use nix::unistd::AccessFlags;

use super::env;
use crate::error::code::Code;
use crate::error::{Error, Meaning, Property, Result};
use crate::sys;

const PROPERTY: Property = Property::of("process.args");

/// Where execvp(3) looks when there is no PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// As execvp(3): a name with a slash is the file, another one is looked for in PATH, where an empty
/// directory is the current one.
pub(super) fn find(name: &CStr, env: &[CString]) -> Result<CString> {
    if name.to_bytes().contains(&b'/') {
        return match check(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(errno) => Err(failed(name, errno)),
        };
    }
    let mut problem = Errno::ENOENT;
    for candidate in candidates(name, env) {
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) if exists(&candidate) => problem = Errno::EACCES,
            Err(_) => {}
        }
    }
    if problem == Errno::EACCES {
        return Err(failed(name, problem));
    }
    let error = PROPERTY.invalid(format!("exec: {:?}: executable file not found in $PATH", name.to_string_lossy()));
    Err(error.code_is(Code::ProgramNotFound).hint(format!("looked in {}", String::from_utf8_lossy(search_path(env)))))
}

/// Every file that the name may stand for, in order.
pub(super) fn candidates(name: &CStr, env: &[CString]) -> Vec<CString> {
    if name.to_bytes().contains(&b'/') {
        return vec![name.to_owned()];
    }
    search_path(env).split(|byte| *byte == b':').filter_map(|directory| join(directory, name).ok()).collect()
}

fn search_path(env: &[CString]) -> &[u8] {
    env::value(env, b"PATH").unwrap_or(DEFAULT_PATH)
}

/// The error of a program that cannot be, or was not executed.
fn failed(name: &CStr, errno: Errno) -> Error {
    let code = match errno {
        Errno::ENOENT | Errno::ENOTDIR => Code::ProgramNotFound,
        _ => Code::ProgramNotExecutable,
    };
    PROPERTY.invalid(format!("exec: {:?}: {}", name.to_string_lossy(), Meaning(errno))).code_is(code)
}

/// The error of an execve that failed after all, and the interpreter that the program names in vain.
pub(super) fn not_executed(name: &CStr, errno: Errno, interpreter: Option<&str>) -> Error {
    let error = failed(name, errno);
    match (errno, interpreter) {
        (Errno::ENOENT, Some(interpreter)) => error
            .code_is(Code::InterpreterNotFound)
            .hint(format!("the file is there, and the interpreter that it names, {interpreter}, is not")),
        (Errno::ENOEXEC, _) => error.hint("it is no script with a #! line, and no binary for this machine"),
        _ => error,
    }
}

fn join(directory: &[u8], name: &CStr) -> sys::Result<CString> {
    match directory {
        b"" => sys::c_string(name.to_bytes()),
        b"/" => sys::c_string([b"/", name.to_bytes()].concat()),
        _ => sys::c_string([directory, b"/", name.to_bytes()].concat()),
    }
}

/// Whether our effective ids may execute it. A directory would pass that, and fail in execve with
/// the same error that is given here.
fn check(path: &CStr) -> nix::Result<()> {
    nix::unistd::faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS)?;
    let stat = nix::sys::stat::stat(path)?;
    if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits() { Ok(()) } else { Err(Errno::EACCES) }
}

fn exists(path: &CStr) -> bool {
    nix::sys::stat::stat(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    /// Three directories: `a` holds a plain file and a directory, `b` two programs.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("orlop-program-{name}-{}", std::process::id()));
            for directory in ["a/directory", "b", "empty"] {
                fs::create_dir_all(root.join(directory)).unwrap();
            }
            for (file, mode) in [("a/plain", 0o644), ("b/plain", 0o755), ("a/data", 0o644), ("b/tool", 0o755)] {
                fs::write(root.join(file), "").unwrap();
                fs::set_permissions(root.join(file), fs::Permissions::from_mode(mode)).unwrap();
            }
            Self(root)
        }

        fn path(&self) -> Vec<CString> {
            let all = ["missing", "a", "b", "empty"].map(|dir| self.0.join(dir).display().to_string());
            vec![CString::new(format!("PATH={}", all.join(":"))).unwrap()]
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn look(name: impl AsRef<Path>, env: &[CString]) -> std::result::Result<PathBuf, String> {
        let name = sys::c_path(name.as_ref()).unwrap();
        match find(&name, env) {
            Ok(found) => Ok(PathBuf::from(found.into_string().unwrap())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// CFG-17
    #[test]
    fn a_name_is_looked_for_in_path() {
        let tree = Tree::new("name");
        assert_eq!(look("tool", &tree.path()), Ok(tree.0.join("b/tool")));
        assert_eq!(look("plain", &tree.path()), Ok(tree.0.join("b/plain")), "one that is no program is passed over");
        let error = look("nothing", &tree.path()).unwrap_err();
        let searched = tree.path()[0].to_string_lossy().replacen("PATH=", "", 1);
        let text = r#"process.args: exec: "nothing": executable file not found in $PATH; hint: looked in "#;
        assert_eq!(error, format!("{text}{searched}"));
        for unusable in ["data", "directory"] {
            let error = look(unusable, &tree.path()).unwrap_err();
            assert_eq!(error, format!(r#"process.args: exec: "{unusable}": EACCES: permission denied"#));
        }
    }

    /// CFG-17
    #[test]
    fn a_path_is_the_file() {
        let tree = Tree::new("path");
        assert_eq!(look(tree.0.join("b/tool"), &[]), Ok(tree.0.join("b/tool")));
        for (file, text) in [
            ("b/nothing", "ENOENT: no such file or directory"),
            ("b/tool/x", "ENOTDIR: not a directory"),
            ("a/data", "EACCES: permission denied"),
            ("a/directory", "EACCES: permission denied"),
        ] {
            let path = tree.0.join(file);
            let error = look(&path, &tree.path()).unwrap_err();
            assert_eq!(error, format!("process.args: exec: {path:?}: {text}"));
        }
    }

    #[test]
    fn without_path_the_usual_directories_are_searched() {
        assert_eq!(look("sh", &[]), Ok("/bin/sh".into()));
        assert!(look("sh", &[c"PATH=".to_owned()]).unwrap_err().contains("not found in $PATH"));
    }
}
