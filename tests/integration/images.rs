//! `image` and `bundle`: the layer store, and bundles made from it (docs/images.md).

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::Stdio;

use crate::harness::image::{Fixture, Tar, digest, gzip, layout};
use crate::harness::{Value, json};

/// From a tar of a root file system to a container that runs in it, and changes nothing of it.
#[test]
fn a_root_file_system_becomes_a_container() {
    let mut fixture = Fixture::new();
    fs::write(fixture.bundle.rootfs("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n").unwrap();
    fixture.import_busybox("busybox");
    let flags = ["--env", "A=b", "--hostname", "boxed", "--user", "web", "--memory", "64m", "--pids", "50"];
    let command = ["--", "/bin/sh", "-c", "id -u; id -g; hostname; echo $A; id -un; cat /etc/passwd | wc -l"];
    fixture.bundle(&[&["busybox"][..], &flags, &command].concat());
    assert_eq!(fixture.bundle.output(), "33\n34\nboxed\nb\nweb\n2\n");
    assert_eq!(fixture.bundle.config["linux"]["resources"]["memory"]["limit"], json!(64 << 20));

    let layers = fixture.store.join("layers/sha256");
    let layer = fs::read_dir(layers).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fixture.bundle.config["annotations"]["org.orlop.overlay.lower"], json!(layer));
    fixture.bundle.set("/process/user", json!({"uid": 0, "gid": 0}));
    fixture.bundle.args(&["/bin/sh", "-c", "rm /etc/passwd; echo new > /etc/new; ls /etc"]);
    assert_eq!(fixture.bundle.output(), "new\n");
    assert!(layer.join("etc/passwd").exists() && !layer.join("etc/new").exists());
}

/// Layers of an image in their order, with what the image says of its process.
#[test]
fn an_oci_layout_with_several_layers() {
    let mut fixture = Fixture::new();
    let program = fs::read(fixture.bundle.rootfs("bin/busybox")).unwrap();
    let base = Tar::default()
        .dir("bin/")
        .program("bin/busybox", &program)
        .pax(&[("mtime", "1500000000.25"), ("SCHILY.xattr.user.note", "kept")])
        .file("etc/base", "base\n")
        .file("etc/gone", "")
        .file("opt/a", "")
        .end();
    let top = Tar::default()
        .file("etc/.wh.gone", "")
        .dir("opt")
        .file("opt/.wh..wh..opq", "")
        .file("opt/b", "")
        .entry("etc/hard", b'1', "opt/b", b"")
        .symlink("etc/soft", "../etc/base")
        .end();
    let defaults = json!({
        "Entrypoint": ["/bin/busybox", "sh", "-c"], "Cmd": ["exit 1"], "Env": ["WHO=image", "ME=image"],
        "WorkingDir": "/opt", "Labels": {"org.orlop.overlay.lower": "/", "a": "b"}, "StopSignal": "SIGQUIT",
    });
    let source = fixture.bundle.file("layout");
    layout(&source, "app:1", &[base, top], defaults);
    assert_eq!(fixture.image(&["import", source.to_str().unwrap()]).success().stdout, "app:1\n");
    let script = "busybox=/bin/busybox; $busybox pwd; $busybox ls /etc /opt; $busybox cat /etc/soft; echo $WHO $ME";
    fixture.bundle(&["app:1", "-e", "ME=me", "--", script]);
    let annotations = &fixture.bundle.config["annotations"];
    assert_eq!(annotations["a"], json!("b"));
    assert_eq!(annotations["org.opencontainers.image.stopSignal"], json!("SIGQUIT"));
    assert_eq!(fixture.bundle.output(), "/opt\n/etc:\nbase\nhard\nsoft\n\n/opt:\nb\nbase\nimage me\n");

    let listed: Value = serde_json::from_str(&fixture.image(&["list", "--format", "json"]).success().stdout).unwrap();
    let layer = |index: usize| {
        let digest = listed[0]["layers"][index].as_str().unwrap();
        fixture.store.join("layers/sha256").join(&digest[7..])
    };
    let whiteout = fs::symlink_metadata(layer(1).join("etc/gone")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let base = fs::metadata(layer(0).join("etc/base")).unwrap();
    assert_eq!((base.mtime(), base.mtime_nsec()), (1_500_000_000, 250_000_000));
    assert_eq!(fs::metadata(layer(1).join("opt/b")).unwrap().nlink(), 2);
}

/// The same image as docker saved it, from standard input and compressed.
#[test]
fn a_docker_archive() {
    let fixture = Fixture::new();
    let layer = Tar::default().file("etc/hello", "hello\n").end();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/hello"]},
                        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}});
    let manifest =
        json!([{"Config": "config.json", "RepoTags": ["hello:2", "hello:latest"], "Layers": ["b/layer.tar"]}]);
    let archive = Tar::default()
        .entry("a/layer.tar", b'0', "", &layer)
        .symlink("b/layer.tar", "../a/layer.tar")
        .file("config.json", &config.to_string())
        .file("manifest.json", &manifest.to_string())
        .end();
    let path = fixture.bundle.file("saved.tar.gz");
    fs::write(&path, gzip(&archive)).unwrap();
    let mut command = fixture.bundle.prepare(&["image", "--store", fixture.store.to_str().unwrap(), "import", "-"]);
    command.stdin(Stdio::from(fs::File::open(&path).unwrap()));
    let output = fixture.bundle.finish(command).success();
    assert_eq!(output.stdout, "hello:2\nhello:latest\n");
    let table = fixture.image(&["list"]).success().stdout;
    assert_eq!(table.lines().filter(|line| line.starts_with("hello:")).count(), 2, "{table}");
    assert_eq!(fixture.count("layers/sha256"), 1);
    assert_eq!(fixture.count("tmp"), 0);
}

