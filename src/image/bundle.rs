//! `bundle`: a config.json for an image, by the image-spec's rules of conversion.
//!
//! Runs in: parent · image-spec conversion.md · docs/images.md

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde_json::{Map, Value, json};

use super::{Changing, Defaults, Digest, Image, Store, user};
use crate::error::{Error, On as _, Result};
use crate::rootfs::overlay;
use crate::spec::template;
use crate::sys::Call as _;

/// The annotation that says which image a bundle was made of, by the digest of its manifest.
pub(crate) const IMAGE: &str = "org.orlop.image";

/// What the caller wants other than the image does.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) user: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) volumes: Vec<String>,
    pub(crate) memory: Option<i64>,
    pub(crate) cpus: Option<f64>,
    pub(crate) pids: Option<i64>,
    pub(crate) readonly: bool,
    pub(crate) terminal: bool,
    pub(crate) rootless: bool,
    /// Changes go to memory.
    pub(crate) ephemeral: bool,
}

/// Writes `dir`/config.json, and `dir` if it is missing.
pub(crate) fn write(store: &Store, image: &str, dir: &Path, wishes: &Wishes) -> Result<()> {
    let changing = store.change()?;
    let found = store.find(image)?;
    let mut config = config(store, &found.image, wishes)?;
    config["annotations"][IMAGE] = json!(found.descriptor.digest);
    fs::create_dir_all(dir).call("mkdir").on(dir.display())?;
    let dir = fs::canonicalize(dir).call("realpath").on(dir.display())?;
    let path = dir.join("config.json");
    let text = serde_json::to_string_pretty(&config).map_err(|error| Error::other(error.to_string()))?;
    match fs::File::create_new(&path).call("open") {
        Err(error) if error.errno == Errno::EEXIST => {
            return Err(Error::other(format!("{}: file exists: remove it first", path.display())));
        }
        file => file.on(path.display())?.write_all(text.as_bytes()).call("write").on(path.display())?,
    }
    remember(&changing, &dir)
}

fn remember(changing: &Changing<'_>, dir: &Path) -> Result<()> {
    if dir.to_str().is_none_or(|dir| dir.contains('\n')) {
        return Err(Error::other("the path of a bundle of an image has to be one line of UTF-8"));
    }
    changing.add_bundle(dir)
}

/// What runs the image.
pub(super) fn config(store: &Store, image: &Image, wishes: &Wishes) -> Result<Value> {
    let ids = wishes.rootless.then(|| (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()));
    let mut config: Value =
        serde_json::from_str(&template::text(ids)).map_err(|error| Error::other(error.to_string()))?;
    let defaults = &image.config;
    let layers = image.rootfs.diff_ids.iter().rev();
    let lower: Vec<String> = layers.clone().map(|layer| store.layer(layer).display().to_string()).collect();
    let layers: Vec<_> = layers.map(|layer| store.layer(layer)).collect();
    config["root"] = json!({"path": "", "readonly": wishes.readonly});
    config["annotations"] = annotations(image, &lower, wishes);
    config["process"]["args"] = json!(args(defaults, wishes)?);
    config["process"]["env"] = json!(env(defaults, wishes));
    config["process"]["cwd"] = json!(cwd(defaults));
    config["process"]["terminal"] = json!(wishes.terminal);
    let written = wishes.user.as_deref().or(defaults.user.as_deref()).unwrap_or("");
    config["process"]["user"] = user::find(written, &layers)?.to_json();
    if let Some(hostname) = &wishes.hostname {
        config["hostname"] = json!(hostname);
    }
    if let Some(mounts) = config["mounts"].as_array_mut() {
        for path in defaults.volumes.iter().flat_map(Map::keys) {
            mounts.push(json!({
                "destination": path, "type": "tmpfs", "source": "volume", "options": ["nosuid", "nodev", "tmpcopyup"],
            }));
        }
        for volume in &wishes.volumes {
            mounts.push(bind(volume)?);
        }
    }
    limits(&mut config["linux"], wishes)?;
    Ok(config)
}

