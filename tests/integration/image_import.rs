//! `image import`: forms of sparse files, many layers at once, sources of all kinds (docs/images.md).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use crate::harness::image::{Fixture, Tar, layout};
use crate::harness::json;
use crate::harness::tty::Terminal;

const GIB: u64 = 1 << 30;

/// The oldest form: places in the header, and in blocks after it.
fn old_sparse(name: &str, size: u64, pieces: &[(u64, &[u8])]) -> Tar {
    let data: Vec<u8> = pieces.concat_data();
    let Tar(mut bytes) = Tar::default().raw(name, b"0000644\0", b'S', "", &data);
    let data = bytes.split_off(512);
    bytes[257..265].copy_from_slice(b"ustar  \0");
    let place = |block: &mut [u8], (offset, data): &(u64, &[u8])| {
        block[..24].copy_from_slice(format!("{offset:011o}\0{:011o}\0", data.len()).as_bytes());
    };
    let (first, more) = pieces.split_at(pieces.len().min(4));
    for (index, piece) in first.iter().enumerate() {
        place(&mut bytes[386 + 24 * index..], piece);
    }
    bytes[482] = u8::from(!more.is_empty());
    // Ten GiB are more than octal digits can say: GNU's binary form.
    bytes[483] = 0x80;
    bytes[487..495].copy_from_slice(&size.to_be_bytes());
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    for (index, pieces) in more.chunks(21).enumerate() {
        let mut block = [0; 512];
        for (index, piece) in pieces.iter().enumerate() {
            place(&mut block[24 * index..], piece);
        }
        block[504] = u8::from(more.len() > 21 * (index + 1));
        bytes.extend(block);
    }
    bytes.extend(data);
    Tar(bytes)
}

trait ConcatData {
    fn concat_data(&self) -> Vec<u8>;
}

impl ConcatData for [(u64, &[u8])] {
    fn concat_data(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, data)| data.to_vec()).collect()
    }
}

/// Every form in which GNU tar writes sparse files becomes a file with the same bytes and holes: ten GiB
/// that take no more disk than what is in them.
#[test]
fn sparse_files_are_unpacked_as_holes() {
    let fixture = Fixture::new();
    let size = 10 * GIB;
    let text = size.to_string();
    // Enough pieces for two blocks after the oldest form's header.
    let pieces: Vec<(u64, &[u8])> = (0..30).map(|index| (index * 4096 * 100, &b"piece"[..])).collect();
    let data = pieces.concat_data();
    let list: Vec<(u64, usize)> = pieces.iter().map(|(offset, data)| (*offset, data.len())).collect();
    let map: Vec<String> = list.iter().map(|(offset, length)| format!("{offset},{length}")).collect();
    let old = old_sparse("old", size, &pieces);

    let numbers: Vec<(String, String)> =
        list.iter().map(|(offset, length)| (offset.to_string(), length.to_string())).collect();
    let mut records = vec![("GNU.sparse.size", text.as_str()), ("GNU.sparse.numblocks", "30")];
    for (offset, length) in &numbers {
        records.extend([("GNU.sparse.offset", offset.as_str()), ("GNU.sparse.numbytes", length.as_str())]);
    }
    let map = map.join(",");
    let second = [("GNU.sparse.size", text.as_str()), ("GNU.sparse.name", "second"), ("GNU.sparse.map", &map)];
    let third = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "third"),
        ("GNU.sparse.realsize", &text),
    ];
    let lines: String = list.iter().map(|(offset, length)| format!("{offset}\n{length}\n")).collect();
    let mut with_map = format!("{}\n{lines}", list.len()).into_bytes();
    with_map.resize(with_map.len().next_multiple_of(512), 0);
    with_map.extend(&data);
    let pax = Tar::default()
        .pax(&records)
        .entry("first", b'0', "", &data)
        .pax(&second)
        .entry("GNUSparseFile.1/second", b'0', "", &data)
        .pax(&third)
        .entry("GNUSparseFile.1/third", b'0', "", &with_map)
        .file("last", "in its place")
        .end();
    let source = fixture.bundle.file("sparse.tar");
    fs::write(&source, [old.0, pax].concat()).unwrap();
    fixture.image(&["import", source.to_str().unwrap(), "sparse"]).success();

    let layer = fixture.layers().remove(0);
    for name in ["old", "first", "second", "third"] {
        let file = fs::File::open(layer.join(name)).unwrap();
        let look = file.metadata().unwrap();
        assert_eq!(look.size(), size, "{name}");
        assert!(look.blocks() * 512 <= 30 * 8192, "{name} takes {} blocks", look.blocks());
        for (offset, data) in &pieces {
            let mut found = [0; 7];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, *offset).unwrap();
            assert_eq!((&found[..5], &found[5..]), (*data, &[0, 0][..]), "{name} at {offset}");
        }
    }
    assert_eq!(fs::read_to_string(layer.join("last")).unwrap(), "in its place");
    assert_eq!(fs::read_dir(&layer).unwrap().count(), 5);
}