/// What a hostile layer says of places outside is not believed; the tree beside the store stays as it is.
#[test]
fn hostile_layers() {
    let tar = Tar::default;
    let refused: Vec<(&str, Vec<u8>, &str)> = vec![
        ("upwards", tar().file("../out", "x").end(), "upwards"),
        ("upwards in the middle", tar().file("a/../../out", "x").end(), "upwards"),
        ("root as a link", tar().symlink(".", "/").file("out", "x").end(), "root of a layer"),
        ("root as a file", tar().file(".", "x").end(), "root of a layer"),
        ("below a file", tar().file("a", "").file("a/b", "x").end(), "not a directory"),
        ("hard link upwards", tar().entry("a", b'1', "../../../etc/passwd", b"").end(), "upwards"),
        ("hard link to nothing", tar().entry("a", b'1', "etc/passwd", b"").end(), "no such file"),
        ("hard link to the root", tar().entry("a", b'1', "/", b"").end(), "root of the layer"),
        ("whiteout of nothing", tar().file(".wh.", "").end(), "whiteout"),
        ("whiteout of ..", tar().file("a/.wh...", "").end(), "whiteout"),
        ("device that is a whiteout", tar().entry("a", b'3', "", b"").end(), "whiteout"),
        (
            "attributes of overlayfs",
            tar().pax(&[("SCHILY.xattr.trusted.overlay.redirect", "/etc")]).file("a", "").end(),
            "overlay",
        ),
        (
            "attributes of a user's overlayfs",
            tar().pax(&[("SCHILY.xattr.user.overlay.opaque", "y")]).dir("a").end(),
            "overlay",
        ),
        ("two lengths", tar().pax(&[("size", "99999999")]).file("a", "x").end(), "two lengths"),
        ("sparse", tar().pax(&[("GNU.sparse.major", "1")]).file("a", "x").end(), "sparse"),
        ("cut off", tar().file("a", "content").end()[..600].to_vec(), "cannot be read"),
        ("a link that dangles as a directory", tar().symlink("a", "/no/such").file("a/b", "x").end(), "file exists"),
    ];
    let fixture = Fixture::new();
    let outside = fixture.bundle.file("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "alive").unwrap();
    for (what, layer, word) in &refused {
        let source = fixture.bundle.file("layout");
        let _ = fs::remove_dir_all(&source);
        layout(&source, "evil", std::slice::from_ref(layer), json!({}));
        let output = fixture.image(&["import", source.to_str().unwrap()]);
        assert_ne!(output.code, 0, "{what}");
        assert!(output.stderr.contains(word), "{what}: {}", output.stderr);
        assert_eq!((fixture.count("tmp"), fixture.count("layers/sha256")), (0, 0), "{what}");
        assert!(!fixture.store.join("index.json").exists(), "{what}");
    }

    let escape = outside.to_str().unwrap();
    let layer = tar()
        .dir(&escape[1..])
        .symlink("way", escape)
        .file("way/written", "x")
        .symlink("up", "../../../../../../..")
        .file(&format!("up{escape}/written"), "x")
        .file("/absolute", "x")
        .file("a", "first")
        .entry("b", b'1', "a", b"")
        .file("a", "second")
        .dir("d/e")
        .file("d", "a file now")
        .entry("link", b'1', "way", b"")
        .file(&format!("{escape}/.wh.canary"), "")
        .file(&format!("{escape}/.wh..wh..opq"), "")
        .end();
    let source = fixture.bundle.file("layout");
    let _ = fs::remove_dir_all(&source);
    layout(&source, "odd", &[layer], json!({}));
    let output = fixture.image(&["import", source.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "alive", "{output:?}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{output:?}");
    output.success();
    let layer = fs::read_dir(fixture.store.join("layers/sha256")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read_to_string(layer.join("a")).unwrap(), "second");
    assert_eq!(fs::read_to_string(layer.join("b")).unwrap(), "first");
    assert_eq!(fs::read_to_string(layer.join("d")).unwrap(), "a file now");
    assert!(fs::symlink_metadata(layer.join("link")).unwrap().is_symlink());
}

/// A long run of zeros takes no disk, and set-id bits, sticky bits and times arrive.
#[test]
fn files_as_they_were() {
    let fixture = Fixture::new();
    let zeros = vec![0; 4 << 20];
    let mut header = tar::Header::new_ustar();
    header.set_size(zeros.len() as u64);
    header.set_mode(0o4755);
    header.set_mtime(1_000_000_000);
    header.set_uid(7);
    header.set_gid(8);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "zeros", zeros.as_slice()).unwrap();
    header.set_size(0);
    header.set_mode(0o1777);
    header.set_entry_type(tar::EntryType::Directory);
    builder.append_data(&mut header, "tmp", &[][..]).unwrap();
    header.set_entry_type(tar::EntryType::Fifo);
    header.set_mode(0o600);
    builder.append_data(&mut header, "tmp/fifo", &[][..]).unwrap();
    let path = fixture.bundle.file("tar");
    fs::write(&path, builder.into_inner().unwrap()).unwrap();
    fixture.image(&["import", path.to_str().unwrap(), "files"]).success();
    let layer = fs::read_dir(fixture.store.join("layers/sha256")).unwrap().next().unwrap().unwrap().path();
    let file = fs::metadata(layer.join("zeros")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid(), file.size()), (0o4755, 7, 8, 4 << 20));
    assert_eq!((file.mtime(), file.blocks()), (1_000_000_000, 0));
    let dir = fs::metadata(layer.join("tmp")).unwrap();
    assert_eq!((dir.mode() & 0o7777, dir.mtime()), (0o1777, 1_000_000_000));
    assert!(fs::symlink_metadata(layer.join("tmp/fifo")).unwrap().file_type().is_fifo());
}

