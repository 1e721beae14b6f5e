//! The scratch directory of one test: bundle, state root and outputs live there, and everything that
//! the test makes carries its name, so that leftovers can be recognised.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{host, runtime};

#[derive(Debug)]
pub(crate) struct Scratch {
    /// Part of the name of everything that the test makes; no tag is a prefix of another.
    pub(crate) tag: String,
    pub(crate) dir: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static PREPARE: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        PREPARE.call_once(|| {
            assert!(nix::unistd::geteuid().is_root(), "the integration tests must run as root");
            // Containers whose creator has exited become our children: their exit status is ours to read.
            nix::sys::prctl::set_child_subreaper(true).unwrap();
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("orlop-test-{}-{number:04}", std::process::id());
        let dir = std::env::temp_dir().join(&tag);
        fs::create_dir(&dir).unwrap();
        // A user namespace must be able to reach the bundle, whatever the caller's umask is.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Self { tag, dir }
    }

    /// The runtime's `--root`.
    pub(crate) fn state_root(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Ids of the containers that the state root knows.
    pub(crate) fn ids(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.state_root()) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// Everything that is there and would not be if no container of this test had ever existed.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found: Vec<String> = self.ids().iter().map(|id| format!("state of {id}")).collect();
        found.extend(host::mounts(&self.tag).into_iter().map(|line| format!("mount {line}")));
        found.extend(host::cgroups(&self.tag).iter().map(|dir| format!("cgroup {}", dir.display())));
        found.extend(host::processes(&self.tag).iter().map(|pid| host::describe(*pid)));
        found
    }

    /// The same after the moment that the kernel may take to let go of a killed process.
    pub(crate) fn lasting_leftovers(&self) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.leftovers();
            if left.is_empty() || Instant::now() > end {
                return left;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Fails if anything is left.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let left = self.lasting_leftovers();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// After a failure: takes away whatever is left, by any means.
    pub(crate) fn force_clean(&self) {
        for id in self.ids() {
            runtime::spawn(&self.dir, &["--root", path(&self.state_root()), "delete", "--force", &id]).finish_quietly();
        }
        for pid in host::processes(&self.tag) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
        }
        host::unmount(&self.tag);
        let end = Instant::now() + Duration::from_secs(2);
        while !host::processes(&self.tag).is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut cgroups = host::cgroups(&self.tag);
        cgroups.reverse();
        for dir in cgroups {
            let _ = fs::remove_dir(dir);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.force_clean();
            remove(&self.dir);
            return;
        }
        let result = std::panic::catch_unwind(|| self.assert_clean());
        if result.is_err() {
            self.force_clean();
        }
        remove(&self.dir);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Removes the scratch directory, but never reaches through a mount that could not be taken away.
fn remove(dir: &Path) {
    if host::mounts(path(dir)).is_empty() {
        let _ = fs::remove_dir_all(dir);
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
