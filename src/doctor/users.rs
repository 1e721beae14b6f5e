//! Ids that a plain user may map: /etc/subuid, /etc/subgid and the programs that read them.
//!
//! Runs in: parent · subuid(5), newuidmap(1) · `docs/rootless.md`

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Caller, List};
use crate::namespace::subid::{self, Range};
use crate::sys::xattr;

/// As many as an image usually needs: the ids of 16 bits.
const USUAL: u64 = 65_536;

pub(super) fn examine(list: &mut List<'_>, caller: Caller, _: &Path) {
    if caller.is_host_root {
        return list.ok("id maps", "root may map any id");
    }
    let user = subid::Caller::current();
    for (file, program) in [("/etc/subuid", "newuidmap"), ("/etc/subgid", "newgidmap")] {
        let ranges = subid::ranges(&std::fs::read_to_string(file).unwrap_or_default(), &user);
        let count: u64 = ranges.iter().map(|range| u64::from(range.count)).sum();
        match count {
            0 => list.limited(
                file,
                format!("gives {} no ids", user.label()),
                format!("only the own id can be mapped; add a line such as {}:100000:65536", user.label()),
            ),
            _ if count < USUAL => {
                list.limited(file, shown(&ranges), format!("{count} ids; images usually have 65536"));
            }
            _ => list.ok(file, shown(&ranges)),
        }
        helper(list, program);
    }
}

fn shown(ranges: &[Range]) -> String {
    let each: Vec<_> = ranges.iter().map(|range| format!("{} ids from {}", range.count, range.first)).collect();
    each.join(", ")
}

fn helper(list: &mut List<'_>, program: &str) {
    let Some(path) = find(program) else {
        return list.limited(
            program,
            "not in PATH",
            "only the own id can be mapped (Debian: uidmap, Fedora: shadow-utils)",
        );
    };
    let is_privileged = std::fs::metadata(&path).is_ok_and(|file| file.uid() == 0 && file.mode() & 0o4000 != 0);
    let found = path.display().to_string();
    match is_privileged || xattr::exists(&path, c"security.capability") {
        true => list.ok(program, found),
        false => {
            list.limited(program, found, "is neither set-uid root nor has it file capabilities: reinstall its package")
        }
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