/// Blobs and layers that are not what they are said to be are refused, and found later.
#[test]
fn digests_are_verified() {
    let fixture = Fixture::new();
    let source = fixture.bundle.file("layout");
    let layer = Tar::default().file("a", "x").end();
    layout(&source, "good", std::slice::from_ref(&layer), json!({}));
    let blob = source.join("blobs/sha256").join(&digest(&gzip(&layer))[7..]);
    let good = fs::read(&blob).unwrap();
    fs::write(&blob, gzip(&Tar::default().file("a", "y").end())).unwrap();
    let refused = fixture.image(&["import", source.to_str().unwrap()]).failure(&["its content has digest"]);
    assert!(refused.stderr.contains(&digest(&gzip(&layer))), "{refused:?}");
    fs::write(&blob, good).unwrap();
    fixture.image(&["import", source.to_str().unwrap()]).success();
    fixture.image(&["verify"]).success();
    let stored = fixture.store.join("blobs/sha256").join(blob.file_name().unwrap());
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&stored, "spoiled").unwrap();
    fixture.image(&["verify"]).failure(&["not what the digest says", &digest(&gzip(&layer))]);
}

/// Two images share a base that is there once; prune removes what nobody leads to, and a container keeps
/// its layers when image and bundle are gone.
#[test]
fn prune_keeps_what_is_in_use() {
    let mut fixture = Fixture::new();
    let program = fs::read(fixture.bundle.rootfs("bin/busybox")).unwrap();
    let base = Tar::default().program("bin/busybox", &program).dir("proc").dir("dev").dir("sys").end();
    for name in ["one", "two"] {
        let source = fixture.bundle.file(name);
        let own = Tar::default().file("name", name).end();
        layout(&source, name, &[base.clone(), own], json!({"Cmd": ["/bin/busybox", "sleep", "1000"]}));
        fixture.image(&["import", source.to_str().unwrap()]).success();
    }
    assert_eq!(fixture.count("layers/sha256"), 3);
    fixture.bundle(&["one"]);
    let container = fixture.bundle.create();
    container.start();
    fs::remove_dir_all(&fixture.bundle.dir).unwrap();
    fixture.image(&["remove", "one"]).success();
    fixture.image(&["prune"]).success();
    assert_eq!(fixture.count("layers/sha256"), 3, "a container uses the layers");
    container.stop();
    container.delete();
    let pruned = fixture.image(&["prune"]).success().stdout;
    assert!(pruned.starts_with("1 layers and "), "{pruned}");
    fixture.image(&["inspect", "one"]).failure(&["\"one\" does not exist"]);
    fixture.image(&["inspect", "two"]).success();
    fixture.image(&["tag", "two", "three"]).success();
    fixture.image(&["remove", "two"]).success();
    fixture.image(&["prune"]).success();
    assert_eq!(fixture.count("layers/sha256"), 2);
    fixture.image(&["remove", "three"]).success();
    fixture.image(&["prune"]).success();
    assert_eq!((fixture.count("layers/sha256"), fixture.count("blobs/sha256")), (0, 0));
}

