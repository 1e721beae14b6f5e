//! /etc/subuid and /etc/subgid: which ids of the host newuidmap and newgidmap let a user map.
//!
//! Runs in: parent, when they have refused, and `doctor` · subuid(5), newuidmap(1)

use super::idmap::Line;

/// A range that a user has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// Who calls: by number, and by the name that /etc/passwd has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) name: Option<String>,
}

impl Caller {
    pub(crate) fn current() -> Self {
        let uid = nix::unistd::getuid().as_raw();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self { uid, name: name(&passwd, uid) }
    }

    /// As it is written in these files.
    pub(crate) fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }
}

fn name(passwd: &str, uid: u32) -> Option<String> {
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|fields| fields.get(2).is_some_and(|field| field.parse() == Ok(uid)))?;
    user.first().map(|name| (*name).to_owned())
}

/// The ranges that a file gives to a user.
pub(crate) fn ranges(text: &str, caller: &Caller) -> Vec<Range> {
    let range = |line: &str| {
        let (owner, rest) = line.trim().split_once(':')?;
        let (first, count) = rest.split_once(':')?;
        let is_ours = Some(owner) == caller.name.as_deref() || owner.parse() == Ok(caller.uid);
        is_ours.then_some(Range { first: first.parse().ok()?, count: count.parse().ok()? })
    };
    text.lines().filter_map(range).collect()
}

/// The line that a file lacks for these mappings, if that is what is wrong. `own` is the caller's own id, which
/// needs none.
pub(super) fn missing(file: &str, text: &str, caller: &Caller, own: u32, lines: &[Line]) -> Option<String> {
    let given = ranges(text, caller);
    let has = |first: u32, count: u32| {
        let inside = |range: &Range| first >= range.first && u64::from(first) + u64::from(count) <= range.end();
        given.iter().any(inside) || (count == 1 && first == own)
    };
    let line = lines.iter().find(|line| !has(line.host, line.size))?;
    let label = caller.label();
    let gives = match given.as_slice() {
        [] => format!("{file} gives {label} no ids"),
        _ => {
            let all: Vec<_> = given.iter().map(|range| format!("{}-{}", range.first, range.end() - 1)).collect();
            format!("{file} gives {label} only {}", all.join(", "))
        }
    };
    Some(format!("{gives}: mapping {} takes a line such as {label}:{}:{}", line.host, line.host, line.size))
}

impl Range {
    /// The first id behind it.
    fn end(self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ids\nroot:1:5\nalice:100000:65536\n1000:300000:10\nbob:200000:65536\nalice:x:1\nalice\n";

    fn alice() -> Caller {
        Caller { uid: 1000, name: name("root:x:0:0::/:\nalice:x:1000:1000::/home:/bin/sh\n", 1000) }
    }

    #[test]
    fn ranges_belong_to_a_name_or_a_number() {
        let ours = [Range { first: 100_000, count: 65536 }, Range { first: 300_000, count: 10 }];
        assert_eq!(ranges(TEXT, &alice()), ours);
        assert_eq!(ranges(TEXT, &Caller { uid: 7, name: None }), []);
        assert_eq!(name("", 7), None);
    }

    #[test]
    fn the_line_that_is_missing() {
        let line = |inside, host, size| Line { inside, host, size };
        let why = |text, lines: &[Line]| missing("/etc/subuid", text, &alice(), 1000, lines);
        assert_eq!(why(TEXT, &[line(0, 1000, 1), line(1, 100_000, 65536), line(70_000, 300_009, 1)]), None);
        assert_eq!(
            why(TEXT, &[line(0, 1000, 1), line(1, 100_000, 65537)]).unwrap(),
            "/etc/subuid gives alice only 100000-165535, 300000-300009: mapping 100000 takes a line such as \
             alice:100000:65537"
        );
        assert_eq!(
            why("", &[line(0, 1000, 1), line(1, 5, 2)]).unwrap(),
            "/etc/subuid gives alice no ids: mapping 5 takes a line such as alice:5:2"
        );
        assert!(why(TEXT, &[line(0, u32::MAX - 1, 1)]).is_some());
    }
}
