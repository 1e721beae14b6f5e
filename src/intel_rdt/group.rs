//! The directories of resctrl: made or found, filled, joined and removed.
//!
//! Runs in: parent · kernel documentation resctrl
//!
//! A new directory has its files at once, and loses them with itself: rmdir removes a group with all
//! that is in it, and its processes go back to the group above.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::{PROPERTY, Plan};
use crate::error::{Error, For as _, On as _, Property, Result};
use crate::sys::{self, Call as _};

const CLASS: Property = PROPERTY.field("closID");
const MONITORING: Property = PROPERTY.field("enableMonitoring");

/// What later commands need to know; part of state.json.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Where the container's processes are: its monitoring group or, without one, its class.
    group: PathBuf,
    /// What is the container's alone, the innermost first.
    made: Vec<PathBuf>,
}

/// The groups of a container that is being created; dropped, what was made for it goes.
#[derive(Debug)]
pub(crate) struct Guard {
    /// As the container lives on with them.
    record: Record,
    /// A class of service with a name outlives its first container, but not a create that fails.
    made: Vec<PathBuf>,
}

impl Plan {
    /// The intent, written down before anything is made: what there is already is not ours.
    pub(crate) fn record(&self) -> Record {
        let wanted = self.monitor.iter().chain(Some(&self.group).filter(|_| self.makes_group()));
        Record { group: self.place().clone(), made: wanted.filter(|dir| !dir.exists()).cloned().collect() }
    }

    /// LNX-112, LNX-113; LNX-115: without a schema a class has to be there.
    fn makes_group(&self) -> bool {
        !self.shared || !self.schemata.is_empty()
    }

    fn place(&self) -> &PathBuf {
        self.monitor.as_ref().unwrap_or(&self.group)
    }

    /// Makes the groups with their limits.
    pub(crate) fn make(&self) -> Result<Guard> {
        let mut guard = Guard { record: Record { group: self.place().clone(), made: Vec::new() }, made: Vec::new() };
        let is_new = self.makes_group() && make_directory(&self.group).property(CLASS)?;
        if is_new {
            guard.made.push(self.group.clone());
        } else if !self.group.is_dir() {
            return Err(CLASS.invalid(format!("{}: there is no such class of service", self.group.display())));
        }
        if self.shared && !is_new {
            self.compare()?;
        } else {
            self.limit()?;
        }
        if let Some(monitor) = &self.monitor {
            make_monitor(monitor)?;
            guard.made.insert(0, monitor.clone());
        }
        let keeps_class = self.shared;
        guard.record.made = guard.made.iter().filter(|dir| !keeps_class || **dir != self.group).cloned().collect();
        Ok(guard)
    }

    /// In one write, which the kernel takes line by line.
    fn limit(&self) -> Result<()> {
        if self.schemata.is_empty() {
            return Ok(());
        }
        let file = self.group.join("schemata");
        let text = self.schemata.join("\n") + "\n";
        write(&file, &text).map_err(|error| explain(error, &self.group, &file))
    }

    /// LNX-114: a class that is there already has to be the one that is meant.
    fn compare(&self) -> Result<()> {
        if self.schemata.is_empty() {
            return Ok(());
        }
        let file = self.group.join("schemata");
        let actual = std::fs::read_to_string(&file).call("read").on(file.display()).property(PROPERTY)?;
        match self.schemata.iter().find(|line| !holds(&actual, line)) {
            Some(line) => Err(CLASS.invalid(format!("{} exists, and differs from {line:?}", self.group.display()))),
            None => Ok(()),
        }
    }
}

impl Guard {
    /// LNX-99: what the process starts is in its groups, too.
    pub(crate) fn join(&self, pid: Pid) -> Result<()> {
        self.record.join(pid)
    }

    pub(crate) fn record(&self) -> Record {
        self.record.clone()
    }

    pub(crate) fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.made) {
            log::warn!("{error}");
        }
    }
}

impl Record {
    pub(crate) fn join(&self, pid: Pid) -> Result<()> {
        let file = self.group.join("tasks");
        write(&file, &pid.to_string()).on(file.display()).property(PROPERTY)
    }

    /// The class that a monitoring group is in, or the group itself.
    pub(super) fn class(&self) -> &Path {
        match self.group.parent() {
            Some(groups) if groups.ends_with("mon_groups") => groups.parent().unwrap_or(groups),
            _ => &self.group,
        }
    }

    /// LNX-116, LNX-117, LNX-120
    pub(crate) fn remove(&self) -> Result<()> {
        remove(&self.made)
    }
}

