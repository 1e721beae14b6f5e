//! linux.netDevices: devices of the host that move into the container's network namespace.
//!
//! Runs in: parent · config-linux.md#network-devices, LNX-38…LNX-47, network_namespaces(7)
//!
//! The parent moves them, as only it is privileged over the host's devices: between the moment when
//! init is in its namespace and its sysctls, which may be about them. Moving takes a device down and
//! its addresses away, so these are given again, then the device is brought up. They stay where they
//! are until the namespace goes (LNX-46); only a create that fails brings them back, since virtual
//! ones would go with the namespace.

mod route;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;

use crate::error::{Error, For as _, On as _, Property, Result};
use crate::namespace::Namespaces;
use crate::spec::config::NetDevice;
use crate::spec::map::Map;
use crate::sys::{self, ns};

use route::{Address, Link, Route};

const PROPERTY: Property = Property::of("linux.netDevices");

/// Devices by their names on the host and in the container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan(Vec<Device>);

#[derive(Debug, PartialEq, Eq)]
struct Device {
    outside: String,
    /// Perhaps with `%d` for a number that the kernel picks.
    inside: String,
}

impl Plan {
    pub(crate) fn compile(devices: &Map<NetDevice>, namespaces: &Namespaces) -> Result<Self> {
        if !devices.is_empty() && !namespaces.isolates(CloneFlags::CLONE_NEWNET) {
            return Err(PROPERTY.invalid("needs a network namespace in linux.namespaces"));
        }
        let mut plan: Vec<Device> = Vec::new();
        for (outside, device) in devices.iter() {
            let inside = device.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(outside);
            for name in [outside, inside] {
                check_name(name)?;
            }
            let number = inside.split_once('%').map(|(_, rest)| rest);
            if number.is_some_and(|rest| !rest.starts_with('d') || rest.contains('%')) {
                return Err(PROPERTY.invalid(format!("{inside:?}: a % may only be in one %d")));
            }
            if number.is_none()
                && let Some(other) = plan.iter().find(|other| other.inside == inside)
            {
                return Err(PROPERTY.invalid(format!("{:?} and {outside:?} both become {inside:?}", other.outside)));
            }
            plan.push(Device { outside: outside.to_owned(), inside: inside.to_owned() });
        }
        Ok(Self(plan))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves them all, or none.
    pub(crate) fn apply(&self, namespace: OwnedFd) -> Result<Moved> {
        let own = sys::path::open(c"/proc/self/ns/net", OFlag::O_RDONLY).on("own network namespace")?;
        let outside = Route::open().property(PROPERTY)?;
        let inside = route_in(namespace.as_fd(), own.as_fd()).property(PROPERTY)?;
        let mut moved = Moved { own, outside, inside, devices: Vec::with_capacity(self.0.len()) };
        for device in &self.0 {
            device.check(&mut moved)?;
        }
        for device in &self.0 {
            moved.bring_in(device, namespace.as_fd()).property(PROPERTY)?;
        }
        Ok(moved)
    }
}

/// What the kernel takes for a name.
fn check_name(name: &str) -> Result<()> {
    let problem = if name.is_empty() || name == "." || name == ".." {
        "is not a name"
    } else if name.len() >= libc::IFNAMSIZ {
        "is longer than 15 bytes"
    } else if name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_ascii_whitespace()) {
        "has a blank, a slash, a colon or a NUL byte inside"
    } else {
        return Ok(());
    };
    Err(PROPERTY.invalid(format!("{name:?} {problem}")))
}

/// A socket that is about another namespace than ours.
fn route_in(namespace: BorrowedFd<'_>, own: BorrowedFd<'_>) -> sys::Result<Route> {
    ns::setns(namespace, CloneFlags::CLONE_NEWNET)?;
    let route = Route::open();
    ns::setns(own, CloneFlags::CLONE_NEWNET)?;
    route
}

impl Device {
    /// LNX-40, LNX-41: before the first one is moved.
    fn check(&self, moved: &mut Moved) -> Result<()> {
        let Self { outside, inside } = self;
        if moved.outside.find(outside).on(outside).property(PROPERTY)?.is_none() {
            return Err(PROPERTY.invalid(format!("{outside}: there is no such network device")));
        }
        if !self.is_template() && moved.inside.find(inside).on(inside).property(PROPERTY)?.is_some() {
            return Err(PROPERTY.invalid(format!("{outside}: the container has a network device {inside} already")));
        }
        Ok(())
    }

    fn is_template(&self) -> bool {
        self.inside.contains('%')
    }
}

/// Devices in the container's namespace; dropped, they go back to where they came from.
#[derive(Debug)]
pub(crate) struct Moved {
    own: OwnedFd,
    outside: Route,
    inside: Route,
    devices: Vec<Origin>,
}

/// What a device was on the host.
#[derive(Debug)]
struct Origin {
    index: i32,
    link: Link,
    addresses: Vec<Address>,
}

