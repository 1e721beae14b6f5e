//! What the fuzz targets of `tests/fuzz` call: one function per parser, each for any bytes.
//!
//! Runs in: tests and fuzz targets only (`--cfg fuzzing`)
//!
//! An error is fine, and so is a result; a panic, an endless loop or more memory than there is is not.

use crate::cgroup::{Driver, Layout};
use crate::container::record::Record;
use crate::container::status::Stat;
use crate::container::{ContainerId, CreateOptions, Rootless};
use crate::error::Result;
use crate::host::Host;
use crate::plan::Plan;
use crate::seccomp::{self, Filter};
use crate::spec::change::Change;
use crate::sync;
use crate::{mountinfo, namespace, process, spec, sys};

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
