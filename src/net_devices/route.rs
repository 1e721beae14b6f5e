//! What is asked of and said about network devices and their addresses.
//!
//! Runs in: parent · rtnetlink(7)

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

use crate::sys::netlink::{Message, Netlink, malformed};
use crate::sys::{Error, Result};

/// `struct ifinfomsg`: family, type, index, flags, and which flags to change.
const LINK: usize = 16;
/// `struct ifaddrmsg`: family, prefix length, flags, scope, index.
const ADDRESS: usize = 8;

const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;

/// Attributes of an address that go with it; its label has to be made up again.
const KEPT: [u16; 6] =
    [libc::IFA_ADDRESS, libc::IFA_LOCAL, libc::IFA_BROADCAST, libc::IFA_CACHEINFO, IFA_RT_PRIORITY, IFA_PROTO];

/// Flags of an address that may be asked for: no duplicate detection, optimistic, home address, temporary
/// ones made from it, no route for its prefix, joining of multicast groups.
const KEPT_FLAGS: u32 = 0x02 | 0x04 | 0x10 | 0x100 | 0x200 | 0x400;

/// A network namespace's devices.
#[derive(Debug)]
pub(super) struct Route(Netlink);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: i32,
    pub(super) name: String,
    pub(super) is_up: bool,
}

/// An address as it can be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    /// What follows the device's name in an IPv4 label: `:1`.
    label: Option<String>,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Route {
    /// Of the namespace that this process is in.
    pub(super) fn open() -> Result<Self> {
        Netlink::open().map(Self)
    }

    pub(super) fn find(&mut self, name: &str) -> Result<Option<Link>> {
        let request = Message::new(libc::RTM_GETLINK, &link(0, 0, 0)).attribute(libc::IFLA_IFNAME, &c_name(name));
        match self.0.request(&request, 0, "RTM_GETLINK") {
            Err(Error { errno: Errno::ENODEV, .. }) => Ok(None),
            answer => answer?.iter().find_map(Link::read).ok_or(malformed("RTM_GETLINK")).map(Some),
        }
    }

    pub(super) fn get(&mut self, index: i32) -> Result<Link> {
        let request = Message::new(libc::RTM_GETLINK, &link(index, 0, 0));
        let answer = self.0.request(&request, 0, "RTM_GETLINK")?;
        answer.iter().find_map(Link::read).ok_or(malformed("RTM_GETLINK"))
    }

    /// The permanent addresses of a device that are valid everywhere.
    pub(super) fn addresses(&mut self, link: &Link) -> Result<Vec<Address>> {
        let all = Message::new(libc::RTM_GETADDR, &[0; ADDRESS]);
        let all = self.0.request(&all, libc::NLM_F_DUMP, "RTM_GETADDR")?;
        Ok(all.iter().filter_map(|message| Address::read(message, link)).collect())
    }

    /// Into another namespace, where it is called `name`.
    pub(super) fn send_away(&mut self, index: i32, namespace: BorrowedFd<'_>, name: &str) -> Result<()> {
        let request = Message::new(libc::RTM_SETLINK, &link(index, 0, 0))
            .attribute(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes())
            .attribute(libc::IFLA_IFNAME, &c_name(name));
        self.0.request(&request, 0, "RTM_SETLINK").map(drop)
    }

    /// `%d` stands for the first number that is free.
    pub(super) fn rename(&mut self, index: i32, name: &str) -> Result<()> {
        let request = Message::new(libc::RTM_SETLINK, &link(index, 0, 0)).attribute(libc::IFLA_IFNAME, &c_name(name));
        self.0.request(&request, 0, "RTM_SETLINK").map(drop)
    }

    pub(super) fn bring_up(&mut self, index: i32) -> Result<()> {
        let up = libc::IFF_UP as u32;
        self.0.request(&Message::new(libc::RTM_SETLINK, &link(index, up, up)), 0, "RTM_SETLINK").map(drop)
    }

    pub(super) fn add_address(&mut self, link: &Link, address: &Address) -> Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.0.request(&address.write(link), flags, "RTM_NEWADDR").map(drop)
    }
}

fn link(index: i32, flags: u32, change: u32) -> [u8; LINK] {
    let mut fixed = [0; LINK];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..].copy_from_slice(&change.to_ne_bytes());
    fixed
}

/// Names are checked when the configuration is read: there is no NUL inside.
fn c_name(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned()
}

