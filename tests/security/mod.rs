//! Published attacks on low-level container runtimes, each tried as it was described.
//!
//! A test is named after the CVE, advisory or issue; `docs/security.md` lists them with the invariant
//! that each of them broke. What decides is seen on the host: a tree that no container must reach, the
//! host's mounts and kernel parameters. `ORLOP_TEST_RUNTIME` puts another runtime in orlop's place.

mod capabilities;
mod devices;
mod exec;
mod executable;
mod hooks;
mod landlock;
mod matrix;
mod mounts;
mod names;
mod notify;
mod proc;
mod processes;
mod working_directory;

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::harness::{Bundle, Output};

/// How often a race is run: a full run takes 2,000.
fn tries() -> u32 {
    std::env::var("ORLOP_TEST_TRIES").map_or(25, |tries| tries.parse().expect("ORLOP_TEST_TRIES is a number"))
}

/// A directory of the host that no container must reach.
struct Canary {
    dir: PathBuf,
    before: Vec<String>,
}

impl Canary {
    const NAMES: [&str; 6] = ["null", "ptmx", "console", "file", "version", "directory"];

    fn new(bundle: &Bundle) -> Self {
        let dir = bundle.file("canary");
        fs::create_dir(&dir).unwrap();
        for name in Self::NAMES {
            match name {
                "directory" => fs::create_dir(dir.join(name)).unwrap(),
                _ => fs::write(dir.join(name), "alive").unwrap(),
            }
        }
        let before = Self::look(&dir);
        Self { dir, before }
    }

    /// All that could be seen of a change, but the time of the last access.
    fn look(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut seen: Vec<String> =
            std::iter::once(dir.to_owned()).chain(entries).map(|path| describe(&path)).collect();
        seen.sort();
        seen
    }

    #[track_caller]
    fn assert_unharmed(&self, context: &str) {
        assert_eq!(Self::look(&self.dir), self.before, "{context}");
        assert_eq!(fs::read_dir(self.dir.join("directory")).unwrap().count(), 0, "{context}");
    }

    /// Ways to point from the root file system to here.
    fn links(&self) -> [String; 3] {
        let path = self.dir.to_str().unwrap();
        [path.to_owned(), format!("../../../../../../../../..{path}"), format!("/proc/1/root{path}")]
    }
}

fn describe(path: &Path) -> String {
    let found = fs::symlink_metadata(path).unwrap();
    let content = if found.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let kind = if found.file_type().is_char_device() { "device" } else { "" };
    let (owner, times) = ((found.uid(), found.gid()), (found.ctime(), found.ctime_nsec()));
    format!("{} {:o} {owner:?} {} {kind} {times:?} {content:?}", path.display(), found.mode(), found.ino())
}

/// Somebody on the other side of a volume, who exchanges two paths as fast as possible.
struct Exchanger {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exchanger {
    fn between(one: &Path, other: &Path) -> Self {
        let (one, other) = (one.to_owned(), other.to_owned());
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Exchanger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The image's own /dev, as no mount covers it.
fn uncover_dev(bundle: &mut Bundle) {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
}

/// A container that is made and taken away, whether it can be made or not.
fn create_and_delete(bundle: &Bundle, flags: &[&str]) -> Output {
    bundle.write();
    let output = bundle.spawn_create(&bundle.id, flags).finish();
    bundle.command(&["delete", "--force", &bundle.id]);
    output
}
