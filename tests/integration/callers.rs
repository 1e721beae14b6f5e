//! Callers in bad shape: each command works all the same, or says what is in its way and leaves nothing.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow};

use crate::harness::{Bundle, Output, host, json};

/// Runs a command of the runtime in a process that has been through `preparation` before.
#[track_caller]
fn after(
    bundle: &Bundle,
    args: &[&str],
    preparation: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> Output {
    let mut command = bundle.prepare(args);
    #[allow(unsafe_code)]
    // SAFETY: the preparations make system calls, on memory that was ready before the fork.
    unsafe {
        command.pre_exec(preparation);
    }
    bundle.finish(command)
}

fn create(bundle: &Bundle) -> [&str; 4] {
    ["create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]
}

/// `create` in that shape, and if it works, the rest of a container's life; else an error and nothing left.
/// Says whether it worked.
#[track_caller]
fn works_or_says_why(
    bundle: &Bundle,
    shape: &str,
    preparation: impl FnMut() -> io::Result<()> + Send + Sync + Clone + 'static,
) -> bool {
    let created = after(bundle, &create(bundle), preparation.clone());
    assert!(created.code < 128 && !created.stderr.contains("panicked"), "{shape}: {created:?}");
    if created.code != 0 {
        assert!(!created.stderr.is_empty(), "{shape}: failed without a word");
        assert_eq!(bundle.scratch().lasting_leftovers(), Vec::<String>::new(), "{shape}: {}", created.stderr);
        return false;
    }
    let started = after(bundle, &["start", &bundle.id], preparation.clone());
    assert!(started.code < 128 && (started.code == 0 || !started.stderr.is_empty()), "{shape}: {started:?}");
    let deleted = after(bundle, &["delete", "--force", &bundle.id], preparation);
    assert!(deleted.code < 128, "{shape}: {deleted:?}");
    if deleted.code != 0 {
        assert!(!deleted.stderr.is_empty(), "{shape}: failed without a word");
        bundle.command(&["delete", "--force", &bundle.id]).success();
    }
    assert_eq!(bundle.scratch().lasting_leftovers(), Vec::<String>::new(), "{shape}");
    true
}

fn sleeping() -> Bundle {
    let bundle = Bundle::with_script("exec sleep 1000");
    bundle.write();
    bundle
}

/// Each combination of closed standard descriptors, for each command.
#[test]
fn closed_descriptors() {
    let bundle = sleeping();
    for closed in 0..8 {
        let close = move || {
            for fd in (0..3).filter(|fd| closed >> fd & 1 == 1) {
                nix::unistd::close(fd)?;
            }
            Ok(())
        };
        after(&bundle, &create(&bundle), close).success();
        after(&bundle, &["start", &bundle.id], close).success();
        after(&bundle, &["exec", &bundle.id, "/bin/true"], close).success();
        let state = after(&bundle, &["state", &bundle.id], close).success();
        assert_eq!(state.stdout.is_empty(), closed & 2 == 2, "{closed}");
        after(&bundle, &["kill", &bundle.id, "KILL"], close).success();
        after(&bundle, &["delete", "--force", &bundle.id], close).success();
        bundle.assert_clean();
    }
}

/// What is made on the host has modes of its own: nobody else may read or write it.
#[test]
fn any_umask() {
    let bundle = sleeping();
    for mask in [0, 0o777] {
        let set = move || {
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
            Ok(())
        };
        after(&bundle, &create(&bundle), set).success();
        let dir = bundle.state_root().join(&bundle.id);
        for name in ["", "state.json", "config.json"] {
            let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "umask {mask:o}: {name}: {mode:o}");
        }
        after(&bundle, &["start", &bundle.id], set).success();
        after(&bundle, &["exec", &bundle.id, "/bin/true"], set).success();
        after(&bundle, &["update", "--pids-limit=20", &bundle.id], set).success();
        after(&bundle, &["delete", "--force", &bundle.id], set).success();
        bundle.assert_clean();
        fs::remove_dir(bundle.state_root()).unwrap();
    }
}

/// All signals blocked, and all that can be ignored ignored.
#[test]
fn deaf() {
    let mut bundle = sleeping();
    bundle.hook("createRuntime", "exit 0").hook("poststart", "exit 0").hook("poststop", "exit 0").write();
    let deafen = || {
        SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        for number in 1..=libc::SIGRTMAX() {
            #[allow(unsafe_code)]
            // SAFETY: no handler is installed.
            unsafe {
                libc::signal(number, libc::SIG_IGN);
            }
        }
        Ok(())
    };
    after(&bundle, &create(&bundle), deafen).success();
    after(&bundle, &["start", &bundle.id], deafen).success();
    let seen = after(&bundle, &["exec", &bundle.id, "/bin/sh", "-c", "grep Sig /proc/self/status; exit 7"], deafen);
    assert_eq!(seen.code, 7, "{seen:?}");
    for field in ["SigBlk", "SigIgn"] {
        assert!(seen.stdout.contains(&format!("{field}:\t0000000000000000")), "{seen:?}");
    }
    after(&bundle, &["delete", "--force", &bundle.id], deafen).success();
    bundle.assert_clean();
    bundle.script("exit 5").write();
    let run = ["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id];
    assert_eq!(after(&bundle, &run, deafen).code, 5);
    bundle.assert_clean();
}

/// Soft and hard limits of the caller's process, from what is too little to what is enough.
#[test]
fn small_limits() {
    let mut bundle = sleeping();
    bundle.hook("createRuntime", "exit 0").remove("/process/rlimits").write();
    let sizes: &[(Resource, &[u64])] = &[
        (Resource::RLIMIT_NOFILE, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 64]),
        (Resource::RLIMIT_FSIZE, &[512, 4096]),
        (Resource::RLIMIT_NPROC, &[0, 1]),
        // Less than that is too little for the C library's own start.
        (Resource::RLIMIT_STACK, &[131_072, 262_144]),
        (Resource::RLIMIT_MEMLOCK, &[0]),
        (Resource::RLIMIT_SIGPENDING, &[0]),
    ];
    let mut worked = Vec::new();
    for &(resource, values) in sizes {
        for &value in values {
            let limit = move || Ok(setrlimit(resource, value, value)?);
            if works_or_says_why(&bundle, &format!("{resource:?} {value}"), limit) {
                worked.push((resource, value));
            }
        }
    }
    for expected in [(Resource::RLIMIT_NOFILE, 64), (Resource::RLIMIT_NPROC, 0), (Resource::RLIMIT_STACK, 131_072)] {
        assert!(worked.contains(&expected), "{expected:?} is enough: {worked:?}");
    }
}

/// A mount namespace of its own, in which something is laid over a directory.
fn covered(
    kind: &'static str,
    dir: &Path,
    options: &str,
) -> impl FnMut() -> io::Result<()> + Send + Sync + Clone + 'static {
    let dir = CString::new(dir.to_str().unwrap()).unwrap();
    let options = CString::new(options).unwrap();
    move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        match kind {
            "read-only" => {
                mount(Some(&*dir), &*dir, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
                let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
                mount(None::<&str>, &*dir, None::<&str>, flags, None::<&str>)?;
            }
            kind => mount(Some("none"), &*dir, Some(kind), MsFlags::empty(), Some(&*options))?,
        }
        Ok(())
    }
}

