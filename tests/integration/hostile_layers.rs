//! Layers whose tar tries to reach what is not theirs: every way out with everything that an entry can do
//! there (docs/images.md, "What a layer may do"). Beside the store lies a tree that must stay as it is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use crate::harness::host::HostMount;
use crate::harness::image::{Fixture, Tar, gzip, layout};
use crate::harness::json;

/// A store, and a canary on the same file system, in memory: hard links would be possible, syncs are quick.
struct Arena {
    // Gone before the test's directory is.
    _mount: HostMount,
    fixture: Fixture,
    canary: PathBuf,
    before: Vec<String>,
}

impl Arena {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let arena = fixture.bundle.file("arena");
        let mount = HostMount::tmpfs(&arena, MsFlags::empty(), MsFlags::MS_PRIVATE);
        fixture.store = arena.join("store");
        let canary = arena.join("canary");
        fs::create_dir_all(canary.join("dir/below")).unwrap();
        fs::write(canary.join("victim"), "alive").unwrap();
        fs::write(canary.join("dir/file"), "alive").unwrap();
        fixture.image(&["list"]).success();
        let before = look(&canary);
        Self { _mount: mount, fixture, canary, before }
    }

    /// Imports the layer; what came of it. Whatever that is, nothing outside has changed.
    #[track_caller]
    fn import(&self, what: &str, layer: &[u8]) -> Result<PathBuf, String> {
        let tar = self.fixture.bundle.file("layer.tar");
        fs::write(&tar, layer).unwrap();
        let output = self.fixture.image(&["import", tar.to_str().unwrap(), "evil"]);
        assert_eq!(look(&self.canary), self.before, "{what}: {output:?}");
        assert_eq!(self.fixture.count("tmp"), 0, "{what}: {output:?}");
        match output.code {
            0 => Ok(self.accepted(what)),
            1 => {
                assert_eq!(self.fixture.count("layers/sha256"), 0, "{what}: {output:?}");
                assert!(!output.stderr.is_empty(), "{what}");
                Err(output.stderr)
            }
            _ => panic!("{what}: {output:?}"),
        }
    }

    /// The layer's directory, taken out of the store for the next one.
    #[track_caller]
    fn accepted(&self, what: &str) -> PathBuf {
        let layers = fs::read_dir(self.fixture.store.join("layers/sha256")).unwrap();
        let [layer] = layers.map(|entry| entry.unwrap().path()).collect::<Vec<_>>().try_into().unwrap();
        let aside = self.fixture.store.parent().unwrap().join("accepted");
        let _ = fs::remove_dir_all(&aside);
        fs::rename(&layer, &aside).unwrap();
        for path in paths(&aside) {
            let look = fs::symlink_metadata(&path).unwrap();
            assert!(!look.is_file() || look.nlink() == 1 || shares_only_here(&aside, &look), "{what}: {path:?}");
        }
        aside
    }

    #[track_caller]
    fn refused(&self, what: &str, layer: &[u8], words: &[&str]) {
        match self.import(what, layer) {
            Ok(_) => panic!("{what}: was accepted"),
            Err(message) => {
                for word in words {
                    assert!(message.contains(word), "{what}: {message}");
                }
            }
        }
    }
}