impl Moved {
    fn bring_in(&mut self, device: &Device, namespace: BorrowedFd<'_>) -> Result<()> {
        let name = &device.outside;
        let link = self.outside.find(name).on(name)?.ok_or_else(|| gone(name))?;
        let addresses = self.outside.addresses(&link).on(name)?;
        // The kernel does not tell the number it picks. So a name that nobody else thinks of comes
        // first, and the number in a second step, which leaves the index as it is.
        let first = if device.is_template() { format!("orlop{}", std::process::id()) } else { device.inside.clone() };
        let sent = self.outside.send_away(link.index, namespace, &first);
        if let Err(error) = sent
            && self.outside.get(link.index).is_ok()
        {
            return Err(refused(error, name));
        }
        // A call that fails to give it the new name has moved it all the same.
        let called = if sent.is_ok() { &first } else { name };
        let arrived = self.inside.find(called).on(name)?.ok_or_else(|| gone(name))?;
        self.devices.push(Origin { index: arrived.index, link, addresses: addresses.clone() });
        sent.on(name)?;
        if device.is_template() {
            self.inside.rename(arrived.index, &device.inside).on(name)?;
        }
        let arrived = self.inside.get(arrived.index).on(name)?;
        settle(&mut self.inside, &arrived, &addresses, true).on(name)
    }

    /// The container lives: the devices are its own now.
    pub(crate) fn keep(mut self) {
        self.devices.clear();
    }

    fn bring_back(&mut self, origin: &Origin) -> sys::Result<()> {
        self.inside.send_away(origin.index, self.own.as_fd(), &origin.link.name)?;
        match self.outside.find(&origin.link.name)? {
            Some(link) => settle(&mut self.outside, &link, &origin.addresses, origin.link.is_up),
            None => Err(sys::Error { call: "RTM_GETLINK", errno: Errno::ENODEV }),
        }
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        while let Some(origin) = self.devices.pop() {
            if let Err(error) = self.bring_back(&origin) {
                log::warn!("{}", error.on(&origin.link.name).property(PROPERTY));
            }
        }
    }
}

/// LNX-43, LNX-44
fn settle(route: &mut Route, link: &Link, addresses: &[Address], up: bool) -> sys::Result<()> {
    addresses.iter().try_for_each(|address| route.add_address(link, address))?;
    if up { route.bring_up(link.index) } else { Ok(()) }
}

fn gone(name: &str) -> Error {
    PROPERTY.invalid(format!("{name}: there is no such network device any more"))
}

/// Everything that is taken from the kernel's answers, of any of their devices.
#[cfg(any(test, fuzzing))]
pub(crate) fn read(messages: &[sys::netlink::Message]) {
    for link in messages.iter().filter_map(Link::read) {
        for address in messages.iter().filter_map(|message| Address::read(message, &link)) {
            let _ = address.write(&link);
        }
    }
}

fn refused(error: sys::Error, name: &str) -> Error {
    match error.errno {
        // Loopback devices, bridges and others that belong to their namespace.
        Errno::EINVAL => PROPERTY.invalid(format!("{name}: a device of this type cannot be moved")),
        _ => error.on(name).property(PROPERTY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::config::Linux;

    fn compile(devices: &str, namespaces: &str) -> Result<Plan> {
        let json = format!(r#"{{"netDevices": {devices}, "namespaces": {namespaces}}}"#);
        let linux: Linux = serde_json::from_str(&json).unwrap();
        Plan::compile(&linux.net_devices, &Namespaces::compile(&linux)?)
    }

    const OWN: &str = r#"[{"type": "network"}]"#;

    /// LNX-38, LNX-39, LNX-42
    #[test]
    fn names() {
        let plan = compile(r#"{"eth1": {"name": "lan"}, "eth2": {}, "eth3": {"name": ""}, "a": {"name": "e%d"}}"#, OWN);
        let pairs: Vec<_> = plan.unwrap().0.into_iter().map(|device| (device.outside, device.inside)).collect();
        let expected = [("eth1", "lan"), ("eth2", "eth2"), ("eth3", "eth3"), ("a", "e%d")];
        assert_eq!(pairs, expected.map(|(outside, inside)| (outside.to_owned(), inside.to_owned())));
        assert!(compile(r#"{"a": {"name": "x%d"}, "b": {"name": "x%d"}}"#, OWN).is_ok());
        assert!(compile("null", "[]").unwrap().is_empty());
    }

    /// LNX-47
    #[test]
    fn refusals() {
        for (devices, namespaces, text) in [
            (r#"{"eth0": {}}"#, "[]", "needs a network namespace in linux.namespaces"),
            (
                r#"{"eth0": {}}"#,
                r#"[{"type": "network", "path": "/proc/self/ns/net"}]"#,
                "needs a network namespace in linux.namespaces",
            ),
            (r#"{"": {}}"#, OWN, r#""" is not a name"#),
            (r#"{"a": {"name": ".."}}"#, OWN, r#"".." is not a name"#),
            (r#"{"sixteen-bytes-16": {}}"#, OWN, r#""sixteen-bytes-16" is longer than 15 bytes"#),
            (r#"{"a": {"name": "b/c"}}"#, OWN, r#""b/c" has a blank, a slash, a colon or a NUL byte inside"#),
            (r#"{"a": {"name": "e%d%d"}}"#, OWN, r#""e%d%d": a % may only be in one %d"#),
            (r#"{"a": {"name": "e%s"}}"#, OWN, r#""e%s": a % may only be in one %d"#),
            (r#"{"a": {"name": "x"}, "x": {}}"#, OWN, r#""a" and "x" both become "x""#),
        ] {
            let error = compile(devices, namespaces).unwrap_err().to_string();
            assert_eq!(error, format!("linux.netDevices: {text}"), "{devices}");
        }
    }
}
