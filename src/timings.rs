//! `--timings`: how long each phase took, in the parent and in init, as Chrome trace events or as a bar chart.
//!
//! Runs in: both · Trace Event Format (ui.perfetto.dev, chrome://tracing), W3C Trace Context
//!
//! Both processes append lines to one file in memory, which the parent made before the clone. Without the option
//! there is no file, and to enter a phase does not even look at the clock. By the time of day, because the other
//! clocks of a container may have offsets.

mod chart;
mod trace;

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::clock::Utc;
use crate::error::{On as _, Result};
use crate::phase::{self, Phase};
use crate::sys::{self, Call as _};
use trace::Trace;

#[derive(Debug)]
struct Recorder {
    /// One event per line.
    events: OwnedFd,
    /// Where they go in the end; `-` for a chart on standard error.
    target: PathBuf,
    started: String,
    /// Nanoseconds since 1970, from which events count.
    origin: u64,
    trace: Option<Trace>,
}

static RECORDER: OnceLock<Recorder> = OnceLock::new();
static ON: AtomicBool = AtomicBool::new(false);
/// When the current phase began, after the origin; `NONE` if none has.
static BEGAN: AtomicU64 = AtomicU64::new(NONE);
const NONE: u64 = u64::MAX;

/// Who writes: a row of the picture.
static LANE: AtomicU8 = AtomicU8::new(PARENT);
const PARENT: u8 = 1;
const INIT: u8 = 2;

