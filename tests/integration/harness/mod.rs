//! What the tests have in common: bundles, the runtime's commands, containers that clean up after
//! themselves, and views of the host.

pub(crate) mod agent;
pub(crate) mod bundle;
pub(crate) mod cgroup;
pub(crate) mod container;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod mountinfo;
pub(crate) mod mutate;
pub(crate) mod payload;
pub(crate) mod runtime;
pub(crate) mod scratch;
pub(crate) mod tty;

pub(crate) use bundle::Bundle;
pub(crate) use container::Container;
pub(crate) use runtime::Output;
pub(crate) use serde_json::{Value, json};

use std::time::{Duration, Instant};

/// How long anything may take before it counts as hung. Generous: a guest without KVM is slow.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Ends the test early, saying why on the real standard error, which libtest does not capture.
macro_rules! skip {
    ($($reason:tt)*) => {{
        use std::io::Write;
        let name = std::thread::current().name().unwrap_or("test").to_owned();
        let _ = writeln!(std::io::stderr(), "{name}: skipped: {}", format_args!($($reason)*));
        return;
    }};
}

/// Polls until `what` yields a value; panics after [`DEADLINE`].
#[track_caller]
pub(crate) fn eventually<T>(description: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = what() {
            return value;
        }
        assert!(Instant::now() < end, "timed out: {description}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The value of a field in what `/proc/<pid>/status` holds.
#[track_caller]
pub(crate) fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}
