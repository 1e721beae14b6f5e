//! `delete` (runtime.md, "Delete").

use std::fs;

use crate::harness::{Bundle, cgroup, eventually, host, runtime};

/// RT-54: an id is needed, and a known one; `--force` is content with an unknown one.
#[test]
fn needs_a_known_id() {
    let bundle = Bundle::new();
    bundle.command(&["delete"]).failure(&[]);
    bundle.command(&["delete", "no-such-container"]).failure(&["does not exist"]);
    bundle.command(&["delete", "--force", "no-such-container"]).success();
}

/// RT-55: a created container is not stopped: it cannot be deleted, and can still be started.
#[test]
fn created_container_is_refused() {
    let bundle = Bundle::with_script("echo ran");
    let container = bundle.create();
    container.try_delete(&[]).failure(&["created"]);
    assert_eq!(container.status(), "created");
    assert_eq!(container.output(), "ran\n");
}

/// RT-55: neither can a running one.
#[test]
fn running_container_is_refused() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    container.start();
    container.try_delete(&[]).failure(&["running"]);
    assert_eq!(container.status(), "running");
    assert!(!container.link("ns/mnt").is_empty());
}

/// RT-56: `--force` kills and deletes, whatever the status.
#[test]
fn force() {
    for flag in ["--force", "-f"] {
        let bundle = Bundle::with_script("exec sleep 1000");
        let created = bundle.create();
        created.try_delete(&[flag]).success();
        assert_eq!(created.wait(), 137);
        bundle.assert_clean();

        let running = bundle.create();
        running.start().try_delete(&[flag]).success();
        assert_eq!(running.wait(), 137);
        bundle.assert_clean();
    }
}

/// Several ids in one command; one that fails does not keep the others.
#[test]
fn several() {
    let bundle = Bundle::with_script("exit 0");
    let ids = [format!("{}-a", bundle.id), format!("{}-b", bundle.id)];
    bundle.write();
    let mut config = bundle.config.clone();
    for id in &ids {
        config["linux"]["cgroupsPath"] = format!("/{id}").into();
        bundle.write_raw(config.to_string().as_bytes());
        bundle.create_as(id, &[]).stop();
    }
    bundle
        .command(&["delete", &ids[0], "no-such-container", &ids[1]])
        .failure(&["no-such-container", "does not exist"]);
    bundle.assert_clean();
}

/// A second delete finds nothing.
#[test]
fn twice() {
    let bundle = Bundle::with_script("exit 0");
    let container = bundle.create();
    container.stop();
    container.try_delete(&[]).success();
    container.try_delete(&[]).failure(&["does not exist"]);
}

/// RT-57: cgroups that were there before, bind sources and the root file system stay.
#[test]
fn leaves_what_it_did_not_make() {
    let mut bundle = Bundle::with_script("echo new > /data/new; exit 0");
    let source = bundle.file("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("old"), "old").unwrap();
    bundle.mount("/data", "bind", source.to_str().unwrap(), &["bind"]);
    let parent = format!("/{}-parent", bundle.tag());
    let parents: Vec<_> = ["memory", "pids", "cpu"].iter().map(|name| cgroup::dir(name, &parent)).collect();
    for dir in &parents {
        fs::create_dir_all(dir).unwrap();
    }
    bundle.set("/linux/cgroupsPath", format!("{parent}/child").into());
    let container = bundle.create();
    assert!(bundle.cgroup("pids").is_dir());
    container.start().wait();
    container.delete();

    assert!(!bundle.cgroup("pids").exists());
    assert!(parents.iter().all(|dir| dir.is_dir()));
    assert_eq!(fs::read_to_string(source.join("old")).unwrap(), "old");
    assert_eq!(fs::read_to_string(source.join("new")).unwrap(), "new\n");
    assert!(bundle.rootfs("bin/busybox").is_file());
    for dir in host::cgroups(bundle.tag()).iter().rev() {
        let _ = fs::remove_dir(dir);
    }
}

/// RT-56: processes that outlive the container's own in a shared pid namespace do not outlive delete.
#[test]
fn survivors_of_a_shared_pid_namespace() {
    let mut bundle = Bundle::with_script("sleep 1000 & sleep 1000 & exit 0");
    bundle.share("pid");
    let container = bundle.create();
    container.start().wait();
    assert_eq!(container.status(), "stopped");
    assert!(!host::processes(bundle.tag()).is_empty());
    container.delete();
    bundle.assert_clean();
}

/// RT-56: cgroups that the container made below its own go with it.
#[test]
fn nested_cgroups() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    fs::create_dir_all(bundle.cgroup("pids").join("one/two")).unwrap();
    container.start().stop();
    container.delete();
    assert!(!bundle.cgroup("pids").exists());
}

/// A frozen container can be deleted by force: nothing of it gets stuck.
#[test]
fn frozen() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    container.start();
    let (file, frozen) = match cgroup::is_v2() {
        true => ("cgroup.freeze", "1"),
        false => ("freezer.state", "FROZEN"),
    };
    let file = bundle.cgroup("freezer").join(file);
    fs::write(&file, frozen).unwrap();
    eventually("not frozen", || fs::read_to_string(&file).unwrap().starts_with(frozen).then_some(()));
    container.try_delete(&["--force"]).success();
    container.wait();
    bundle.assert_clean();
}

/// A hook that calls a command which has to wait for the one that runs the hook gets an error instead.
#[test]
fn called_by_a_hook() {
    for kind in ["createRuntime", "poststart", "poststop"] {
        let mut bundle = Bundle::with_script("exec sleep 1000");
        let (program, root) = (runtime::program(), bundle.scratch().state_root());
        let said = bundle.file("said");
        let command = format!("{} --root {} delete --force {}", program.display(), root.display(), bundle.id);
        bundle.hook(kind, &format!("{command} 2> {}; true", said.display()));
        let container = bundle.create();
        container.start();
        container.try_delete(&["--force"]).success();
        container.wait();
        let said = fs::read_to_string(said).unwrap();
        if runtime::is_orlop() {
            assert!(said.contains(&bundle.id) && said.contains("hook"), "{kind}: {said:?}");
        }
        bundle.assert_clean();
    }
}

/// `--force` during a create waits for it, and then deletes.
#[test]
fn during_create() {
    if !runtime::is_orlop() {
        skip!("other runtimes know of no container yet");
    }
    let mut bundle = Bundle::with_script("exec sleep 1000");
    let gate = bundle.file("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    bundle.hook("createRuntime", &format!("read x < {}", gate.display()));
    bundle.write();
    let create = bundle.spawn_create(&bundle.id, &[]);
    eventually("no container", || {
        let state = bundle.command(&["state", &bundle.id]);
        (state.code == 0 && state.stdout.contains("creating")).then_some(())
    });
    let delete = bundle.spawn(&["delete", "--force", &bundle.id]);
    fs::write(&gate, "\n").unwrap();
    delete.finish().success();
    create.finish_quietly();
    bundle.assert_clean();
}
