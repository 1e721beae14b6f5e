//! RUN: a container of the layers so far, whose changes become the next one.
//!
//! Runs in: parent · Dockerfile reference, "RUN"

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::sys::signal::SigSet;
use serde_json::{Value, json};

use super::Options;
use super::mount::Workplace;
use crate::container::run::{self, RunOptions};
use crate::container::{ContainerId, CreateOptions};
use crate::error::{Error, On as _, Result};
use crate::image::bundle::{self, Wishes};
use crate::image::{Image, Store};
use crate::rootfs::overlay;
use crate::sys::{self, Call as _};

/// What installing software takes, as with other builders.
const CAPABILITIES: [&str; 12] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Runs the command of the image at the work place, to its end, which has to be a good one.
pub(super) fn run(store: &Store, image: &Image, place: &Workplace, options: &Options) -> Result<()> {
    let mut config = bundle::config(store, image, &Wishes::default())?;
    config["annotations"][overlay::UPPER] = json!(place.upper());
    config["process"]["noNewPrivileges"] = json!(false);
    // Another user than root gets them by set-uid programs only.
    let of_root = config["process"]["user"]["uid"] == json!(0);
    let has = if of_root { &CAPABILITIES[..] } else { &[] };
    config["process"]["capabilities"] = json!({"bounding": CAPABILITIES, "effective": has, "permitted": has});
    if options.host_network {
        share_network(&mut config);
    }
    let path = place.dir.join("config.json");
    let text = serde_json::to_vec(&config).map_err(|error| Error::other(error.to_string()))?;
    fs::write(&path, text).call("write").on(path.display())?;
    match in_foreground(&place.dir, options)? {
        0 => Ok(()),
        code => Err(Error::other(format!("the command failed with exit status {code}"))),
    }
}

/// The host's network, and its way to find names.
fn share_network(config: &mut Value) {
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    const NAMES: &str = "/etc/resolv.conf";
    if let Some(mounts) = config["mounts"].as_array_mut()
        && Path::new(NAMES).exists()
    {
        mounts.push(json!({"destination": NAMES, "type": "bind", "source": NAMES, "options": ["rbind", "ro"]}));
    }
}

fn in_foreground(dir: &Path, options: &Options) -> Result<i32> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let create = CreateOptions {
        root: options.state.clone(),
        id: ContainerId::new(&format!("build-{name}"))?,
        bundle: dir.to_owned(),
        pid_file: None,
        console_socket: None,
        foreground: true,
        no_pivot: false,
        no_new_keyring: false,
        pidfd_socket: None,
        preserve_fds: 0,
        listen_fds: None,
        notify_socket: None,
        rootless: options.rootless,
        driver: options.driver,
    };
    // Nothing to read: a build is the same whoever starts it.
    let nothing = File::open("/dev/null").call("open").on("/dev/null")?;
    sys::fd::dup_onto(nothing.as_fd(), 0).on("standard input")?;
    // The container's signals are ours again afterwards.
    let signals = SigSet::thread_get_mask().call("sigprocmask")?;
    let ended = run::foreground(&create, RunOptions { keep: false, subreaper: false });
    signals.thread_set_mask().call("sigprocmask")?;
    ended
}