/// Begins to record. `name` is the command, the span that all others are parts of.
pub(crate) fn start(target: &Path, name: &str) -> Result<()> {
    let events = sys::fd::memory(c"timings", b"").on("timings")?;
    fcntl(&events, FcntlArg::F_SETFL(OFlag::O_APPEND)).call("fcntl").on("timings")?;
    let trace = Trace::of_caller();
    let recorder = RECORDER.get_or_init(|| Recorder {
        events,
        target: target.to_owned(),
        started: Utc::now().to_string(),
        origin: since_1970(),
        trace,
    });
    ON.store(true, Ordering::Relaxed);
    BEGAN.store(0, Ordering::Relaxed);
    for (lane, title) in [(PARENT, name), (INIT, "init")] {
        let line = format!(r#"{{"name":"thread_name","ph":"M","pid":1,"tid":{lane},"args":{{"name":"{title}"}}}}"#);
        recorder.append(&line);
    }
    Ok(())
}

fn since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// A phase begins, and the one before it ends.
pub(crate) fn entered(before: Phase) {
    if ON.load(Ordering::Relaxed) {
        change(before);
    }
}

#[cold]
fn change(before: Phase) {
    let Some(recorder) = RECORDER.get() else { return };
    let now = recorder.now();
    let began = BEGAN.swap(now, Ordering::Relaxed);
    if began != NONE {
        recorder.span(before.name(), "phase", began, now, recorder.next_span());
    }
}

/// In a child: what comes is init's, and no phase has begun.
pub(crate) fn become_init() {
    LANE.store(INIT, Ordering::Relaxed);
    BEGAN.store(NONE, Ordering::Relaxed);
}

/// The last phase of this process ends; its descriptors are about to be closed.
pub(crate) fn stop() {
    if ON.swap(false, Ordering::Relaxed) {
        change(phase::current());
    }
}

/// Something with a name of its own within a phase, under way.
#[derive(Debug)]
pub(crate) struct Span {
    began: u64,
    id: u64,
}

pub(crate) fn begin() -> Option<Span> {
    let recorder = RECORDER.get().filter(|_| ON.load(Ordering::Relaxed))?;
    Some(Span { began: recorder.now(), id: recorder.next_span() })
}

impl Span {
    pub(crate) fn end(self, name: &str) {
        if let Some(recorder) = RECORDER.get() {
            recorder.span(name, "hook", self.began, recorder.now(), self.id);
        }
    }
}

/// `TRACEPARENT` for a program that is part of a span, or of our caller's where nothing is recorded.
pub(crate) fn traceparent(span: Option<&Span>) -> Option<String> {
    let recorded = RECORDER.get().and_then(|recorder| recorder.trace.as_ref());
    match (recorded, span) {
        (Some(trace), Some(span)) => Some(trace.header(span.id)),
        _ => Trace::of_caller().map(|trace| trace.header(trace.parent)),
    }
}

/// Writes everything down, if anything was recorded.
pub(crate) fn finish() -> Result<()> {
    stop();
    let Some(recorder) = RECORDER.get() else { return Ok(()) };
    recorder.close();
    let text = sys::fd::contents(recorder.events.as_fd()).on("timings")?;
    let text = String::from_utf8_lossy(&text);
    if recorder.target == Path::new("-") {
        use std::io::Write as _;
        return std::io::stderr().write_all(chart::draw(&text).as_bytes()).call("write").on("standard error");
    }
    let events = text.trim_end().replace('\n', ",\n");
    let document = format!(
        "{{\"displayTimeUnit\":\"ms\",\"otherData\":{{\"started\":\"{}\"}},\"traceEvents\":[\n{events}\n]}}\n",
        recorder.started
    );
    std::fs::write(&recorder.target, document).call("write").on(recorder.target.display())
}

impl Recorder {
    fn now(&self) -> u64 {
        since_1970().saturating_sub(self.origin)
    }

    fn append(&self, line: &str) {
        // In one call, so that the lines of two processes do not mix. What is lost is only a measurement.
        let _ = nix::unistd::write(&self.events, format!("{line}\n").as_bytes());
    }

    fn next_span(&self) -> u64 {
        let lane = u64::from(LANE.load(Ordering::Relaxed));
        self.trace.as_ref().map_or(0, |trace| trace.next(lane))
    }

    fn span(&self, name: &str, kind: &str, began: u64, ended: u64, id: u64) {
        let args = self.trace.as_ref().map_or_else(String::new, |trace| trace.args(id, trace.root));
        self.event(name, kind, began, ended, &args);
    }

    /// The span of the whole command, which is the caller's child.
    fn close(&self) {
        if let Some(trace) = &self.trace {
            self.event("orlop", "command", 0, self.now(), &trace.args(trace.root, trace.parent));
        }
    }

    /// Times are in microseconds.
    fn event(&self, name: &str, kind: &str, began: u64, ended: u64, args: &str) {
        let lane = LANE.load(Ordering::Relaxed);
        let name = serde_json::to_string(name).unwrap_or_default();
        let mut line = format!(r#"{{"name":{name},"cat":"{kind}","ph":"X","pid":1,"tid":{lane}"#);
        let (began_us, took_us) = (micros(began), micros(ended.saturating_sub(began)));
        // Writing to a String cannot fail.
        let _ = write!(line, r#","ts":{began_us},"dur":{took_us}{args}}}"#);
        self.append(&line);
    }
}

fn micros(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recording is a matter of the whole process, so one test does all of it.
    #[test]
    fn phases_become_events() {
        assert!(begin().is_none());
        let target = std::env::temp_dir().join(format!("orlop-timings-{}", std::process::id()));
        start(&target, "run").unwrap();
        change(Phase::Cgroup);
        begin().unwrap().end("hooks.prestart[0] \"x\"");
        finish().unwrap();
        let text = std::fs::read_to_string(&target).unwrap();
        std::fs::remove_file(&target).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let events = document["traceEvents"].as_array().unwrap();
        let find = |name: &str| events.iter().find(|event| event["name"] == name).unwrap();
        assert_eq!((&find("cgroup")["ph"], find("cgroup")["tid"].as_u64()), (&"X".into(), Some(1)));
        assert!(find("cgroup")["dur"].as_f64().is_some());
        assert_eq!(find("hooks.prestart[0] \"x\"")["cat"], "hook");
        assert!(find("cgroup").get("args").is_none());
        assert_eq!(micros(1_234_567), "1234.567");
    }
}
