//! `doctor`: what this host and its kernel offer, what that means for containers, and what to do about a miss.
//!
//! Runs in: parent
//!
//! Each topic looks for itself and changes nothing; children that are cloned to try something end at once.

mod cgroups;
mod files;
mod kernel;
mod security;
mod users;

use std::path::Path;

use serde::Serialize;

/// What was looked at, and what came out.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) topic: &'static str,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) found: String,
    /// What a miss means, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    /// Containers run; something that they may ask for is not there.
    Limited,
    /// Containers do not run.
    Missing,
    /// Neither good nor bad.
    Info,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
            Self::Info => "info",
        }
    }
}

/// Everything, topic by topic. `root` is where the state of containers would be.
pub(crate) fn examine(root: &Path) -> Vec<Finding> {
    let caller = Caller { is_root: nix::unistd::geteuid().is_root(), is_host_root: crate::host::is_host_root() };
    let mut all = Vec::new();
    for (topic, examine) in TOPICS {
        let mut list = List { topic, findings: &mut all };
        examine(&mut list, caller, root);
    }
    all
}

/// Who asks: many things are different for a plain user.
#[derive(Clone, Copy, Debug)]
struct Caller {
    is_root: bool,
    is_host_root: bool,
}

type Topic = fn(&mut List<'_>, Caller, &Path);

const TOPICS: [(&str, Topic); 5] = [
    ("kernel", kernel::examine),
    ("cgroups", cgroups::examine),
    ("security", security::examine),
    ("users", users::examine),
    ("files", files::examine),
];

/// The findings of one topic.
struct List<'a> {
    topic: &'static str,
    findings: &'a mut Vec<Finding>,
}

impl List<'_> {
    fn ok(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, State::Ok, found, None);
    }

    fn info(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, State::Info, found, None);
    }

    fn limited(&mut self, name: &str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(name, State::Limited, found, Some(advice.into()));
    }

    fn missing(&mut self, name: &str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(name, State::Missing, found, Some(advice.into()));
    }

    fn add(&mut self, name: &str, state: State, found: impl Into<String>, advice: Option<String>) {
        self.findings.push(Finding { topic: self.topic, name: name.to_owned(), state, found: found.into(), advice });
    }
}

/// For people.
pub(crate) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut topic = "";
    for finding in findings {
        if finding.topic != topic {
            topic = finding.topic;
            text += &format!("{topic}\n");
        }
        text += &format!("  {:<8} {:<30} {}\n", finding.state.name(), finding.name, finding.found);
        if let Some(advice) = &finding.advice {
            text += &format!("           {:<30} -> {advice}\n", "");
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let verdict = match (count(State::Missing), count(State::Limited)) {
        (0, 0) => "orlop finds all that it can use".to_owned(),
        (0, limited) => format!("containers can run here; limited: {limited}"),
        (missing, _) => format!("containers cannot run here; missing: {missing}"),
    };
    text + &format!("{verdict}\n")
}

/// The first line of a small file, such as a sysctl's.
fn value(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

fn number(path: &str) -> Option<u64> {
    value(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_the_worst_finding() {
        let mut findings = Vec::new();
        let mut list = List { topic: "kernel", findings: &mut findings };
        list.ok("a", "there");
        assert!(text(list.findings).ends_with("orlop finds all that it can use\n"));
        list.limited("b", "old", "get a new one");
        list.info("c", "so so");
        assert!(text(list.findings).ends_with("containers can run here; limited: 1\n"));
        list.missing("d", "none", "get one");
        let shown = text(&findings);
        assert!(shown.ends_with("containers cannot run here; missing: 1\n"), "{shown}");
        assert!(shown.starts_with("kernel\n  ok       a                              there\n"), "{shown}");
        assert!(shown.contains("-> get a new one\n"), "{shown}");
    }
}