/// Layers are unpacked several at a time, and are in their order all the same; one that is broken leaves
/// none of them.
#[test]
fn many_layers_at_once() {
    let mut fixture = Fixture::new();
    let program = fs::read(fixture.bundle.rootfs("bin/busybox")).unwrap();
    let base = Tar::default().program("bin/busybox", &program).file("who", "base").end();
    let mut layers = vec![base];
    layers.extend((1..20).map(|index| Tar::default().file("who", &format!("layer {index}")).end()));
    let source = fixture.bundle.file("layers");
    layout(&source, "many", &layers, json!({"Cmd": ["/bin/busybox", "cat", "/who"]}));
    fixture.image(&["import", source.to_str().unwrap()]).success();
    assert_eq!(fixture.layers().len(), 20);
    fixture.bundle(&["many"]);
    assert_eq!(fixture.bundle.output(), "layer 19");

    let fixture = Fixture::new();
    let source = fixture.bundle.file("layers");
    layers[7] = Tar::default().file("../out", "").end();
    layout(&source, "broken", &layers, json!({}));
    fixture.image(&["import", source.to_str().unwrap()]).failure(&["upwards"]);
    assert_eq!((fixture.layers().len(), fixture.count("tmp")), (0, 0));
    assert!(!fixture.store.join("index.json").exists());
}

/// A layer may hide what a directory below had where it has a file itself, as umoci writes it.
#[test]
fn whiteouts_below_a_file() {
    let fixture = Fixture::new();
    let layer = Tar::default().file("a", "a file now").file("a/.wh.b", "").file("a/.wh..wh..opq", "").end();
    let source = fixture.bundle.file("layout");
    layout(&source, "app", &[Tar::default().dir("a").file("a/b", "").end(), layer], json!({}));
    fixture.image(&["import", source.to_str().unwrap()]).success();
    let contents: Vec<_> = fixture.layers().iter().map(|layer| fs::read_to_string(layer.join("a"))).collect();
    assert!(contents.iter().any(|content| content.as_ref().is_ok_and(|text| text == "a file now")), "{contents:?}");
}

/// The same root file system from a file, from a pipe with a name, and from standard input.
#[test]
fn a_tar_from_anywhere() {
    let fixture = Fixture::new();
    let tar = Tar::default().file("a", "content").end();
    let file = fixture.bundle.file("rootfs.tar");
    fs::write(&file, &tar).unwrap();
    fixture.image(&["import", file.to_str().unwrap(), "file"]).success();
    let fifo = fixture.bundle.file("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writer = {
        let (fifo, tar) = (fifo.clone(), tar.clone());
        std::thread::spawn(move || fs::write(fifo, tar).unwrap())
    };
    fixture.image(&["import", fifo.to_str().unwrap(), "fifo"]).success();
    writer.join().unwrap();
    let mut command =
        fixture.bundle.prepare(&["image", "--store", fixture.store.to_str().unwrap(), "import", "-", "stdin"]);
    command.stdin(fs::File::open(&file).unwrap());
    fixture.bundle.finish(command).success();
    assert_eq!(fixture.layers().len(), 1);
    let listed = fixture.image(&["list"]).success().stdout;
    assert_eq!(listed.lines().count(), 4, "{listed}");
}

/// A plain directory becomes the one layer of an image, with what its files are.
#[test]
fn a_directory() {
    let mut fixture = Fixture::new();
    let rootfs = fixture.bundle.dir.join("rootfs");
    fs::write(rootfs.join("one"), "content").unwrap();
    fs::hard_link(rootfs.join("one"), rootfs.join("two")).unwrap();
    std::os::unix::fs::chown(rootfs.join("one"), Some(7), Some(8)).unwrap();
    fixture.image(&["import", rootfs.to_str().unwrap()]).failure(&["no name"]);
    fixture.image(&["import", rootfs.to_str().unwrap(), "plain"]).success();
    let look = fs::metadata(fixture.layers()[0].join("two")).unwrap();
    assert_eq!((look.nlink(), look.uid(), look.gid(), look.size()), (2, 7, 8, 7));
    let original = fs::metadata(rootfs.join("two")).unwrap();
    assert_eq!((look.mtime(), look.mtime_nsec()), (original.mtime(), original.mtime_nsec()));
    fixture.bundle(&["plain", "--", "/bin/sh", "-c", "cat /one"]);
    assert_eq!(fixture.bundle.output(), "content");
}

/// On a terminal a line says how far it is, and goes at the end; elsewhere there is nothing.
#[test]
fn progress_on_a_terminal() {
    let fixture = Fixture::new();
    let (mut terminal, slave) = Terminal::open(24, 80);
    let store = fixture.store.to_str().unwrap();
    let mut command: Command = fixture.bundle.prepare(&["image", "--store", store, "import", "-", "slow"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(slave).spawn().unwrap();
    drop(command);
    let mut stdin = child.stdin.take().unwrap();
    let data = vec![b'x'; 64 << 10];
    let feeder = std::thread::spawn(move || {
        // As slowly as it takes for a line to be drawn, whenever that is.
        let tar = Tar::default().entry("file", b'0', "", &data.repeat(64)).end();
        for part in tar.chunks(64 << 10) {
            stdin.write_all(part).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    terminal.wait_for("MiB\x1b[K");
    feeder.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(terminal.wait_for("\r\x1b[K").contains("MiB"));

    let file = fixture.bundle.file("rootfs.tar");
    fs::write(&file, Tar::default().file("a", "").end()).unwrap();
    assert_eq!(fixture.image(&["import", file.to_str().unwrap(), "quiet"]).success().stderr, "");
}