fn paths(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut at = 0;
    while at < found.len() {
        if fs::symlink_metadata(&found[at]).unwrap().is_dir() {
            found.extend(fs::read_dir(&found[at]).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found
}

/// All names of a file are in the layer.
fn shares_only_here(layer: &Path, look: &fs::Metadata) -> bool {
    let same = |path: &&PathBuf| fs::symlink_metadata(path).unwrap().ino() == look.ino();
    paths(layer).iter().filter(same).count() as u64 == look.nlink()
}

/// All that could be changed from outside; a change of anything changes the ctime.
fn look(canary: &Path) -> Vec<String> {
    let describe = |path: PathBuf| {
        let look = fs::symlink_metadata(&path).unwrap();
        let times = [look.mtime(), look.mtime_nsec(), look.ctime(), look.ctime_nsec()];
        let content = fs::read(&path).unwrap_or_default();
        let (mode, ids, links) = (look.mode(), (look.uid(), look.gid()), look.nlink());
        format!("{path:?} {mode:o} {ids:?} {links} {times:?} {content:?}")
    };
    let mut found: Vec<String> = paths(canary).into_iter().map(describe).collect();
    found.sort();
    found
}

/// What a tar begins with, and the name by which the canary's directory is then reached.
type Way = (&'static str, Tar, String);

fn ways(canary: &Path) -> Vec<Way> {
    let target = canary.to_str().unwrap();
    let up = format!("../../../../../../../..{target}");
    let tar = Tar::default;
    vec![
        ("absolute", tar(), target.to_owned()),
        ("upwards", tar(), up.clone()),
        ("upwards from a directory", tar().dir("d/"), format!("d/{up}")),
        ("link", tar().symlink("way", target), "way".to_owned()),
        ("relative link", tar().symlink("way", &up), "way".to_owned()),
        ("link to the root", tar().symlink("way", "/"), format!("way{target}")),
        ("link upwards", tar().symlink("way", "../../../../../../../.."), format!("way{target}")),
        ("link to a link", tar().symlink("one", target).symlink("way", "one"), "way".to_owned()),
        ("link with a slash", tar().symlink("way", target), "way/.".to_owned()),
        ("former directory", tar().dir("way/").symlink("way", target), "way".to_owned()),
        ("former file", tar().file("way", "x").symlink("way", target), "way".to_owned()),
        ("hard link to a link", tar().symlink("one", target).entry("way", b'1', "one", b""), "way".to_owned()),
        ("link of /proc", tar().symlink("way", "/proc/self/root"), format!("way{target}")),
        ("working directory", tar().symlink("way", "/proc/self/cwd/../arena/canary"), "way".to_owned()),
        ("root as a link", tar().symlink(".", target), ".".to_owned()),
        ("root as an absolute link", tar().symlink("/", target), String::new()),
        ("link by PAX", tar().pax(&[("linkpath", target)]).symlink("way", "harmless"), "way".to_owned()),
        ("link by GNU", tar().entry("long", b'K', "", target.as_bytes()).symlink("way", "x"), "way".to_owned()),
    ]
}

/// What is done there, given the name of the canary's directory.
fn acts(start: &Tar, way: &str) -> Vec<(&'static str, Tar)> {
    let tar = || Tar(start.0.clone());
    let name = |name: &str| format!("{way}/{name}");
    let odd = "0006777\0".as_bytes();
    vec![
        ("writes over", tar().file(&name("victim"), "dead")),
        ("writes a new file", tar().file(&name("new"), "x")),
        ("writes by PAX", tar().pax(&[("path", &name("victim"))]).file("harmless", "dead")),
        ("writes by GNU", tar().entry("long", b'L', "", name("victim").as_bytes()).file("harmless", "dead")),
        ("makes a directory", tar().dir(&name("new/"))),
        ("takes a directory for its own", tar().raw(&name("dir/"), odd, b'5', "", b"")),
        ("takes the way for its own", tar().raw(&format!("{way}/"), odd, b'5', "", b"")),
        ("makes a link", tar().symlink(&name("new"), "victim")),
        ("makes a fifo", tar().entry(&name("new"), b'6', "", b"")),
        ("makes a device", tar().entry(&name("new"), b'4', "", b"")),
        ("removes by making a link", tar().symlink(&name("victim"), "/")),
        ("hard links from there", tar().entry("mine", b'1', &name("victim"), b"").raw("mine", odd, b'0', "", b"dead")),
        ("hard links to there", tar().file("mine", "x").entry(&name("new"), b'1', "mine", b"")),
        ("hard links over", tar().file("mine", "x").entry(&name("victim"), b'1', "mine", b"")),
        ("whiteout", tar().file(&name(".wh.victim"), "")),
        ("opaque", tar().file(&name(".wh..wh..opq"), "")),
        ("attributes", tar().pax(&[("SCHILY.xattr.user.mark", "x")]).raw(&name("dir/"), odd, b'5', "", b"")),
    ]
}

/// The whole matrix.
#[test]
fn no_way_out() {
    let arena = Arena::new();
    for (way, start, name) in ways(&arena.canary) {
        for (act, layer) in acts(&start, &name) {
            // Taken or refused: nothing of it is outside.
            let _ = arena.import(&format!("{way}, {act}"), &layer.end());
        }
    }
}

/// A directory's mode, owner and time are set when all else is there: by then it may be a link.
#[test]
fn directories_that_become_links() {
    let arena = Arena::new();
    let target = arena.canary.to_str().unwrap();
    let layer = Tar::default().raw("d/", b"0000777\0", b'5', "", b"").symlink("d", target);
    let layer = layer.dir("e/f/").raw("e/f/g/", b"0000777\0", b'5', "", b"").symlink("e/f", target);
    let made = arena.import("directories that become links", &layer.end()).unwrap();
    assert_eq!(fs::read_link(made.join("d")).unwrap(), arena.canary);
}

type Kind = (&'static str, fn(Tar) -> Tar);

/// Of entries with one name the last one counts, whatever the others were.
#[test]
fn entries_that_come_twice() {
    let arena = Arena::new();
    let kinds: [Kind; 6] = [
        ("file", |tar| tar.file("x", "content")),
        ("directory", |tar| tar.dir("x/").file("x/below", "")),
        ("link", |tar| tar.symlink("x", "other")),
        ("hard link", |tar| tar.entry("x", b'1', "other", b"")),
        ("fifo", |tar| tar.entry("x", b'6', "", b"")),
        ("device", |tar| tar.entry("x", b'4', "", b"")),
    ];
    for (first, make_first) in kinds {
        for (last, make_last) in kinds {
            let what = format!("{first}, then {last}");
            let start = || Tar::default().file("other", "x");
            let alone = arena.import(last, &make_last(start()).end()).unwrap();
            let kind = |path: PathBuf| fs::symlink_metadata(path).unwrap().mode();
            let (wanted, other) = (kind(alone.join("x")), fs::read(alone.join("other")).unwrap());
            let made = arena.import(&what, &make_last(make_first(start())).end()).unwrap();
            assert_eq!(kind(made.join("x")), wanted, "{what}");
            assert_eq!(fs::read(made.join("other")).unwrap(), other, "{what}");
        }
    }
}

/// What does not make sense, or takes more than it should, is an error that says so.
#[test]
fn nonsense_and_excess() {
    let arena = Arena::new();
    let tar = Tar::default;
    let pax = |key: &str, value: &str| tar().pax(&[(key, value)]).file("a", "x").end();
    let attribute = "x".repeat(900_000);
    for (what, layer, words) in [
        ("a name that is too long", pax("path", &"n".repeat(300)), &["name too long"][..]),
        ("a path that is too long", pax("path", &"d/".repeat(3000)), &["name too long"]),
        ("a name with a NUL", pax("path", "a\0b"), &["NUL"]),
        ("no name", pax("path", ""), &["root of a layer"]),
        ("an owner that is no id", pax("uid", "4294967296"), &["broken PAX value", "uid"]),
        ("a time that is none", pax("mtime", "yesterday"), &["broken PAX value", "mtime"]),
        ("an attribute that is too large", pax("SCHILY.xattr.user.a", &attribute), &["user.a"]),
        ("a redirect", pax("SCHILY.xattr.trusted.overlay.redirect", "/etc"), &["overlayfs's own"]),
        ("a metacopy", pax("SCHILY.xattr.trusted.overlay.metacopy", ""), &["overlayfs's own"]),
        ("a user's redirect", pax("SCHILY.xattr.user.overlay.redirect", "/etc"), &["overlayfs's own"]),
        ("a hard link to a directory", tar().dir("d/").entry("a", b'1', "d", b"").end(), &["linkat", "EPERM"]),
        ("whiteouts of nothing", tar().file(".wh..", "").end(), &["whiteout"]),
        ("whiteouts of ..", tar().dir("d/").file("d/.wh...", "").end(), &["whiteout"]),
        ("links in a circle", tar().symlink("a", "b").symlink("b", "a").file("a/x", "").end(), &["ELOOP"]),
        ("directories without end", many_directories(), &["directories"]),
    ] {
        arena.refused(what, &layer, words);
    }
}

/// What is told of sizes is believed up to a limit, and nothing is read or kept beyond it.
#[test]
fn sizes_without_end() {
    let mut huge = Tar::default().file("a", "").0;
    // 2^62 bytes, in base 256; the sum of the header as it has to be then.
    huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    huge[148..156].copy_from_slice(b"        ");
    let sum: u32 = huge[..512].iter().map(|byte| u32::from(*byte)).sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    for (layer, words) in [(huge, "256 GiB"), (many_headers(), "header")] {
        let fixture = Fixture::new();
        let source = fixture.bundle.file("layout");
        layout(&source, "evil", &[layer], json!({}));
        fixture.image(&["import", source.to_str().unwrap()]).failure(&[words]);
        assert_eq!((fixture.count("tmp"), fixture.count("layers/sha256")), (0, 0));
    }
}

/// Each is small enough; what they say of the next entry adds up.
fn many_headers() -> Vec<u8> {
    let value = "x".repeat(500_000);
    (0..10).fold(Tar::default(), |tar, _| tar.pax(&[("SCHILY.xattr.user.a", &value)])).end()
}

/// The same directory again and again, under a name as long as names may be.
fn many_directories() -> Vec<u8> {
    let name = "d/".repeat(2000);
    let once = Tar::default().pax(&[("path", &name)]).dir("d/").0;
    gzip(&once.repeat(2500))
}

/// A layer that becomes larger than the disk: an error, and the disk is as empty as before.
#[test]
fn a_bomb() {
    let mut fixture = Fixture::new();
    let small = fixture.bundle.file("small");
    let _mount = HostMount::sized_tmpfs(&small, "8m", MsFlags::empty(), MsFlags::MS_PRIVATE);
    fixture.store = small.join("store");
    fixture.image(&["list"]).success();
    let content = vec![b'A'; 24 << 20];
    let bomb = gzip(&Tar::default().entry("large", b'0', "", &content).end());
    assert!(bomb.len() < 1 << 20);
    let tar = fixture.bundle.file("bomb.tar.gz");
    fs::write(&tar, bomb).unwrap();
    fixture.image(&["import", tar.to_str().unwrap(), "bomb"]).failure(&["ENOSPC"]);
    assert_eq!((fixture.count("tmp"), fixture.count("layers/sha256")), (0, 0));
    fixture.image(&["prune"]).success();
    let left = nix::sys::statvfs::statvfs(&small).unwrap();
    assert!(left.blocks_free() * 10 > left.blocks() * 9, "{left:?}");
}