/// image-spec conversion.md#annotation-fields
fn annotations(image: &Image, lower: &[String], wishes: &Wishes) -> Value {
    let mut annotations: Map<String, Value> = Map::new();
    let mut set = |key: &str, value: &str| annotations.insert(key.to_owned(), json!(value));
    set("org.opencontainers.image.os", &image.os);
    set("org.opencontainers.image.architecture", &image.architecture);
    if let Some(created) = &image.created {
        set("org.opencontainers.image.created", created);
    }
    if let Some(signal) = &image.config.stop_signal {
        set("org.opencontainers.image.stopSignal", signal);
    }
    let ports: Vec<&str> = image.config.exposed_ports.iter().flat_map(Map::keys).map(String::as_str).collect();
    if !ports.is_empty() {
        set("org.opencontainers.image.exposedPorts", &ports.join(","));
    }
    for (key, value) in image.config.labels.iter().flatten() {
        set(key, value);
    }
    // Last: no label of an image may say what the root file system is made of.
    annotations.retain(|key, _| !key.starts_with(overlay::PREFIX));
    annotations.insert(overlay::LOWER.to_owned(), json!(overlay::join(lower)));
    if wishes.ephemeral {
        annotations.insert(overlay::UPPER.to_owned(), json!("tmpfs"));
    }
    Value::Object(annotations)
}

/// The caller's command takes the place of the image's, not of its entrypoint.
fn args(defaults: &Defaults, wishes: &Wishes) -> Result<Vec<String>> {
    let command = if wishes.args.is_empty() { defaults.cmd.as_ref() } else { Some(&wishes.args) };
    let args: Vec<String> = defaults.entrypoint.iter().chain(command).flatten().cloned().collect();
    if args.is_empty() {
        return Err(Error::other("the image has no command: give one after --"));
    }
    Ok(args)
}

fn env(defaults: &Defaults, wishes: &Wishes) -> Vec<String> {
    const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env: Vec<String> = vec![PATH.to_owned()];
    if wishes.terminal {
        env.push("TERM=xterm".to_owned());
    }
    for variable in defaults.env.iter().flatten().chain(&wishes.env) {
        let name = |variable: &str| variable.split('=').next().map(str::to_owned);
        env.retain(|known| name(known) != name(variable));
        env.push(variable.clone());
    }
    env
}

fn cwd(defaults: &Defaults) -> &str {
    defaults.working_dir.as_deref().filter(|dir| !dir.is_empty()).unwrap_or("/")
}

/// `SOURCE:DESTINATION[:ro]`
fn bind(volume: &str) -> Result<Value> {
    let mut parts = volume.split(':');
    let (source, destination, mode, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    let readonly = match mode {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(_) => return Err(wrong_volume(volume)),
    };
    match (source, destination, rest) {
        (Some(source), Some(destination), None) if source.starts_with('/') && destination.starts_with('/') => {
            let mode = if readonly { "ro" } else { "rw" };
            Ok(json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", mode]}))
        }
        _ => Err(wrong_volume(volume)),
    }
}

fn wrong_volume(volume: &str) -> Error {
    Error::other(format!("--volume: {volume:?} is not SOURCE:DESTINATION[:ro] with absolute paths"))
}

fn limits(linux: &mut Value, wishes: &Wishes) -> Result<()> {
    const PERIOD: f64 = 100_000.0;
    if let Some(memory) = wishes.memory {
        linux["resources"]["memory"]["limit"] = json!(memory);
    }
    if let Some(cpus) = wishes.cpus {
        if !cpus.is_finite() || cpus < 0.01 {
            return Err(Error::other(format!("--cpus: {cpus} is less than 0.01")));
        }
        linux["resources"]["cpu"] = json!({"period": PERIOD as u64, "quota": (cpus * PERIOD).round() as i64});
    }
    if let Some(pids) = wishes.pids {
        linux["resources"]["pids"]["limit"] = json!(pids);
    }
    Ok(())
}

/// The image that a bundle was made of, or the container whose state directory this is.
pub(super) fn image_of(dir: &Path) -> Option<Digest> {
    let config: Value = serde_json::from_slice(&fs::read(dir.join("config.json")).ok()?).ok()?;
    Digest::parse(config["annotations"][IMAGE].as_str()?)
}

/// Which layers of the store these directories are.
pub(super) fn digests_of(store: &Store, directories: &[PathBuf]) -> Vec<Option<Digest>> {
    let layers = fs::canonicalize(store.root.join("layers/sha256")).unwrap_or_default();
    let digest = |dir: &PathBuf| Digest::parse(fs::canonicalize(dir).ok()?.strip_prefix(&layers).ok()?.to_str()?);
    directories.iter().map(digest).collect()
}

/// The layers that the configuration of a bundle names; none if it cannot be read.
pub(super) fn layers_of(bundle: &Path) -> Vec<PathBuf> {
    let Ok(text) = fs::read(bundle.join("config.json")) else { return Vec::new() };
    let Ok(config) = serde_json::from_slice::<Value>(&text) else { return Vec::new() };
    let lower = config["annotations"][overlay::LOWER].as_str().map(overlay::split).unwrap_or_default();
    lower.iter().map(|layer| bundle.join(layer)).collect()
}