impl Link {
    pub(super) fn read(message: &Message) -> Option<Self> {
        let word = |at: usize| message.body.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let name = message.attributes(LINK).find(|(kind, _)| *kind == libc::IFLA_IFNAME)?.1;
        Some(Self { index: word(4)?.cast_signed(), name: text(name), is_up: word(8)? & libc::IFF_UP as u32 != 0 })
    }
}

impl Address {
    /// LNX-43: none that the kernel or a DHCP client would take back, and none of the link alone.
    pub(super) fn read(message: &Message, link: &Link) -> Option<Self> {
        let [family, prefix, flags, scope, index @ ..] = message.body.get(..ADDRESS)? else { return None };
        let of = |kind| message.attributes(ADDRESS).find(|(found, _)| *found == kind).map(|(_, value)| value);
        let wide = of(libc::IFA_FLAGS).and_then(|value| value.try_into().ok()).map(u32::from_ne_bytes);
        let flags = wide.unwrap_or(u32::from(*flags));
        let is_ours = i32::from_ne_bytes(index.try_into().ok()?) == link.index;
        if !is_ours || *scope != libc::RT_SCOPE_UNIVERSE || flags & libc::IFA_F_PERMANENT == 0 {
            return None;
        }
        let attributes = message.attributes(ADDRESS).filter(|(kind, _)| KEPT.contains(kind));
        Some(Self {
            family: *family,
            prefix: *prefix,
            flags: flags & KEPT_FLAGS,
            label: of(libc::IFA_LABEL).and_then(|label| text(label).strip_prefix(&link.name).map(str::to_owned)),
            attributes: attributes.map(|(kind, value)| (kind, value.to_vec())).collect(),
        })
    }

    pub(super) fn write(&self, link: &Link) -> Message {
        let mut fixed = [self.family, self.prefix, 0, libc::RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
        fixed[4..].copy_from_slice(&link.index.to_ne_bytes());
        let mut message = Message::new(libc::RTM_NEWADDR, &fixed);
        for (kind, value) in &self.attributes {
            message = message.attribute(*kind, value);
        }
        let label = self.label.as_ref().map(|suffix| c_name(&format!("{}{suffix}", link.name)));
        // One that has become too long is no loss: it is a name for ifconfig's eyes.
        if let Some(label) = label.filter(|label| label.len() <= libc::IFNAMSIZ) {
            message = message.attribute(libc::IFA_LABEL, &label);
        }
        message.attribute(libc::IFA_FLAGS, &self.flags.to_ne_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, index: i32) -> Link {
        Link { index, name: name.into(), is_up: true }
    }

    /// 192.0.2.7/24 of device 4.
    fn address(scope: u8, flags: u32) -> Message {
        Message::new(libc::RTM_NEWADDR, &[2, 24, flags as u8, scope, 4, 0, 0, 0])
            .attribute(libc::IFA_LOCAL, &[192, 0, 2, 7])
            .attribute(libc::IFA_LABEL, b"old:1\0")
            .attribute(libc::IFA_FLAGS, &flags.to_ne_bytes())
    }

    /// LNX-43
    #[test]
    fn permanent_global_addresses_are_kept() {
        let old = named("old", 4);
        let kept = Address::read(&address(0, 0x80 | 0x200 | 0x01), &old).unwrap();
        assert_eq!((kept.flags, kept.label.as_deref()), (0x200, Some(":1")));
        assert_eq!(kept.attributes, [(libc::IFA_LOCAL, vec![192, 0, 2, 7])]);
        assert_eq!(Address::read(&address(0, 0), &old), None);
        assert_eq!(Address::read(&address(libc::RT_SCOPE_LINK, 0x80), &old), None);
        assert_eq!(Address::read(&address(0, 0x80), &named("old", 5)), None);
    }

    #[test]
    fn labels_take_the_new_name() {
        let kept = Address::read(&address(0, 0x80), &named("old", 4)).unwrap();
        let label = |name: &str| {
            let message = kept.write(&named(name, 9));
            assert_eq!(message.body[..8], [2, 24, 0, 0, 9, 0, 0, 0]);
            message.attributes(ADDRESS).find(|(kind, _)| *kind == libc::IFA_LABEL).map(|(_, value)| text(value))
        };
        assert_eq!(label("eth0").as_deref(), Some("eth0:1"));
        assert_eq!(label("fourteen-bytes"), None);
    }
}