/// Without /proc no command guesses.
#[test]
fn no_proc() {
    let bundle = sleeping();
    let hide = covered("tmpfs", Path::new("/proc"), "size=4k");
    let refused = after(&bundle, &create(&bundle), hide.clone()).failure(&["/proc"]);
    assert!(refused.code < 128, "{refused:?}");
    bundle.assert_clean();
    let container = bundle.create();
    container.start();
    for args in
        [&["state"][..], &["kill"], &["delete"], &["delete", "--force"], &["exec"], &["update", "--pids-limit=7"]]
    {
        let last: &[&str] = if args[0] == "exec" { &["/bin/true"] } else { &[] };
        let refused = after(&bundle, &[args, &[&*bundle.id], last].concat(), hide.clone()).failure(&["/proc"]);
        // As with runc, what exec itself could not do is told apart from what its program returns.
        let own = if args[0] == "exec" { 255 } else { 1 };
        assert_eq!(refused.code, own, "{args:?}: {refused:?}");
    }
    assert_eq!(container.status(), "running");
}

/// A state root that cannot be written to: nothing is made. What is there already can be looked at.
#[test]
fn read_only_state() {
    let bundle = sleeping();
    fs::create_dir(bundle.state_root()).unwrap();
    let protect = covered("read-only", &bundle.state_root(), "");
    after(&bundle, &create(&bundle), protect.clone()).failure(&["EROFS"]);
    bundle.assert_clean();
    let container = bundle.create();
    let started = after(&bundle, &["start", &bundle.id], protect.clone()).success();
    assert!(started.stderr.contains("warning") && started.stderr.contains("start.sock"), "{started:?}");
    assert_eq!(container.status(), "running");
    after(&bundle, &["state", &bundle.id], protect.clone()).success();
    after(&bundle, &["update", "--pids-limit=20", &bundle.id], protect.clone()).failure(&["EROFS"]);
    after(&bundle, &["delete", "--force", &bundle.id], protect).failure(&["EROFS"]);
    container.try_delete(&["--force"]).success();
    container.wait();
    bundle.assert_clean();
}

