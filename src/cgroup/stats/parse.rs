//! The kernel's texts as numbers. What is not as expected counts as absent: statistics are not worth
//! failing for.
//!
//! Runs in: parent

use std::collections::BTreeMap;

use super::{DeviceIo, Pressure, Stalls};

/// One number; `max` is the largest.
pub(super) fn number(text: &str) -> u64 {
    match text.trim() {
        "max" => u64::MAX,
        text => text.parse().unwrap_or(0),
    }
}

pub(super) fn signed(text: &str) -> i64 {
    text.trim().parse().unwrap_or(0)
}

/// Numbers between blanks: `cpuacct.usage_percpu`.
pub(super) fn numbers(text: &str) -> Vec<u64> {
    text.split_ascii_whitespace().map_while(|number| number.parse().ok()).collect()
}

/// A name and a number on each line: `memory.stat`.
pub(super) fn table(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// `cpuacct.usage_all`: a header, then cpu, user and system on each line.
pub(super) fn by_cpu(text: &str) -> (Vec<u64>, Vec<u64>) {
    let pair = |line: &str| match numbers(line)[..] {
        [_, user, system] => Some((user, system)),
        _ => None,
    };
    text.lines().skip(1).filter_map(pair).unzip()
}

/// `0-3,8`: a list of at most as many as there can be.
pub(super) fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// v1: `8:0 Read 4096`; the line with the sum of all devices has no device.
pub(super) fn block_io(text: &str) -> Vec<DeviceIo> {
    let entry = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let op = words.next()?.to_owned();
        Some(DeviceIo {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op,
            value: words.next()?.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}

/// v2: `8:0 rbytes=4096 wbytes=0 rios=1 …`, of which `keys` are wanted, with v1's names for them.
pub(super) fn io_stat(text: &str, keys: [(&str, &str); 2]) -> Vec<DeviceIo> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(major, minor)| (major.parse(), minor.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            if let (Some((_, op)), Ok(value)) = (keys.iter().find(|(name, _)| *name == key), value.parse()) {
                found.push(DeviceIo { major, minor, op: (*op).to_owned(), value });
            }
        }
    }
    found
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`; none where the kernel has
/// none.
pub(super) fn pressure(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let (kind, values) = line.split_once(' ')?;
        let stalls = match kind {
            "some" => &mut pressure.some,
            "full" => &mut pressure.full,
            _ => continue,
        };
        *stalls = self::stalls(values);
    }
    (!text.is_empty()).then_some(pressure)
}

fn stalls(values: &str) -> Stalls {
    let mut stalls = Stalls::default();
    for (name, value) in values.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
        let average = || value.parse().ok().filter(|average: &f64| average.is_finite()).unwrap_or(0.0);
        match name {
            "avg10" => stalls.avg10 = average(),
            "avg60" => stalls.avg60 = average(),
            "avg300" => stalls.avg300 = average(),
            "total" => stalls.total = number(value),
            _ => {}
        }
    }
    stalls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists() {
        assert_eq!((number("42\n"), number("max\n"), number("-1"), number("")), (42, u64::MAX, 0, 0));
        assert_eq!((signed("-1\n"), signed("x")), (-1, 0));
        assert_eq!(numbers("1 22  333 \n"), [1, 22, 333]);
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!((list(""), list("\n"), list("3-1"), list("99999999")), (vec![], vec![], vec![], vec![]));
        assert_eq!(by_cpu("cpu user system\n0 10 20\n1 30 40\n"), (vec![10, 30], vec![20, 40]));
        let stat = table("anon 4096\nfile 0\nworkingset_refault_anon 7\n");
        assert_eq!((stat.len(), stat["anon"], stat["workingset_refault_anon"]), (3, 4096, 7));
    }

    #[test]
    fn devices() {
        let read = |major, minor, op: &str, value| DeviceIo { major, minor, op: op.into(), value };
        let text = "254:0 Read 8192\n254:0 Write 0\n254:0 Total 8192\nTotal 8192\n";
        assert_eq!(block_io(text), [read(254, 0, "Read", 8192), read(254, 0, "Write", 0), read(254, 0, "Total", 8192)]);
        let text = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n8:0 \n";
        assert_eq!(
            io_stat(text, [("rbytes", "Read"), ("wbytes", "Write")]),
            [read(8, 16, "Read", 1_459_200), read(8, 16, "Write", 314_773_504)]
        );
    }

    #[test]
    fn stalled_times() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.25 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
        let found = pressure(text).unwrap();
        assert_eq!((found.some.avg10, found.some.avg300, found.some.total, found.full.total), (1.5, 0.25, 77, 5));
        assert_eq!(serde_json::to_string(&found.some).unwrap(), r#"{"avg10":1.5,"avg60":0,"avg300":0.25,"total":77}"#);
        assert_eq!(pressure(""), None);
    }

    /// Whatever a kernel may come to say: no panic, and nothing made up.
    #[test]
    fn odd_texts() {
        let odd = [
            "",
            "\n",
            " ",
            "max",
            "-",
            ":",
            "=",
            "a:b c=d",
            "8:0",
            "8:0 Read",
            "8:0 Read x",
            "1-",
            "-1",
            ",,",
            "some",
            "some x",
            "some avg10=NaN avg60=inf total=-1",
            "full avg10=",
            "0-65535,0-65535",
            "é\0\u{fffd} 1\n1 é",
            "18446744073709551616",
            "18446744073709551615 18446744073709551616",
        ];
        for text in odd {
            let _ = (number(text), signed(text), numbers(text), table(text), by_cpu(text), list(text), block_io(text));
            let _ = io_stat(text, [("c", "C"), ("", "")]);
            if let Some(pressure) = pressure(text) {
                assert!(serde_json::to_string(&pressure).is_ok(), "{text}");
            }
        }
    }
}
