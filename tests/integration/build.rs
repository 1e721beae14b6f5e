//! `build`: images from a Containerfile (docs/images.md).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::harness::image::{Fixture, Tar, gzip};
use crate::harness::{Output, Value, json};

/// A store with the image `box` of busybox, and a context to build in.
fn fixture(files: &[(&str, &str)]) -> Fixture {
    let fixture = Fixture::new();
    fs::write(fixture.bundle.rootfs("etc/passwd"), "root:x:0:0::/:\nweb:x:33:34::/:\n").unwrap();
    symlink("/etc", fixture.bundle.rootfs("way")).unwrap();
    symlink("../../../..", fixture.bundle.rootfs("up")).unwrap();
    fixture.import_busybox("box");
    for (name, content) in files {
        write(&fixture, name, content);
    }
    fixture
}

fn context(fixture: &Fixture) -> PathBuf {
    fixture.bundle.file("context")
}

fn write(fixture: &Fixture, name: &str, content: &str) {
    let path = context(fixture).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn build(fixture: &Fixture, flags: &[&str]) -> Output {
    let (store, context) = (fixture.store.to_str().unwrap(), context(fixture));
    fixture.bundle.command(&[&["build", "--store", store], flags, &[context.to_str().unwrap()]].concat())
}

/// The configuration of an image.
fn config(fixture: &Fixture, name: &str) -> Value {
    let found: Value = serde_json::from_str(&fixture.image(&["inspect", name]).success().stdout).unwrap();
    found["config"].clone()
}

/// What a container of the image prints, run as the image says or with another command.
fn output(fixture: &mut Fixture, image: &str, command: &[&str]) -> String {
    let _ = fs::remove_file(fixture.dir().join("config.json"));
    fixture.bundle(&[&[image, "--"], command].concat());
    fixture.bundle.output()
}

/// Every instruction, in two stages; the image runs as it says.
#[test]
fn every_instruction() {
    let text = r#"# The stage that makes something
ARG BASE=none
FROM $BASE AS maker
ARG WORD=default
ENV GREETING="hello $WORD"
WORKDIR /work
RUN echo "$GREETING" > made && \
    # not part of it
    chmod 640 made
RUN ["/bin/sh", "-c", "pwd > where; id -u > who"]
SHELL ["/bin/sh", "-ec"]
RUN echo $0 > shell; false || echo kept >> shell

FROM box
LABEL one=1 "two words"="a b"
WORKDIR /srv
WORKDIR app
COPY --from=maker --chown=web /work/ ./made/
COPY --chmod=755 run.sh /bin/run
COPY one.txt two.* texts/
ADD archive.tar.gz /unpacked/
ENV A=1 B=${A:-none}
USER web:34
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/bin/run"]
CMD ["one", "$two"]
"#;
    let mut fixture = fixture(&[
        ("Containerfile", text),
        (
            "run.sh",
            "#!/bin/sh\necho $A $B \"$@\"; pwd; id -u; id -g; cat made/* texts/*; stat -c '%a %u %g' made/made /bin/run\n",
        ),
        ("one.txt", "first\n"),
        ("two.txt", "second\n"),
    ]);
    let archive = gzip(&Tar::default().dir("d").file("d/file", "x").symlink("d/link", "file").end());
    fs::write(context(&fixture).join("archive.tar.gz"), archive).unwrap();
    let built =
        build(&fixture, &["-t", "app", "-t", "other:1", "--build-arg", "BASE=box", "--build-arg", "WORD=world"]);
    let digest = built.success().stdout.lines().last().unwrap().to_owned();
    assert!(digest.starts_with("sha256:"), "{digest}");
    fixture.image(&["inspect", "other:1"]).success();
    let config = config(&fixture, "app");
    assert_eq!(
        config["config"],
        json!({"User": "web:34", "Env": ["A=1", "B=none"], "Entrypoint": ["/bin/run"], "Cmd": ["one", "$two"],
               "WorkingDir": "/srv/app", "Labels": {"one": "1", "two words": "a b"}, "StopSignal": "SIGQUIT",
               "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Volumes": {"/data": {}}})
    );
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.last().unwrap()["created_by"], json!("CMD [\"one\", \"$two\"]"));
    let layers = history.iter().filter(|step| step["empty_layer"] != json!(true)).count();
    assert_eq!(layers, config["rootfs"]["diff_ids"].as_array().unwrap().len());
    let expected =
        "1 none one $two\n/srv/app\n33\n34\nhello world\n/bin/sh\nkept\n/work\n0\nfirst\nsecond\n640 33 34\n755 0 0\n";
    fixture.bundle(&["app"]);
    assert_eq!(fixture.bundle.output(), expected);
    assert_eq!(output(&mut fixture, "app", &["x"]).lines().next(), Some("1 none x"));
    assert_eq!(fixture.count("tmp"), 0);
}