/// What is gone already is fine.
fn remove(directories: &[PathBuf]) -> Result<()> {
    directories.iter().try_for_each(|dir| match std::fs::remove_dir(dir).call("rmdir") {
        Err(error) if error.errno != Errno::ENOENT => Err(error.on(dir.display()).property(PROPERTY)),
        _ => Ok(()),
    })
}

/// Whether it is new.
fn make_directory(dir: &Path) -> Result<bool> {
    match nix::unistd::mkdir(dir, Mode::from_bits_truncate(0o755)).call("mkdir") {
        Ok(()) => Ok(true),
        Err(error) if error.errno == Errno::EEXIST => Ok(false),
        Err(error) if error.errno == Errno::ENOSPC => {
            Err(CLASS.unsupported(format!("{}: a further class of service on this processor", dir.display())))
        }
        Err(error) => Err(error.on(dir.display())),
    }
}

/// LNX-121
fn make_monitor(dir: &Path) -> Result<()> {
    match nix::unistd::mkdir(dir, Mode::from_bits_truncate(0o755)).call("mkdir") {
        Err(error) if error.errno == Errno::ENOENT => Err(MONITORING.unsupported("monitoring on this processor")),
        Err(error) if error.errno == Errno::ENOSPC => {
            Err(MONITORING.unsupported("a further monitoring group on this processor"))
        }
        result => result.on(dir.display()).property(MONITORING),
    }
}

pub(super) fn write(file: &Path, text: &str) -> sys::Result<()> {
    let file = sys::path::open(&sys::c_path(file)?, OFlag::O_WRONLY)?;
    sys::fd::write(file.as_fd(), text.as_bytes())
}

/// With the kernel's own words on the last command, at the root.
pub(super) fn explain(error: sys::Error, group: &Path, file: &Path) -> Error {
    let said = [Some(group), group.parent()].into_iter().flatten();
    let said = said.filter_map(|root| std::fs::read_to_string(root.join("info/last_cmd_status")).ok()).next();
    match said.as_deref().map(str::trim).filter(|said| !said.is_empty() && *said != "ok") {
        Some(said) => error.on(file.display()).kernel(said),
        None => error.on(file.display()),
    }
    .property(PROPERTY.field("schemata"))
}

/// Whether a `schemata` file says what a line does: `L3:0=00ff;1=f`, perhaps of some domains only.
fn holds(actual: &str, line: &str) -> bool {
    let Some((resource, domains)) = line.split_once(':') else { return false };
    let Some(found) =
        actual.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == resource.trim())
    else {
        return false;
    };
    let found: Vec<_> = found.1.split(';').filter_map(domain).collect();
    domains.split(';').map(domain).all(|domain| domain.is_some_and(|domain| found.contains(&domain)))
}

