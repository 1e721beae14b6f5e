//! `events`: prints what happens to a container, a JSON object on each line.
//!
//! Runs in: parent

use std::time::Duration;

use clap::{ArgMatches, Command};

use super::args::{self, id, option, string, switch};
use super::{Entry, Global, print, print_json_line};
use crate::cgroup::openmetrics;
use crate::container::Container;
use crate::container::events::{self, Event};
use crate::error::{Error, Result};

pub(super) const ENTRY: Entry =
    Entry { name: "events", about: "Print statistics and events of a container", args, run };

const INTERVAL: &str = "5s";

fn args(command: Command) -> Command {
    command.args([
        id(),
        option("interval", "DURATION").help("Time between two statistics, as in 500ms or 1m30s [default: 5s]"),
        switch("stats").help("Print the statistics once"),
        option("format", "FORMAT")
            .value_parser(["json", "openmetrics"])
            .help("openmetrics: of the statistics, for --stats [default: json]"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let interval = string(matches, "interval").unwrap_or(INTERVAL);
    let interval = duration(interval).filter(|interval| !interval.is_zero()).ok_or_else(|| {
        Error::other(format!("--interval: {interval:?} is no duration greater than 0, such as 5s or 1m30s"))
    })?;
    let once = matches.get_flag("stats");
    let openmetrics = string(matches, "format") == Some("openmetrics");
    if openmetrics && !once {
        return Err(Error::other("--format openmetrics is for --stats"));
    }
    let container = Container::find(&global.root, &args::container_id(matches)?)?;
    let mut tell = |event: &Event<'_>| print_json_line(event).map(drop);
    if once {
        let stats = events::stats(&container)?;
        match openmetrics {
            true => print(&openmetrics::text(&container.record.id, &stats))?,
            false => tell(&Event::stats(&container, stats))?,
        }
    } else {
        events::follow(&container, interval, &mut tell)?;
    }
    Ok(0)
}

/// As Go reads durations: `1h2m3s`, `1.5s`, `100ms`; 0 needs no unit.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        for (text, milliseconds) in [
            ("5s", 5000),
            ("100ms", 100),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            (".5s", 500),
            ("1h", 3_600_000),
            ("+2s", 2000),
            ("0", 0),
            ("5000us", 5),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(duration("1µs"), Some(Duration::from_micros(1)));
        for text in ["", "5", "s", "-1s", "1x", "1 s", "..s", "1s2", "99999999999999999999h", "1e5s", "é", "1é"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
