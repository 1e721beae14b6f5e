//! What the fuzz targets of `tests/fuzz` call: one function per parser, each for any bytes.
//!
//! Runs in: tests and fuzz targets only (`--cfg fuzzing`)
//!
//! An error is fine, and so is a result; a panic, an endless loop or more memory than there is is not.

use std::os::fd::AsFd as _;

use crate::cgroup::systemd::message::Message;
use crate::cgroup::{Driver, Layout};
use crate::container::record::Record;
use crate::container::status::Stat;
use crate::container::{ContainerId, CreateOptions, Rootless};
use crate::error::Result;
use crate::host::Host;
use crate::image::{self, document};
use crate::plan::Plan;
use crate::seccomp::{self, Filter};
use crate::spec::change::Change;
use crate::sync;
use crate::{mountinfo, namespace, net_devices, process, spec, sys};

/// A target's name, which is that of its corpus, and what it does with bytes.
type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("arguments", arguments),
    ("bus", bus),
    ("config", config),
    ("filter", filter),
    ("images", images),
    ("layer", layer),
    ("netlink", netlink),
    ("passwd", passwd),
    ("state", state),
    ("tables", tables),
    ("wire", wire),
];

/// config.json, up to a plan, on a host with cgroup v1 and on one with v2.
pub fn config(data: &[u8]) {
    for host in hosts() {
        let _ = compile(data, &host);
    }
}

/// `exec --process`, and `update --resources`.
pub fn arguments(data: &[u8]) {
    let _ = spec::parse_process(data, "process.json");
    if let Ok(change) =
        serde_json::from_slice(data).map_err(drop).and_then(|value| Change::new(value, None).map_err(drop))
    {
        let _ = change.merge(b"{\"ociVersion\": \"1.3.0\", \"linux\": {\"resources\": {\"memory\": {\"limit\": 1}}}}");
    }
}

/// state.json. What can be read can be written, and is the same when it is read again.
pub fn state(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(data) else { return };
    let Ok(text) = serde_json::to_vec(&record) else { return };
    let again = serde_json::from_slice::<Record>(&text).and_then(|record| serde_json::to_vec(&record));
    assert!(again.is_ok_and(|again| again == text));
}

/// The messages between init and parent: what is not one is an error.
pub fn wire(data: &[u8]) {
    let send = || -> Result<sync::Channel> {
        let (ours, theirs) = sync::channel()?;
        sys::socket::send(theirs.fd(), data, &[])?;
        Ok(ours)
    };
    let _ = send().and_then(|channel| channel.next());
    let _ = send().and_then(|channel| channel.introduced());
    let _ = send().and_then(|channel| channel.wait(sync::ToInit::Committed));
}

/// The kernel's tables: mounts, cgroups, processes, id maps.
pub fn tables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = mountinfo::parse(&text);
    let _ = Layout::fixture(&text, "");
    let _ = Stat::parse(data);
    let _ = namespace::idmap::parse(&text);
}

/// The image's passwd file.
pub fn passwd(data: &[u8]) {
    let _ = process::env::home_in(data, 1000);
}

/// `linux.seccomp`, up to the finished filter, and a filter as init and the cache get it.
pub fn filter(data: &[u8]) {
    if let Some(filter) = Filter::from_bytes(data) {
        let _ = Filter::from_bytes(&filter.to_bytes());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(plan) = seccomp::Plan::uncached(text) {
        let _ = plan.build();
    }
}

/// An image's documents: index, manifest, configuration. What can be read is the same when it is read again.
pub fn images(data: &[u8]) {
    again::<image::Index>(data);
    again::<image::Manifest>(data);
    again::<image::Image>(data);
    let _ = image::full_name(&String::from_utf8_lossy(data));
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(data: &[u8]) {
    let Ok(document) = document::parse::<T>(data) else { return };
    let Ok(text) = serde_json::to_vec(&document) else { return };
    let again = document::parse::<T>(&text).ok().and_then(|document| serde_json::to_vec(&document).ok());
    assert!(again.is_some_and(|again| again == text));
}

/// A layer's tar, unpacked: nothing comes to be beside the layer, and all of it can be removed.
pub fn layer(data: &[u8]) {
    let name = format!("orlop-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
    let scratch = std::env::temp_dir().join(name);
    let unpacked = std::fs::create_dir_all(scratch.join("layer")).and_then(|()| {
        let root = std::fs::File::open(scratch.join("layer"))?;
        let _ = image::layer::Unpack::new(root.as_fd()).apply(data);
        std::fs::read_dir(&scratch).map(Iterator::count)
    });
    assert!(unpacked.is_ok_and(|beside| beside == 1));
    assert!(std::fs::remove_dir_all(&scratch).is_ok());
}

/// A message on the bus, whoever sent it, up to what is taken from its body.
pub fn bus(data: &[u8]) {
    let Some(prelude) = data.first_chunk() else { return };
    if crate::cgroup::systemd::message::length(prelude) != Some(data.len()) {
        return;
    }
    let Ok(message) = Message::parse(data.to_vec()) else { return };
    let _ = message.role();
    let _ = message.text();
    let _ = message.body::<zbus::Variant<'_>>();
    let _ = message.body::<(u32, zbus::OwnedObjectPath, String, String)>();
}

/// Answers of rtnetlink, up to devices and addresses.
pub fn netlink(data: &[u8]) {
    let Ok(messages) = sys::netlink::parse(data) else { return };
    net_devices::read(&messages);
}

/// With the current directory as bundle: cargo's tests run where Cargo.toml is.
pub(crate) fn compile(text: &[u8], host: &Host) -> Result<Plan> {
    let options = CreateOptions {
        root: "/run/orlop".into(),
        id: ContainerId::new("box")?,
        bundle: std::env::current_dir().unwrap_or_default(),
        pid_file: None,
        console_socket: None,
        foreground: false,
        no_pivot: false,
        no_new_keyring: false,
        pidfd_socket: None,
        preserve_fds: 0,
        listen_fds: None,
        notify_socket: None,
        rootless: Rootless::Auto,
        driver: Driver::Cgroupfs,
    };
    Plan::compile(&spec::parse(text)?, host, &options)
}

/// One with every controller of cgroup v1, one with v2.
pub(crate) fn hosts() -> [Host; 2] {
    let names = ["cpu", "cpuset", "memory", "devices", "pids", "blkio", "hugetlb", "net_cls", "net_prio", "rdma"];
    let mount = |name: &str| format!("9 1 0:9 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n");
    let v2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    [
        Host::fixture(Layout::fixture(&names.map(mount).concat(), "")),
        Host::fixture(Layout::fixture(v2, "0::/user.slice\n")),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What fuzzing has found worth keeping: inputs that lead to different places, and former failures.
    #[test]
    fn the_corpus_is_replayed() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let inputs: Vec<_> = corpus.join(name).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!inputs.is_empty(), "{name}");
            for input in inputs {
                println!("{}", input.display());
                target(&std::fs::read(&input).unwrap());
            }
        }
    }
}