/// What is wrong is said, and nothing is written.
#[test]
fn mistakes() {
    let mut fixture = Fixture::new();
    fixture.import_busybox("box");
    for (args, words) in [
        (&["none"][..], &["\"none\" does not exist"][..]),
        (&["box"], &["no command"]),
        (&["box", "--user", "nobody", "--", "/bin/true"], &["user \"nobody\""]),
        (&["box", "--volume", "a:b", "--", "/bin/true"], &["--volume"]),
        (&["box", "--memory", "much", "--", "/bin/true"], &["--memory", "much"]),
        (&["box", "--cpus", "0", "--", "/bin/true"], &["--cpus"]),
    ] {
        fixture.try_bundle(args).failure(words);
        assert!(!fixture.dir().exists(), "{args:?}");
    }
    fixture.bundle(&["box", "--", "/bin/true"]);
    fixture.try_bundle(&["box", "--", "/bin/true"]).failure(&["file exists"]);
    let empty = fixture.bundle.file("empty");
    fs::write(&empty, "").unwrap();
    fixture.image(&["import", empty.to_str().unwrap(), "x"]).failure(&["empty"]);
    let rootfs = fixture.bundle.file("busybox.tar");
    fixture.image(&["import", rootfs.to_str().unwrap()]).failure(&["no name"]);
    fixture.image(&["import", "/no/such/file", "x"]).failure(&["/no/such/file", "no such file or directory"]);
}
