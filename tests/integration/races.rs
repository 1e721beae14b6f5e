//! Commands that meet: at a cgroup path, at a pid file, at an id that is deleted while it is created.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::runtime::Running;
use crate::harness::{Bundle, Output, json};

const CONTENDERS: usize = 6;

/// That many creates at the same time, each of its own id.
fn contend(bundle: &Bundle, flags: &[&str]) -> Vec<(String, Output)> {
    let ids = (0..CONTENDERS).map(|number| format!("{}-{number}", bundle.id));
    let running: Vec<(String, Running)> = ids.map(|id| (id.clone(), bundle.spawn_create(&id, flags))).collect();
    running.into_iter().map(|(id, running)| (id, running.finish())).collect()
}

/// LNX-48, RT-34: of several creates with one cgroup path one gets it, with its limits; the others say so,
/// leave nothing, and do not take the winner's cgroup away.
#[test]
fn one_cgroup_path() {
    for _ in 0..8 {
        let mut bundle = Bundle::with_script("exec sleep 1000");
        bundle.set("/linux/resources", json!({"pids": {"limit": 33}})).write();
        let outputs = contend(&bundle, &[]);
        let (winners, losers): (Vec<_>, Vec<_>) = outputs.iter().partition(|(_, output)| output.code == 0);
        let [(winner, _)] = winners.as_slice() else { panic!("{outputs:#?}") };
        for (id, output) in losers {
            assert!(output.stderr.contains("cgroup"), "{}", output.stderr);
            assert!(!bundle.state_root().join(id).exists());
        }
        bundle.command(&["start", winner]).success();
        let cgroup = bundle.cgroup("pids");
        assert_eq!(fs::read_to_string(cgroup.join("pids.max")).unwrap(), "33\n");
        let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        assert_eq!(members.lines().count(), 1, "{members}");
        bundle.command(&["delete", "--force", winner]).success();
        bundle.assert_clean();
    }
}

/// Whoever reads a pid file that several write sees the pid of one of them, never a part or nothing.
#[test]
fn one_pid_file() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.remove("/linux/cgroupsPath").write();
    let dir = bundle.file("pids");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("pid");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if let Ok(text) = fs::read_to_string(&file) {
                    assert!(text.parse::<i32>().is_ok_and(|pid| pid > 1), "{text:?}");
                }
            }
        });
        for _ in 0..3 {
            let outputs = contend(&bundle, &["--pid-file", file.to_str().unwrap()]);
            let pid_of = |(id, output): &(String, Output)| {
                assert_eq!(output.code, 0, "{}", output.stderr);
                let state = bundle.command(&["state", id]).success().stdout;
                serde_json::from_str::<serde_json::Value>(&state).unwrap()["pid"].to_string()
            };
            let pids: Vec<String> = outputs.iter().map(pid_of).collect();
            let last = fs::read_to_string(&file).unwrap();
            assert!(pids.contains(&last), "{last} is none of {pids:?}");
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "a pid file half written is left");
            for (id, _) in &outputs {
                bundle.command(&["delete", "--force", id]).success();
            }
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

/// RT-31, RT-34: an id that is deleted by force again and again while it is created is there whole, or not
/// at all.
#[test]
fn create_against_delete() {
    let bundle = Bundle::with_script("exec sleep 1000");
    bundle.write();
    let delete = || bundle.spawn(&["delete", "--force", &bundle.id]);
    for _ in 0..12 {
        let creates = [bundle.spawn_create(&bundle.id, &[]), bundle.spawn_create(&bundle.id, &[])];
        let deletes = [delete(), delete(), delete()];
        for output in deletes.map(Running::finish) {
            assert_eq!(output.code, 0, "{}", output.stderr);
        }
        for output in creates.map(Running::finish).iter().filter(|output| output.code != 0) {
            assert!(output.stderr.contains("exists") || output.stderr.contains("cgroup"), "{}", output.stderr);
        }
        delete().finish().success();
        bundle.assert_clean();
    }
}
