//! `update`: changes the limits of a container, by flags or by a file of resources.
//!
//! Runs in: parent

use std::io::Read as _;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::args::{self, id, option, path, path_of, string};
use super::{Entry, Global};
use crate::container::Container;
use crate::error::{Error, Result};
use crate::spec::change::Change;

pub(super) const ENTRY: Entry = Entry { name: "update", about: "Change a container's limits", args, run };

/// How the value of a flag is written.
#[derive(Clone, Copy)]
enum Kind {
    /// A number of bytes with an optional unit, as `100M`.
    Bytes,
    Number,
    Text,
}

use Kind::{Bytes, Number, Text};

/// Flag, property below `linux.resources`, kind, help.
const FLAGS: [(&str, &str, Kind, &str); 16] = [
    ("memory", "/memory/limit", Bytes, "Memory limit; -1 for none"),
    ("memory-reservation", "/memory/reservation", Bytes, "Memory to be left to the container when memory is short"),
    ("memory-swap", "/memory/swap", Bytes, "Limit of memory and swap together; -1 for none"),
    ("kernel-memory", "/memory/kernel", Bytes, "Ignored: Linux has no such limit any more"),
    ("kernel-memory-tcp", "/memory/kernelTCP", Bytes, "Ignored: Linux has no such limit any more"),
    ("cpu-share", "/cpu/shares", Number, "Share of CPU time, relative to other containers"),
    ("cpu-quota", "/cpu/quota", Number, "Microseconds of CPU time in each period; -1 for no limit"),
    ("cpu-period", "/cpu/period", Number, "Length of the period, in microseconds"),
    ("cpu-burst", "/cpu/burst", Number, "Microseconds of unused quota that may be saved up"),
    ("cpu-idle", "/cpu/idle", Number, "1: CPU time that nobody else wants, 0: a share"),
    ("cpu-rt-period", "/cpu/realtimePeriod", Number, "Period for real-time processes, in microseconds"),
    ("cpu-rt-runtime", "/cpu/realtimeRuntime", Number, "Their CPU time in each period, in microseconds"),
    ("cpuset-cpus", "/cpu/cpus", Text, "CPUs to use, as 0-3,7"),
    ("cpuset-mems", "/cpu/mems", Text, "Memory nodes to use"),
    ("pids-limit", "/pids/limit", Number, "Number of processes and threads; -1 for no limit"),
    ("blkio-weight", "/blockIO/weight", Number, "Weight of block device access, 10 to 1000"),
];

/// Below `linux.intelRdt`.
const RDT_FLAGS: [(&str, &str, &str); 2] = [
    ("l3-cache-schema", "l3CacheSchema", "Schema of Intel RDT's L3 cache allocation"),
    ("mem-bw-schema", "memBwSchema", "Schema of Intel RDT's memory bandwidth allocation"),
];

fn args(command: Command) -> Command {
    let value = |name: &'static str, help: &'static str| option(name, "VALUE").allow_hyphen_values(true).help(help);
    command
        .arg(id())
        .arg(
            path("resources").short('r').help("JSON file of resources, - for standard input; all else is ignored then"),
        )
        .args(FLAGS.iter().map(|(name, _, _, help)| value(name, help)).collect::<Vec<Arg>>())
        .args(RDT_FLAGS.iter().map(|(name, _, help)| value(name, help)).collect::<Vec<Arg>>())
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let change = match path_of(matches, "resources").filter(|path| !path.as_os_str().is_empty()) {
        Some(path) => Change::new(from_file(path)?, None)?,
        None => Change::new(from_flags(matches)?, rdt_from_flags(matches))?,
    };
    Container::find(&global.root, &args::container_id(matches)?)?.update(&change)?;
    Ok(0)
}

fn from_file(path: &Path) -> Result<Value> {
    let text = if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(path)
    };
    let fail = |error: &dyn std::fmt::Display| Error::other(format!("--resources {}: {error}", path.display()));
    let text = text.map_err(|error| fail(&crate::error::io_meaning(&error)))?;
    serde_json::from_slice(&text).map_err(|error| fail(&error))
}

