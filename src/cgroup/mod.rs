//! The container's cgroup: planned from the configuration, made and limited before the process
//! runs, signalled, frozen and removed later.
//!
//! Runs in: parent (init only writes "0" to the doors it was given) · config-linux.md#control-groups
//!
//! Two axes: who owns the cgroup (`Plan` and `Guard`: we do, or nobody where nothing may be made
//! and nothing is asked for), and the hierarchy (`v1`: one directory per controller; `v2`: one).
//!
//! ```text
//! Config ── compile ──> Plan ── create ──> Guard ── limit, join, keep ──> (container lives)
//!                        └── record ──> Record (state.json) ── open ──> Cgroup ── kill, remove
//! ```

mod block_io;
mod devices;
mod driver;
mod entrance;
mod explain;
mod file;
mod freezer;
mod guard;
mod hugepages;
mod journal;
mod live;
mod network;
mod oom;
mod oom_notice;
mod owner;
mod path;
mod rdma;
mod resources;
mod shrink;
mod stats;
pub(crate) mod systemd;
#[cfg(test)]
mod tests;
mod tree;
mod update;
mod v1;
mod v2;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::container::{ContainerId, Rootless};
use crate::error::{Property, Result};
use crate::host::Host;
use crate::spec::Config;

pub(crate) use driver::Driver;
pub(crate) use entrance::{Entrance, Sub};
pub(crate) use guard::Guard;
pub(crate) use live::Cgroup;
pub(crate) use oom_notice::{Notice, OomNotices};
pub(crate) use path::{Layout, Version};
pub(crate) use resources::warn_of_kernel_memory;
pub(crate) use stats::{Stats, openmetrics};

use devices::Devices;
use path::{CgroupPath, Mounted};

/// What to make and to write, decided from the configuration alone.
#[derive(Debug)]
pub(crate) struct Plan {
    driver: Driver,
    hierarchies: Vec<Hierarchy>,
    writes: Vec<Write>,
    devices: Devices,
    /// `linux.resources` is there: without it, a cgroup that existed before keeps what it has.
    configured: bool,
    /// `linux.cgroupsPath` is there.
    explicit: bool,
    /// Whose it becomes, if not root's (v2).
    owner: Option<u32>,
    /// What systemd is asked for, where it is the driver.
    scope: Option<systemd::Scope>,
}

/// The container's directory in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) version: Version,
    /// v1: `cpu,cpuacct` or `name=systemd`. v2: empty.
    pub(crate) controllers: String,
    /// Where the host mounts the hierarchy.
    pub(crate) mountpoint: PathBuf,
    /// The container's cgroup below it.
    pub(crate) dir: PathBuf,
}

/// One value for one file. The controller is what the file's name begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    file: Cow<'static, str>,
    value: String,
    property: Property,
    missing: Missing,
    /// What the file of a new cgroup says anyway.
    initial: bool,
}

/// What it means that a write's file is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    /// The host cannot do this.
    Fails,
    /// What it would say is so anyway.
    IsFine,
    /// Another kernel, another name.
    Other(Box<Write>),
}

/// What other commands need to find the cgroup again; part of state.json.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    driver: Driver,
    /// The scope that systemd has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    version: Version,
    controllers: String,
    dir: PathBuf,
    /// How many directories from `dir` upwards are ours to remove: none if it was there before.
    made: usize,
}

impl Plan {
    pub(crate) fn compile(config: &Config, id: &ContainerId, host: &Host, driver: Driver) -> Result<Self> {
        let linux = &config.linux;
        let layout = host.cgroups()?;
        if driver == Driver::Disabled {
            driver::warn_of_ignored(linux.resources.as_ref());
            return Self::inherited(layout);
        }
        let configured = linux.resources.is_some();
        let (writes, rules) = match &linux.resources {
            Some(resources) => {
                warn_of_kernel_memory(resources);
                (resources::compile(resources, layout)?, resources.devices.as_slice())
            }
            None => (Vec::new(), [].as_slice()),
        };
        let devices = Devices::compile(rules, layout)?;
        let explicit = linux.cgroups_path.as_ref().is_some_and(|path| !path.is_empty());
        let (hierarchies, scope) = match driver {
            Driver::Systemd => {
                let scope = systemd::Scope::compile(config, id.as_str(), &writes, host)?;
                (vec![scope.hierarchy(layout)?], Some(scope))
            }
            _ => (layout.place_all(&CgroupPath::compile(linux.cgroups_path.as_deref(), id.as_str())?)?, None),
        };
        Ok(Self { driver, hierarchies, writes, devices, configured, explicit, owner: owner::compile(config), scope })
    }