/// A step is run again only if something that it depends on has changed.
#[test]
fn what_was_done_before() {
    let text = "FROM box\nCOPY in /in\nRUN cat /in > /out; echo $RANDOM-$$-$(date) >> /out\nARG X\nRUN echo $X > /x";
    let mut fixture = fixture(&[("Containerfile", text), ("in", "1\n"), (".containerignore", "ignored\n")]);
    let layers = |fixture: &Fixture, flags: &[&str]| {
        build(fixture, &[&["-t", "made"], flags].concat()).success();
        config(fixture, "made")["rootfs"]["diff_ids"].as_array().unwrap().clone()
    };
    let first = layers(&fixture, &["--build-arg", "X=1"]);
    assert_eq!(first.len(), 4);
    write(&fixture, "ignored", "of no account");
    assert_eq!(layers(&fixture, &["--build-arg", "X=1"]), first);
    let argument = layers(&fixture, &["--build-arg", "X=2"]);
    assert_eq!((&argument[..3], argument[3] == first[3]), (&first[..3], false));
    write(&fixture, "in", "2\n");
    let changed = layers(&fixture, &["--build-arg", "X=1"]);
    assert!(changed[0] == first[0] && changed[1] != first[1] && changed[2] != first[2]);
    assert!(output(&mut fixture, "made", &["/bin/cat", "/out"]).starts_with("2\n"));
    fixture.image(&["remove", "made"]).success();
    fs::remove_dir_all(fixture.dir()).unwrap();
    fixture.image(&["prune"]).success();
    assert_eq!((fixture.count("layers/sha256"), fixture.count("cache")), (1, 0));
    assert_eq!(layers(&fixture, &["--no-cache"]).len(), 4);
}

/// Stages that are not needed are not made; `--target` makes another.
#[test]
fn stages() {
    let text =
        "FROM box AS one\nRUN echo one > /one\nFROM nowhere AS broken\nRUN exit 9\nFROM one AS two\nRUN echo two > /two
FROM scratch\nCOPY --from=two /one /two /\nCOPY --from=box /bin/busybox /bin/\nCOPY --from=0 /one /bin/\n";
    let mut fixture = fixture(&[("Containerfile", text)]);
    build(&fixture, &["-t", "last"]).success();
    assert_eq!(output(&mut fixture, "last", &["/bin/busybox", "cat", "/one", "/two", "/bin/one"]), "one\ntwo\none\n");
    assert_eq!(output(&mut fixture, "last", &["/bin/busybox", "ls", "/bin"]), "busybox\none\n");
    build(&fixture, &["-t", "target", "--target", "two"]).success();
    assert_eq!(output(&mut fixture, "target", &["/bin/cat", "/one", "/two"]), "one\ntwo\n");
    build(&fixture, &["--target", "broken"]).failure(&["Containerfile:3", "\"nowhere\" does not exist"]);
    build(&fixture, &["--target", "none"]).failure(&["--target", "none"]);
}

/// A destination is a place in the image, wherever its links lead; what is there is replaced, not followed.
#[test]
fn a_hostile_image() {
    let outside = "/etc/orlop-test-canary";
    let text = "FROM box\nRUN ln -s /etc/target /file && echo old > /etc/target && ln -s /way /again
COPY in /way/orlop-test-canary\nCOPY in /up/up/etc/second\nCOPY tree /again/\nCOPY in /file\nADD in /up/added/";
    let mut fixture = fixture(&[("Containerfile", text), ("in", "new\n"), ("tree/sub/file", "x\n")]);
    build(&fixture, &["-t", "made"]).success();
    assert!(!Path::new(outside).exists());
    let script =
        "cat /etc/orlop-test-canary /etc/second /etc/sub/file /file /etc/target /added/in; ls -l /way | cut -c1";
    assert_eq!(output(&mut fixture, "made", &["/bin/sh", "-c", script]), "new\nnew\nx\nnew\nold\nnew\nl\n");
}

