//! systemd as the owner of the container's cgroup: a transient scope, asked for over D-Bus.
//!
//! Runs in: parent · org.freedesktop.systemd1(5)
//!
//! systemd makes the scope's cgroup around init, which exists by then and waits; all limits are
//! given to systemd as properties, and written to the files as well. Then it is a cgroup like any
//! other: its processes are listed, signalled and frozen in cgroupfs, and only `update` and removal
//! talk to systemd again. The bus is the system's for the host's root, else the user's session bus.

pub(crate) mod annotations;
mod bus;
pub(crate) mod message;
mod properties;
mod unit;

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use zbus::{OwnedObjectPath, Variant};

use super::path::PROPERTY;
use super::{Hierarchy, Layout, Version, Write, devices};
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::spec::Config;
use bus::{Bus, Failure};
use message::Target;

use properties::Setting;
use unit::Unit;

/// How long systemd may take to start or stop a scope.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const SYSTEMD: Target =
    Target { destination: "org.freedesktop.systemd1", path: "/org/freedesktop/systemd1", interface: MANAGER };
const PROPERTIES: Target = Target { interface: "org.freedesktop.DBus.Properties", ..SYSTEMD };
const JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
                    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

const EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// The scope of a container that is going to be made.
#[derive(Debug)]
pub(super) struct Scope {
    unit: Unit,
    settings: Vec<Setting>,
    /// Below the hierarchy's mount point.
    directory: PathBuf,
}

impl Scope {
    /// Asks systemd for its version and place, and for nothing else yet.
    pub(super) fn compile(config: &Config, id: &str, writes: &[Write], host: &Host) -> Result<Self> {
        let linux = &config.linux;
        let unit = Unit::compile(linux.cgroups_path.as_deref(), id, !host::is_host_root())?;
        let rules = linux.resources.as_ref().map_or([].as_slice(), |resources| &resources.devices);
        let devices = devices::allow_list(rules)?;
        let annotations = annotations::compile(&config.annotations)?;
        let manager = host.systemd()?;
        let mut settings = properties::of_scope(&unit, id);
        settings.extend(properties::of_writes(writes, manager.version));
        settings.extend(properties::of_devices(devices));
        for (name, value) in annotations {
            settings.retain(|(other, _)| *other != name);
            settings.push((name, value));
        }
        let directory = manager.cgroup.join(unit.directory());
        Ok(Self { unit, settings, directory })
    }

    pub(super) fn name(&self) -> &str {
        &self.unit.name
    }

    /// v1 is refused: systemd knows some of its controllers only, and is about to know none.
    pub(super) fn hierarchy(&self, layout: &Layout) -> Result<Hierarchy> {
        match layout.mounts.as_slice() {
            [only] if only.version == Version::V2 => Ok(only.hierarchy(only.point.join(&self.directory))),
            _ => Err(PROPERTY.unsupported("cgroup v2 alone, for systemd as the driver; this host has v1")),
        }
    }
}

/// The service manager that we talk to.
#[derive(Debug)]
pub(crate) struct Manager {
    bus: RefCell<Bus>,
    version: u32,
    /// Its own cgroup, below which all units are.
    cgroup: PathBuf,
}

impl Manager {
    pub(crate) fn connect() -> Result<Self> {
        let (mut bus, address) = open()?;
        let unanswered = |failure: Failure| PROPERTY.invalid(format!("systemd at {address}: {failure}"));
        let version = get(&mut bus, "Version").map_err(unanswered)?;
        let cgroup = get(&mut bus, "ControlGroup").map_err(unanswered)?;
        let cgroup = cgroup.trim_start_matches('/').into();
        Ok(Self { bus: RefCell::new(bus), version: number(&version), cgroup })
    }

    /// Gives the scope other limits. They are not kept beyond a reboot, and neither is the scope.
    pub(super) fn update(&self, unit: &str, writes: &[Write]) -> Result<()> {
        let settings = properties::of_writes(writes, self.version);
        if settings.is_empty() {
            return Ok(());
        }
        let done = self.bus.borrow_mut().call(SYSTEMD, "SetUnitProperties", &(unit, true, settings));
        done.map(drop).map_err(|failure| failed("SetUnitProperties", unit, &failure))
    }