/// A state root on a file system with room for little: create works or leaves nothing, and a container
/// that is there can be deleted however full it is.
#[test]
fn full_disk() {
    let bundle = sleeping();
    let root = bundle.state_root();
    fs::create_dir(&root).unwrap();
    let mut worked = Vec::new();
    for options in [
        "size=4k",
        "size=8k",
        "size=12k",
        "nr_inodes=1",
        "nr_inodes=2",
        "nr_inodes=3",
        "nr_inodes=4",
        "nr_inodes=5",
        "size=256k",
    ] {
        let filesystem = mount(Some("host"), &root, Some("tmpfs"), MsFlags::empty(), Some(options));
        filesystem.unwrap();
        let output = bundle.spawn_create(&bundle.id, &[]).finish();
        worked.push(output.code == 0);
        if output.code == 0 {
            // Whatever is left of it.
            let _ = fs::write(root.join(".filler"), vec![0; 1 << 20]);
            bundle.command(&["start", &bundle.id]).success();
            let update = bundle.command(&["update", "--pids-limit=20", &bundle.id]);
            assert!(update.code == 0 || update.stderr.contains("ENOSPC"), "{update:?}");
            bundle.command(&["delete", "--force", &bundle.id]).success();
            let _ = fs::remove_file(root.join(".filler"));
        } else {
            assert!(output.stderr.contains("ENOSPC"), "{options}: {output:?}");
        }
        let left: Vec<_> = fs::read_dir(&root).unwrap().flatten().map(|entry| entry.path()).collect();
        nix::mount::umount(&root).unwrap();
        assert_eq!(left, Vec::<std::path::PathBuf>::new(), "{options}");
        bundle.assert_clean();
    }
    assert!(!worked[0] && worked[worked.len() - 1], "{worked:?}");
}