fn from_flags(matches: &ArgMatches) -> Result<Value> {
    let mut resources = json!({});
    for (flag, pointer, kind, _) in FLAGS {
        let Some(text) = string(matches, flag).filter(|text| !text.is_empty()) else { continue };
        let bad = || Error::other(format!("--{flag}: {text:?} is not a number"));
        let value = match kind {
            Bytes => json!(bytes(text).ok_or_else(bad)?),
            Number if text.starts_with('-') => json!(text.parse::<i64>().map_err(|_| bad())?),
            Number => json!(text.parse::<u64>().map_err(|_| bad())?),
            Text => json!(text),
        };
        let mut place = &mut resources;
        for name in pointer[1..].split('/') {
            place = &mut place[name];
        }
        *place = value;
    }
    Ok(resources)
}

fn rdt_from_flags(matches: &ArgMatches) -> Option<Value> {
    let given = RDT_FLAGS.iter().filter_map(|(flag, name, _)| Some((*name, string(matches, flag)?)));
    let members: Map<String, Value> =
        given.filter(|(_, schema)| !schema.is_empty()).map(|(name, schema)| (name.to_owned(), json!(schema))).collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

/// `1024`, `64k`, `1.5GiB`, `-1`: units are powers of 1024, as in runc.
fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let factor = 1i64 << (10 * power);
    match number.parse::<i64>() {
        Ok(number) => number.checked_mul(factor),
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * factor as f64;
            (bytes >= 0.0 && bytes < i64::MAX as f64).then_some(bytes as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(arguments: &[&str]) -> ArgMatches {
        let words = ["update"].iter().chain(arguments).chain(&["name"]);
        args(Command::new("update")).args_override_self(true).try_get_matches_from(words).unwrap()
    }

    fn flags(arguments: &[&str]) -> Result<Value> {
        from_flags(&matches(arguments))
    }

    #[test]
    fn every_flag_has_its_property() {
        for (flag, pointer, kind, _) in FLAGS {
            let value = if matches!(kind, Text) { json!("1") } else { json!(1) };
            let resources = flags(&[&format!("--{flag}"), "1"]).unwrap();
            assert_eq!(resources.pointer(pointer), Some(&value), "{flag}");
            assert_eq!(flags(&[&format!("--{flag}=1")]).unwrap(), resources);
            assert!(Change::new(resources, None).is_ok(), "{flag}");
        }
    }

    #[test]
    fn values() {
        assert_eq!(flags(&[]).unwrap(), json!({}));
        assert_eq!(
            flags(&["--memory", "-1", "--memory-swap=-1"]).unwrap(),
            json!({"memory": {"limit": -1, "swap": -1}})
        );
        assert_eq!(flags(&["--memory", "1M", "--memory", "2m"]).unwrap(), json!({"memory": {"limit": 2 << 20}}));
        assert!(flags(&["--cpu-quota", "fast"]).unwrap_err().to_string().contains("--cpu-quota: \"fast\""));
        let rdt = rdt_from_flags(&matches(&["--l3-cache-schema", "L3:0=f", "--mem-bw-schema=MB:0=20"]));
        assert_eq!(rdt, Some(json!({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20"})));
        assert_eq!(rdt_from_flags(&matches(&["--l3-cache-schema="])), None);
    }

    #[test]
    fn sizes_with_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("4096", Some(4096)),
            ("1k", Some(1024)),
            ("1KB", Some(1024)),
            ("2MiB", Some(2 << 20)),
            ("1.5g", Some(3 << 29)),
            ("3 T", Some(3 << 40)),
            ("7b", Some(7)),
            ("-2", None),
            ("x", None),
            ("", None),
            ("1kk", None),
            ("9999999P", None),
            ("1.2.3", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