    /// Has systemd make the scope around a process.
    pub(super) fn start(&self, scope: &Scope, pid: Pid) -> Result<()> {
        let unit = scope.unit.name.as_str();
        let failed = |failure: Failure| failed("StartTransientUnit", unit, &failure);
        let mut bus = self.bus.borrow_mut();
        bus.listen(JOBS).map_err(failed)?;
        let processes = ("PIDs", Variant::from(vec![pid.as_raw().cast_unsigned()]));
        let settings: Vec<_> = scope.settings.iter().chain([&processes]).collect();
        let auxiliary: [(&str, Vec<Setting>); 0] = [];
        let arguments = (unit, "replace", settings, auxiliary.as_slice());
        let job = match bus.call(SYSTEMD, "StartTransientUnit", &arguments) {
            // What is left of a unit that failed keeps its name until it is told to let go. Whether it
            // was that, or is gone by now, the second try tells.
            Err(failure) if failure.is(EXISTS) => {
                let _ = bus.call(SYSTEMD, "ResetFailedUnit", &(unit,));
                bus.call(SYSTEMD, "StartTransientUnit", &arguments)
            }
            result => result,
        };
        let job: OwnedObjectPath = job.map_err(failed)?.body().map_err(|error| failed(error.into()))?;
        match await_job(&mut bus, &job) {
            Ok(result) if result == "done" => Ok(()),
            Ok(result) => Err(abandoned(&mut bus, unit, &format!("its job ended with {result:?}"))),
            Err(failure) => Err(abandoned(&mut bus, unit, &failure.to_string())),
        }
    }
}

/// A scope that systemd has promised, and that did not come to be.
fn abandoned(bus: &mut Bus, unit: &str, why: &str) -> Error {
    let _ = bus.call(SYSTEMD, "StopUnit", &(unit, "replace"));
    let _ = bus.call(SYSTEMD, "ResetFailedUnit", &(unit,));
    PROPERTY.invalid(format!("systemd did not start {unit}: {why}"))
}

/// Stops a container's scope. A bus that cannot be reached does not keep the container: its cgroup is
/// removed next, and where that cannot be done is the error.
pub(super) fn release(unit: &str) {
    let released = open().and_then(|(mut bus, _)| stop(&mut bus, unit));
    if let Err(error) = released {
        log::warn!("{error}");
    }
}

/// Waits until the scope is gone. Most are gone already: systemd keeps none without processes.
fn stop(bus: &mut Bus, unit: &str) -> Result<()> {
    let failed = |failure: Failure| failed("StopUnit", unit, &failure);
    bus.listen(JOBS).map_err(failed)?;
    match bus.call(SYSTEMD, "StopUnit", &(unit, "replace")) {
        Err(failure) if failure.is(NO_UNIT) => return Ok(()),
        Err(failure) => return Err(failed(failure)),
        Ok(reply) => {
            let job: OwnedObjectPath = reply.body().map_err(|error| failed(error.into()))?;
            let result = await_job(bus, &job).map_err(failed)?;
            if result != "done" {
                log::warn!("{unit}: stopping it ended with {result:?}");
            }
        }
    }
    // One that failed (its processes ran out of memory) stays until this; others are unknown by now.
    match bus.call(SYSTEMD, "ResetFailedUnit", &(unit,)) {
        Err(failure) if !failure.is(NO_UNIT) => Err(failed(failure)),
        _ => Ok(()),
    }
}

/// A connection, and where it leads.
fn open() -> Result<(Bus, String)> {
    let address = address(!host::is_host_root())?;
    match Bus::connect(&address) {
        Ok(bus) => Ok((bus, address)),
        Err(failure) => Err(PROPERTY.invalid(format!("no connection to systemd at {address}: {failure}"))),
    }
}

/// What became of a job.
fn await_job(bus: &mut Bus, job: &OwnedObjectPath) -> bus::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, removed, _, result): (u32, OwnedObjectPath, String, String) =
            bus.signal("JobRemoved", deadline)?.body()?;
        if removed == *job {
            return Ok(result);
        }
    }
}

fn failed(call: &str, unit: &str, failure: &Failure) -> Error {
    PROPERTY.invalid(format!("{unit}: {call}: {failure}"))
}

fn get(bus: &mut Bus, property: &str) -> bus::Result<String> {
    let reply = bus.call(PROPERTIES, "Get", &(MANAGER, property))?;
    match reply.body::<Variant<'_>>()? {
        Variant::Str(value) => Ok(value.to_string()),
        other => Err(Failure::Nonsense(format!("{property} is {other}"))),
    }
}

/// `257.7-1~deb13u1`, `v249`: what counts is the first number.
fn number(version: &str) -> u32 {
    let digits = version.trim_start_matches(|character: char| !character.is_ascii_digit());
    let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or_default()
}

fn address(session: bool) -> Result<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if !session {
        return Ok(variable("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|| SYSTEM_BUS.to_owned()));
    }
    variable("DBUS_SESSION_BUS_ADDRESS")
        .or_else(|| variable("XDG_RUNTIME_DIR").map(|dir| format!("unix:path={dir}/bus")))
        .ok_or_else(|| {
            PROPERTY.unsupported(
                "systemd of a user session, and neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR says where it is",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [("257.7-1~deb13u1", 257), ("v249", 249), ("252 (252.4-1)", 252), ("", 0)] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
