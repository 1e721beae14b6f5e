//! Faults at every system call: a command is killed right after it, or it fails, once for each error that it
//! may fail with. Whatever becomes of the command, `delete --force` leaves the host as it was, and the id can
//! be used again; a command that says it succeeded has done all that it does without a fault, one that says
//! it failed has undone it.
//!
//! A deterministic sample of the points is tried as a matter of course, every nth with `ORLOP_TEST_FAULTS=n`:
//! all of them with 1 (`make test-faults`; docs/faults.md has the figures).

mod errnos;
mod scenes;
mod tracer;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::harness::{Bundle, Output};
use scenes::{Create, Kind, Run, Scene, With};
use tracer::{Call, Fault, Point, Trace};

/// How many points of each kind a sample has: kills, errors.
const SAMPLE: (usize, usize) = (5, 8);

/// Longer than any command takes that waits for nothing.
const SLOW: Duration = Duration::from_secs(8);

/// RT-34, RT-46: a container with little configuration.
#[test]
fn create() {
    Trial::of(Create(Bundle::with_script("echo ran"))).run("create");
}

/// RT-34, RT-46: one with hooks, limits, a filter and all else.
#[test]
fn create_rich() {
    Trial::of(Create(scenes::rich())).run("create, rich");
}

/// RT-34, RT-46: in a user namespace.
#[test]
fn create_mapped() {
    Trial::of(Create(scenes::mapped())).run("create, user namespace");
}

/// RT-34, RT-46: in the user namespace of another container, which takes one more process to get into.
#[test]
fn create_joined() {
    let mut other = Bundle::with_script("exec sleep 1000");
    other.user_namespace(100_000, 65536);
    let container = other.create();
    let mut bundle = Bundle::with_script("cat /proc/self/uid_map");
    bundle.user_namespace(100_000, 65536).join("user", &format!("/proc/{}/ns/user", container.pid()));
    Trial::of(Create(bundle)).run("create, joined user namespace");
}

#[test]
fn start() {
    Trial::of(With::new(scenes::rich(), Kind::Start)).run("start");
}

#[test]
fn exec() {
    Trial::of(With::new(scenes::rich(), Kind::Exec)).run("exec");
}

#[test]
fn exec_mapped() {
    Trial::of(With::new(scenes::mapped(), Kind::Exec)).run("exec, user namespace");
}

#[test]
fn update() {
    Trial::of(With::new(scenes::rich(), Kind::Update)).run("update");
}

#[test]
fn delete() {
    Trial::of(With::new(scenes::rich(), Kind::Delete)).run("delete");
}

#[test]
fn run() {
    Trial::of(Run(scenes::rich())).run("run");
}

/// A scene, over and over.
struct Trial<S> {
    scene: S,
    /// What is seen when nothing fails.
    expected: String,
    /// The files around the container before it was there.
    files: BTreeSet<String>,
}

impl<S: Scene> Trial<S> {
    fn of(scene: S) -> Self {
        Self { scene, expected: String::new(), files: BTreeSet::new() }
    }

    fn run(mut self, name: &str) {
        // Twice, because the first create may make mount points and the like in the image.
        for _ in 0..2 {
            let trace = self.act(None);
            assert_eq!(trace.output.code, 0, "{name}: {}", trace.output.stderr);
            self.expected = self.scene.look(&trace);
            let left = self.clean_up(&trace);
            self.files = files(self.scene.bundle());
            assert_eq!(left, Vec::<String>::new(), "{name}");
        }
        let trace = self.act(None);
        let seen = self.scene.look(&trace);
        assert_eq!(seen, self.expected, "{name}: not the same twice");
        self.clean_up(&trace);
        let points = points(&trace.calls);
        let mut problems = Vec::new();
        let started = std::time::Instant::now();
        for (point, call) in &points {
            let tried = catch_unwind(AssertUnwindSafe(|| self.try_point(*point)));
            for problem in tried.unwrap_or_else(|_| self.give_up()) {
                problems.push(format!(
                    "process {} call {} ({call:?}) {:?}: {problem}",
                    point.process, point.call, point.fault
                ));
                eprintln!("{name}: {}", problems.last().unwrap());
            }
        }
        println!(
            "{name}: {} points tried, {} leftovers ({} s)",
            points.len(),
            problems.len(),
            started.elapsed().as_secs()
        );
        assert!(problems.is_empty(), "{name}: {problems:#?}");
    }

    fn act(&mut self, point: Option<Point>) -> Trace {
        self.scene.bundle().write();
        self.scene.prepare();
        let dir = &self.scene.bundle().scratch().dir;
        tracer::trace(dir, scenes::command(&self.scene), self.scene.init(), point)
    }

    /// All that went wrong at a point.
    fn try_point(&mut self, point: Point) -> Vec<String> {
        let trace = self.act(Some(point));
        let output = &trace.output;
        let mut problems = Vec::new();
        if trace.hung {
            problems.push("hung".to_owned());
        } else if trace.time > SLOW {
            problems.push(format!("took {} s", trace.time.as_secs()));
        }
        // The command itself, or what it reports the end of.
        let was_killed = point.fault == Fault::Kill;
        let lacked_memory = point.fault == Fault::Fail(nix::errno::Errno::ENOMEM);
        match output.code {
            0 => self.compare(&trace, point, &mut problems),
            137 if was_killed => {}
            // There is no going on without memory.
            134 | 139 if lacked_memory => {}
            // Of `exec`, 255 says that there is no status of the program.
            code if (129..255).contains(&code) || output.stderr.contains("panicked") => {
                problems.push(format!("status {code}: {}", output.stderr));
            }
            _ if output.stderr.is_empty() && !lacked_memory => problems.push("failed without a word".to_owned()),
            // What could not be removed is left, and the command has said so.
            _ if trace.calls.get(point.process).and_then(|calls| calls.get(point.call)).is_some_and(Call::removes) => {}
            _ => {
                let left = self.scene.after_failure();
                problems.extend(left.iter().map(|what| format!("left: {what}, by: {}", output.stderr)));
            }
        }
        problems.extend(self.clean_up(&trace));
        if !self.scene.creates_before() {
            problems.extend(self.again());
        }
        problems
    }