/// `0=00ff`, without what says nothing: blanks, leading zeros, the case of digits.
fn domain(text: &str) -> Option<(&str, String)> {
    let (id, value) = text.split_once('=')?;
    let value = value.trim().trim_start_matches('0').to_ascii_lowercase();
    Some((id.trim(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory like the one resctrl is mounted at, with a class `gold`.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("orlop-resctrl-{}-{name}", std::process::id()));
            let fake = Self(root.clone());
            for group in [root.clone(), root.join("gold")] {
                std::fs::create_dir_all(group.join("mon_groups")).unwrap();
                std::fs::write(group.join("tasks"), "").unwrap();
                std::fs::write(group.join("schemata"), "    L3:0=00ff;1=fff0\n    MB:0= 50;1=100\n").unwrap();
            }
            fake
        }

        fn plan(&self, class: Option<&str>, schemata: &[&str], monitor: bool) -> Plan {
            let group = class.map_or(self.0.join("box"), |class| self.0.join(class));
            Plan {
                monitor: monitor.then(|| group.join("mon_groups/box")),
                group,
                shared: class.is_some(),
                schemata: schemata.iter().map(|line| (*line).to_owned()).collect(),
            }
        }

        fn read(&self, file: &str) -> String {
            std::fs::read_to_string(self.0.join(file)).unwrap()
        }

        fn has(&self, dir: &str) -> bool {
            self.0.join(dir).is_dir()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// LNX-112, LNX-116: the container's own group goes with it, or with a create that fails.
    #[test]
    fn a_group_of_its_own() {
        let fake = Fake::new("own");
        let plan = fake.plan(None, &[], false);
        assert_eq!(plan.record().made, [fake.0.join("box")]);
        drop(plan.make().unwrap());
        assert!(!fake.has("box"));
        let guard = plan.make().unwrap();
        let record = guard.record();
        guard.keep();
        assert!(fake.has("box"));
        record.remove().unwrap();
        assert!(!fake.has("box"));
        record.remove().unwrap();
    }

    /// LNX-110, LNX-117: one that was there already is used, limited, and stays.
    #[test]
    fn a_group_that_was_there() {
        let fake = Fake::new("there");
        std::fs::create_dir(fake.0.join("box")).unwrap();
        std::fs::write(fake.0.join("box/schemata"), "L3:0=1").unwrap();
        let plan = fake.plan(None, &["L3:0=f", "MB:0=10"], false);
        assert_eq!(plan.record().made, Vec::<PathBuf>::new());
        let record = plan.make().unwrap().record();
        assert_eq!(fake.read("box/schemata"), "L3:0=f\nMB:0=10\n");
        record.remove().unwrap();
        assert!(fake.has("box"));
    }

    /// LNX-113, LNX-117: a class with a name is made, and stays unless the create fails.
    #[test]
    fn a_new_class() {
        let fake = Fake::new("class");
        let plan = fake.plan(Some("silver"), &["L3:0=f"], false);
        assert_eq!(plan.record().made, [fake.0.join("silver")]);
        // A real one has its files from the start, so a fake one cannot be limited.
        let error = plan.make().unwrap_err().to_string();
        assert!(
            error.starts_with("linux.intelRdt.schemata: ") && error.ends_with("ENOENT: no such file or directory"),
            "{error}"
        );
        assert!(!fake.has("silver"));
    }

    /// LNX-99, LNX-111, LNX-115: a class that is there takes the container in, and is not written to.
    #[test]
    fn a_class_that_is_there() {
        let fake = Fake::new("assign");
        let before = fake.read("gold/schemata");
        let guard = fake.plan(Some("gold"), &[], false).make().unwrap();
        guard.join(Pid::from_raw(4711)).unwrap();
        drop(guard);
        assert_eq!((fake.read("gold/tasks").as_str(), fake.read("tasks").as_str()), ("4711", ""));
        assert_eq!(fake.read("gold/schemata"), before);
        let error = fake.plan(Some("nosuch"), &[], false).make().unwrap_err().to_string();
        assert!(error.starts_with("linux.intelRdt.closID: ") && error.contains("no such class"), "{error}");
        assert!(!fake.has("nosuch"));
    }

    /// LNX-114
    #[test]
    fn a_class_that_differs() {
        let fake = Fake::new("differs");
        for same in [&["L3:0=ff;1=FFF0"][..], &["L3:1=fff0", "MB:0=50;1=100"], &["MB: 1 = 100"]] {
            assert!(fake.plan(Some("gold"), same, false).make().is_ok(), "{same:?}");
        }
        for other in [&["L3:0=f"][..], &["L3:0=ff", "MB:0=60"], &["L2:0=1"], &["L3:2=ff"], &["nonsense"]] {
            let error = fake.plan(Some("gold"), other, false).make().unwrap_err().to_string();
            assert!(error.starts_with("linux.intelRdt.closID: ") && error.contains("differs"), "{other:?}: {error}");
        }
        assert!(fake.has("gold"));
    }

    /// LNX-118, LNX-119, LNX-120, LNX-121
    #[test]
    fn monitoring() {
        let fake = Fake::new("monitor");
        let plan = fake.plan(Some("gold"), &[], true);
        let guard = plan.make().unwrap();
        std::fs::write(fake.0.join("gold/mon_groups/box/tasks"), "").unwrap();
        guard.join(Pid::from_raw(4711)).unwrap();
        assert_eq!(fake.read("gold/mon_groups/box/tasks"), "4711");
        let record = guard.record();
        guard.keep();
        let error = plan.make().unwrap_err().to_string();
        assert!(error.starts_with("linux.intelRdt.enableMonitoring: ") && error.contains("EEXIST"), "{error}");
        std::fs::remove_file(fake.0.join("gold/mon_groups/box/tasks")).unwrap();
        record.remove().unwrap();
        assert!(!fake.has("gold/mon_groups/box") && fake.has("gold"));
        std::fs::remove_dir(fake.0.join("gold/mon_groups")).unwrap();
        let error = plan.make().unwrap_err().to_string();
        assert_eq!(error, "linux.intelRdt.enableMonitoring: not supported: monitoring on this processor");
    }

    /// LNX-102
    #[test]
    fn the_default_class() {
        let fake = Fake::new("root");
        let plan = Plan { group: fake.0.clone(), ..fake.plan(Some("/"), &["MB:0=50"], false) };
        let guard = plan.make().unwrap();
        guard.join(Pid::from_raw(7)).unwrap();
        assert_eq!(fake.read("tasks"), "7");
        assert_eq!(guard.record().made, Vec::<PathBuf>::new());
    }
}