/// A relative path means nothing where the working directory is gone; an absolute one does.
#[test]
fn no_working_directory() {
    let bundle = sleeping();
    let gone = CString::new(bundle.file("gone").to_str().unwrap()).unwrap();
    let leave = move || {
        nix::unistd::mkdir(&*gone, nix::sys::stat::Mode::S_IRWXU)?;
        nix::unistd::chdir(&*gone)?;
        #[allow(unsafe_code)]
        // SAFETY: a NUL-terminated path.
        let removed = unsafe { libc::rmdir(gone.as_ptr()) };
        if removed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    let refused = after(&bundle, &["create", "--bundle", "bundle", &bundle.id], leave.clone())
        .failure(&["bundle: getcwd: ENOENT"]);
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    after(&bundle, &create(&bundle), leave.clone()).success();
    after(&bundle, &["start", &bundle.id], leave.clone()).success();
    after(&bundle, &["exec", &bundle.id, "/bin/true"], leave.clone()).success();
    after(&bundle, &["delete", "--force", &bundle.id], leave).success();
    bundle.assert_clean();
}

/// An environment and a command line of a mebibyte, the caller's and the container's.
#[test]
fn long_lists() {
    let mut bundle = sleeping();
    let words: Vec<String> = (0..16).map(|number| format!("V{number}={}", "x".repeat(65_000))).collect();
    let mut command = bundle.prepare(&create(&bundle));
    command.envs(words.iter().map(|word| word.split_once('=').unwrap()));
    bundle.finish(command).success();
    bundle.command(&["start", &bundle.id]).success();
    let args: Vec<&str> = words.iter().map(String::as_str).collect();
    let count = ["exec", &bundle.id, "/bin/sh", "-c", "echo $#", "sh"];
    assert_eq!(bundle.command(&[&count, &args[..]].concat()).success().stdout, "16\n");
    bundle.command(&["delete", "--force", &bundle.id]).success();
    bundle.set("/process/env", json!([vec!["PATH=/bin"], args.clone()].concat()));
    bundle.args(&[&["/bin/sh", "-c", "echo $# ${#V7}", "sh"], &args[..]].concat());
    assert_eq!(bundle.run_after("ulimit -s 16384", &[]).success().stdout, "16 65000\n");
    // One word longer than the kernel takes.
    bundle.remove("/process/env").args(&["/bin/true", &"x".repeat(1 << 20)]);
    let refused = bundle.run().failure(&["E2BIG"]);
    assert!(refused.stderr.len() < 1000, "{} bytes", refused.stderr.len());
    bundle.assert_clean();
}

/// A thousand mounts.
#[test]
fn many_mounts() {
    let mut bundle = Bundle::with_script("wc -l < /proc/self/mountinfo");
    let source = bundle.rootfs("etc");
    for number in 0..500 {
        bundle.mount(&format!("/mnt/t{number}"), "tmpfs", "tmpfs", &["size=4k"]);
        bundle.mount(&format!("/mnt/b{number}"), "bind", source.to_str().unwrap(), &["bind", "ro"]);
    }
    let mounts: usize = bundle.output().trim().parse().unwrap();
    assert!((1000..1020).contains(&mounts), "{mounts}");
    bundle.mount("/mnt/last", "tmpfs", "tmpfs", &["size=nonsense"]);
    bundle.refused(&["mounts[1006]"]);
}

/// Ten thousand hooks: kept for later commands, or the first that fails is the last.
#[test]
fn many_hooks() {
    let mut bundle = sleeping();
    let hooks = |path: &str| json!(vec![json!({"path": path, "args": ["hook", "argument"], "env": ["A=b"]}); 10_000]);
    bundle.set("/hooks", json!({"poststart": hooks("/bin/true")}));
    let container = bundle.create();
    assert_eq!(container.status(), "created");
    container.try_delete(&["--force"]).success();
    bundle.set("/hooks", json!({"createRuntime": hooks("/bin/false")}));
    bundle.refused(&["hooks.createRuntime[0]"]);
}

/// A configuration of 64 MiB: of blanks, and of an annotation.
#[test]
fn large_configuration() {
    const LARGE: usize = 64 << 20;
    let mut bundle = sleeping();
    let mut text = serde_json::to_vec(&bundle.config).unwrap();
    text.resize(LARGE, b' ');
    bundle.write_raw(&text);
    bundle.spawn_create(&bundle.id, &[]).finish().success();
    bundle.command(&["start", &bundle.id]).success();
    bundle.command(&["delete", "--force", &bundle.id]).success();
    bundle.set("/annotations", json!({"org.example.large": "x".repeat(LARGE)})).write();
    bundle.spawn_create(&bundle.id, &[]).finish().success();
    assert!(bundle.command(&["state", &bundle.id]).success().stdout.len() > LARGE);
    bundle.command(&["delete", "--force", &bundle.id]).success();
    bundle.assert_clean();
}

/// However deep a configuration is nested: refused, or passed over where nobody reads it.
#[test]
fn deep_nesting() {
    let bundle = sleeping();
    let text = bundle.config.to_string();
    for depth in [100, 127, 128, 129, 1000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = [open.repeat(depth), "1".to_owned(), close.repeat(depth)].concat();
            for member in ["x-unknown", "annotations", "mounts", "process"] {
                bundle.write_raw(format!("{{\"{member}\":{nested},{}", &text[1..]).as_bytes());
                works_or_says_why(&bundle, &format!("{member}: {depth} deep {open}"), || Ok(()));
            }
            // Without an end.
            bundle.write_raw(open.repeat(depth).as_bytes());
            bundle.refused_as_written(&["config.json"]);
        }
    }
    assert!(host::processes(bundle.tag()).is_empty());
}