/// Nothing is copied that is not in the context, or that is left out of it.
#[test]
fn the_context_is_all_there_is() {
    let mut fixture = fixture(&[
        (".dockerignore", "*.log\nsecret\n!secret/shown\n"),
        ("a/b/file", "x\n"),
        ("c.log", "x\n"),
        ("secret/hidden", "x\n"),
        ("secret/shown", "x\n"),
    ]);
    let other = fixture.bundle.file("other");
    fs::write(&other, "out\n").unwrap();
    symlink(&other, context(&fixture).join("absolute")).unwrap();
    symlink("../other", context(&fixture).join("relative")).unwrap();
    symlink("a/b/file", context(&fixture).join("inside")).unwrap();
    fs::set_permissions(context(&fixture).join("a/b"), fs::Permissions::from_mode(0o750)).unwrap();
    for (source, words) in [
        ("../other", "out of the context"),
        ("a/../../other", "out of the context"),
        ("absolute", "out of the context"),
        ("relative", "out of the context"),
        ("c.log", "no such file"),
        ("secret/hidden", "no such file"),
        ("none*", "no such file"),
        ("https://example.org/x", "network"),
    ] {
        write(&fixture, "File", &format!("FROM box\nADD {source} /x"));
        let file = context(&fixture).join("File");
        build(&fixture, &["-f", file.to_str().unwrap()]).failure(&["File:2: ", words]);
    }
    write(&fixture, "Dockerfile", "FROM box\nCOPY . /all/\nCOPY inside /inside");
    build(&fixture, &["-t", "made"]).success();
    let script = "cd /all; ls -A . secret a/b; readlink absolute; stat -c '%a %u %F' a/b /inside";
    assert_eq!(
        output(&mut fixture, "made", &["/bin/sh", "-c", script]),
        format!(
            ".:\n.dockerignore\nDockerfile\nFile\na\nabsolute\ninside\nrelative\nsecret\n\na/b:\nfile\n\nsecret:\nshown\n{}\n\
             750 0 directory\n644 0 regular file\n",
            other.display()
        )
    );
}

/// What is wrong is said with file and line, and leaves nothing.
#[test]
fn mistakes() {
    let fixture = fixture(&[("in", "x"), ("also", "x"), ("xz.tar.xz", "\u{fd}")]);
    let mut xz = fs::File::create(context(&fixture).join("x.tar.xz")).unwrap();
    xz.write_all(b"\xfd7zXZ\0rest").unwrap();
    let before = (fixture.count("blobs/sha256"), fixture.count("layers/sha256"));
    for (text, words) in [
        ("FROM none", &["Containerfile:1", "\"none\" does not exist"][..]),
        ("FROM box\n\nRUN exit 7", &["Containerfile:3", "status 7"]),
        ("FROM box\nRUN [\"/no/such\"]", &["Containerfile:2", "no such file"]),
        ("FROM box\nHEALTHCHECK CMD true", &["Containerfile:2", "HEALTHCHECK is not supported"]),
        ("FROM box\nRUN --mount=type=cache,target=/x true", &["Containerfile:2", "--mount is not supported"]),
        ("FROM box\nCOPY in", &["Containerfile:2", "destination"]),
        ("FROM box\nCOPY in also /x", &["Containerfile:2", "slash"]),
        ("FROM box\nCOPY --chown=nobody in /x", &["Containerfile:2", "nobody"]),
        ("FROM box\nCOPY --chmod=u+x in /x", &["Containerfile:2", "--chmod"]),
        ("FROM box\nCOPY in /etc/passwd/x", &["Containerfile:2", "not a directory"]),
        ("FROM box\nADD x.tar.xz /", &["Containerfile:2", "xz"]),
        ("FROM box\nENV A", &["Containerfile:2", "needs a value"]),
        ("FROM scratch\nRUN true", &["Containerfile:2", "scratch"]),
        ("", &["Containerfile", "no FROM"]),
    ] {
        write(&fixture, "Containerfile", text);
        build(&fixture, &["-t", "made"]).failure(words);
        assert_eq!(fixture.count("tmp"), 0, "{text}");
        assert_eq!((fixture.count("blobs/sha256"), fixture.count("layers/sha256")), before, "{text}");
    }
    fixture.image(&["inspect", "made"]).failure(&["does not exist"]);
    fs::remove_file(context(&fixture).join("Containerfile")).unwrap();
    build(&fixture, &[]).failure(&["neither Containerfile nor Dockerfile"]);
    fixture.bundle.assert_clean();
}
