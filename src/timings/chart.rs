//! The same events as bars, for a terminal.
//!
//! Runs in: parent

use serde_json::Value;

/// As many columns as the longest bar may have.
const WIDTH: f64 = 40.0;

/// The time that the container's own program takes is no work of ours, and leaves no room for anything else.
const NOT_SHOWN: &str = "running";

/// `events` has one per line.
pub(super) fn draw(events: &str) -> String {
    let events: Vec<Value> = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lane = |event: &Value| {
        let named = |other: &&Value| other["ph"] == "M" && other["tid"] == event["tid"];
        events.iter().find(named).map_or("", |other| other["args"]["name"].as_str().unwrap_or_default())
    };
    let mut shown: Vec<&Value> = events
        .iter()
        .filter(|event| event["ph"] == "X" && event["cat"] != "command" && event["name"] != NOT_SHOWN)
        .collect();
    shown.sort_by(|a, b| number(a, "ts").total_cmp(&number(b, "ts")));
    let pauses: Vec<(f64, f64)> = events
        .iter()
        .filter(|event| event["name"] == NOT_SHOWN)
        .map(|event| (number(event, "ts"), number(event, "dur")))
        .collect();
    // Without the pauses before it.
    let place = |at: f64| at - pauses.iter().filter(|(from, _)| *from < at).map(|(_, long)| long).sum::<f64>();
    let end = shown.iter().map(|event| place(number(event, "ts")) + number(event, "dur")).fold(1.0, f64::max);
    let mut text = format!("{:<8} {:<22} {:>10}  0 ms{:>34.2} ms\n", "who", "phase", "ms", end / 1000.0);
    for event in shown {
        let (from, long) = (place(number(event, "ts")), number(event, "dur"));
        let columns = |time: f64| (time / end * WIDTH) as usize;
        let bar = "█".repeat((columns(from + long) - columns(from)).max(1));
        let name = event["name"].as_str().unwrap_or_default();
        let name = if event["cat"] == "hook" { format!("  {name}") } else { name.to_owned() };
        let blank = " ".repeat(columns(from).min(WIDTH as usize - 1));
        text += &format!("{:<8} {name:<22} {:>10.3}  {blank}{bar}\n", lane(event), long / 1000.0);
    }
    text
}

fn number(event: &Value, name: &str) -> f64 {
    event[name].as_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_what_they_stand_for() {
        let events = r#"{"name":"thread_name","ph":"M","tid":1,"args":{"name":"run"}}
{"name":"thread_name","ph":"M","tid":2,"args":{"name":"init"}}
{"name":"mounts","cat":"phase","ph":"X","tid":2,"ts":1000,"dur":2000}
{"name":"clone","cat":"phase","ph":"X","tid":1,"ts":0.000,"dur":1000.000}
{"name":"running","cat":"phase","ph":"X","tid":1,"ts":3000,"dur":7000000}
{"name":"delete","cat":"phase","ph":"X","tid":1,"ts":7003000,"dur":1000}"#;
        let chart = draw(events);
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(lines.len(), 4, "{chart}");
        assert!(lines[0].ends_with("4.00 ms"), "{chart}");
        assert_eq!(lines[1], format!("run      clone                       1.000  {}", "█".repeat(10)));
        assert_eq!(
            lines[2],
            format!("init     mounts                      2.000  {}{}", " ".repeat(10), "█".repeat(20))
        );
        assert_eq!(
            lines[3],
            format!("run      delete                      1.000  {}{}", " ".repeat(30), "█".repeat(10))
        );
        assert_eq!(draw("").lines().count(), 1);
    }
}