    /// Nothing to make: the container stays where its creator is, and its cgroup mounts show that.
    fn inherited(layout: &Layout) -> Result<Self> {
        let hierarchy = |mounted: &Mounted| Ok(mounted.hierarchy(layout.own_directory(mounted)?));
        Ok(Self {
            driver: Driver::Disabled,
            hierarchies: layout.mounts.iter().map(hierarchy).collect::<Result<_>>()?,
            writes: Vec::new(),
            devices: Devices::Lists(Vec::new()),
            configured: false,
            explicit: false,
            owner: None,
            scope: None,
        })
    }

    /// The intent, written down before anything is made: where the cgroup will be, and which of
    /// its directories do not exist yet.
    pub(crate) fn record(&self) -> Record {
        let group = |hierarchy: &Hierarchy| {
            let below = hierarchy.dir.ancestors().take_while(|dir| *dir != hierarchy.mountpoint);
            hierarchy.group(below.take_while(|dir| !file::exists(dir)).count())
        };
        let groups = match self.driver {
            Driver::Cgroupfs => self.hierarchies.iter().map(group).collect(),
            // A scope ends with the process it was made for: there is nothing to clean up by name.
            Driver::Systemd => self.hierarchies.iter().map(|hierarchy| hierarchy.group(0)).collect(),
            Driver::Disabled => Vec::new(),
        };
        Record { driver: self.driver, unit: None, groups }
    }

    /// For cgroup mounts in the container.
    pub(crate) fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// `root` is where the containers' state is.
    pub(crate) fn create(&self, rootless: Rootless, root: &Path) -> Result<Guard> {
        Guard::create(self, rootless, root)
    }

    /// Nobody named a place or a limit: a caller who may not make cgroups does without one.
    fn is_optional(&self) -> bool {
        self.writes.is_empty() && !self.explicit
    }

    /// What a cgroup is needed for: the place that was asked for, or else the first limit.
    fn reason(&self) -> Property {
        self.writes.first().filter(|_| !self.explicit).map_or(path::PROPERTY, |write| write.property)
    }

    /// The directory of the hierarchy that has the controller.
    fn find(&self, controller: &str) -> Option<usize> {
        self.hierarchies.iter().position(|hierarchy| hierarchy.controls(controller))
    }
}

/// The hierarchies, with the cgroups that this process is in.
pub(crate) fn inherited() -> Result<Vec<Hierarchy>> {
    Ok(Plan::inherited(&Layout::probe()?)?.hierarchies)
}

impl Hierarchy {
    /// The name of the mount's directory: `cpu,cpuacct`, `systemd`.
    pub(crate) fn name(&self) -> String {
        self.mountpoint.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The mount options that give this hierarchy and no other (v1).
    pub(crate) fn options(&self) -> String {
        if self.controllers.starts_with("name=") {
            format!("none,{}", self.controllers)
        } else {
            self.controllers.clone()
        }
    }

    /// Further names that programs look for beside `name`, as links to it: `cpu` for `cpu,cpuacct`.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = &str> {
        let joint = self.controllers.contains(',');
        self.controllers.split(',').filter(move |name| joint && !name.starts_with("name="))
    }

    fn controls(&self, controller: &str) -> bool {
        self.version == Version::V2 || self.controllers.split(',').any(|name| name == controller)
    }

    fn group(&self, made: usize) -> Group {
        Group { version: self.version, controllers: self.controllers.clone(), dir: self.dir.clone(), made }
    }
}

impl Write {
    fn new(file: impl Into<Cow<'static, str>>, value: impl ToString, property: Property) -> Self {
        Self { file: file.into(), value: value.to_string(), property, missing: Missing::Fails, initial: false }
    }

    fn optional(self) -> Self {
        Self { missing: Missing::IsFine, ..self }
    }

    /// The file to write instead where this one is missing.
    fn or(self, other: Self) -> Self {
        Self { missing: Missing::Other(Box::new(other)), ..self }
    }

    fn initial(self) -> Self {
        Self { initial: true, ..self }
    }

    /// `memory` for `memory.max`; the `cgroup.` files and those without a dot need none.
    fn controller(&self) -> Option<&str> {
        self.file.split_once('.').map(|(controller, _)| controller).filter(|name| *name != "cgroup")
    }
}