    /// Even what looks at a point, or cleans up after it, did not come to its end.
    fn give_up(&mut self) -> Vec<String> {
        self.scene.bundle().scratch().force_clean();
        vec!["see the panic above".to_owned()]
    }

    /// A command that succeeded has done what it does without a fault.
    fn compare(&mut self, trace: &Trace, point: Point, problems: &mut Vec<String>) {
        let seen = self.scene.look(trace);
        // After create has come to its end, so may init: then it cannot be started.
        let ended = point.process != 0 && seen.contains("start: 1");
        if seen == self.expected || ended {
            return;
        }
        let mut text = String::from("succeeded, but");
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let (seen, expected) = (lines(&seen), lines(&self.expected));
        for line in seen.difference(&expected).take(8) {
            write!(text, " [+ {line}]").unwrap();
        }
        for line in expected.difference(&seen).take(8) {
            write!(text, " [- {line}]").unwrap();
        }
        problems.push(format!("{text}; said {:?}", trace.output.stderr));
    }

    /// `delete --force`, and what is there afterwards that was not there before.
    fn clean_up(&mut self, trace: &Trace) -> Vec<String> {
        let bundle = self.scene.bundle();
        let deleted = delete_by_force(bundle, &trace.pids);
        let mut left = Vec::new();
        if deleted.code != 0 {
            left.push(format!("delete --force: {}", deleted.stderr));
        }
        left.extend(bundle.scratch().lasting_leftovers());
        let _ = fs::remove_file(bundle.file("pid"));
        if !left.is_empty() {
            bundle.scratch().force_clean();
        }
        if !self.files.is_empty() {
            left.extend(files(bundle).difference(&self.files).map(|name| format!("file {name}")));
        }
        self.scene.release();
        left
    }

    /// The id can be used again.
    fn again(&mut self) -> Option<String> {
        let bundle = self.scene.bundle();
        let pid_file = bundle.file("again.pid");
        let created = bundle.spawn_create(&bundle.id, &["--pid-file", pid_file.to_str().unwrap()]).finish();
        let pid = fs::read_to_string(pid_file).ok().and_then(|pid| pid.parse().ok());
        let deleted = delete_by_force(bundle, &Vec::from_iter(pid.map(Pid::from_raw)));
        (created.code != 0 || deleted.code != 0).then(|| format!("not to be used again: {created:?} {deleted:?}"))
    }
}

/// `delete --force`. What has lost its parent is ours to reap, as an engine's shim would: the kernel keeps a
/// pid namespace, and its first process, until nobody is left in it, the dead included.
fn delete_by_force(bundle: &Bundle, orphans: &[Pid]) -> Output {
    let deletion = bundle.spawn(&["delete", "--force", &bundle.id]);
    let is_done = AtomicBool::new(false);
    let reap = || {
        let mut orphans = orphans.to_vec();
        while !is_done.load(Ordering::Relaxed) {
            orphans.retain(|pid| waitpid(*pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive));
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(reap);
        let output = catch_unwind(AssertUnwindSafe(|| deletion.finish()));
        is_done.store(true, Ordering::Relaxed);
        output.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// The points to try: every one, or every nth.
fn points(calls: &[Vec<Call>]) -> Vec<(Point, Call)> {
    let (mut kills, mut errors) = (Vec::new(), Vec::new());
    for (process, calls) in calls.iter().enumerate() {
        for (number, call) in calls.iter().enumerate() {
            let point = |fault| (Point { process, call: number, fault }, *call);
            kills.push(point(Fault::Kill));
            errors.extend(errnos::plausible(call).iter().map(|errno| point(Fault::Fail(*errno))));
        }
    }
    match std::env::var("ORLOP_TEST_FAULTS") {
        Ok(step) => {
            let step = step.parse().unwrap();
            kills = every_nth(kills, step);
            errors = every_nth(errors, step);
        }
        Err(_) => {
            // Set where the machine is emulated, and slow.
            let share = if std::env::var_os("ORLOP_TEST_KILL_POINTS").is_some() { 3 } else { 1 };
            let steps = [kills.len() * share / SAMPLE.0, errors.len() * share / SAMPLE.1];
            kills = every_nth(kills, steps[0]);
            errors = every_nth(errors, steps[1]);
        }
    }
    [kills, errors].concat()
}

fn every_nth(points: Vec<(Point, Call)>, step: usize) -> Vec<(Point, Call)> {
    points.into_iter().skip(step / 2).step_by(step.max(1)).collect()
}

/// The names of all files of the bundle and below the state root.
fn files(bundle: &Bundle) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(&bundle.dir, &mut found);
    collect(&bundle.state_root(), &mut found);
    found
}

fn collect(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        found.insert(entry.path().display().to_string());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
}
