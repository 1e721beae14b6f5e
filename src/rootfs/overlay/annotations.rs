//! Annotations `org.orlop.overlay.*` to the plan of an overlay; nothing is left to interpret.
//!
//! Runs in: parent · docs/overlay.md

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;

use crate::error::{For as _, Property, Result};
use crate::namespace::Namespaces;
use crate::rootfs::Switch;
use crate::spec::Config;
use crate::sys;

use super::changes::{Changes, Marks};
use super::{Lower, Plan, STATE, Upper};

/// What all of them begin with.
pub(crate) const PREFIX: &str = "org.orlop.overlay.";
pub(crate) const LOWER: &str = "org.orlop.overlay.lower";
/// Read only where there is no list of directories: its layers, in the store that STORE or the default is.
pub(super) const IMAGE: &str = "org.orlop.overlay.image";
pub(super) const STORE: &str = "org.orlop.overlay.store";
pub(crate) const UPPER: &str = "org.orlop.overlay.upper";
pub(super) const WORK: &str = "org.orlop.overlay.work";
pub(super) const SIZE: &str = "org.orlop.overlay.size";
const IDMAP: &str = "org.orlop.overlay.idmap";
const OPTIONS: &str = "org.orlop.overlay.options";

/// The annotations that this file reads; for `features`.
pub(crate) const ANNOTATIONS: &[&str] = &[LOWER, IMAGE, STORE, UPPER, WORK, SIZE, IDMAP, OPTIONS];

/// Options of overlayfs that may be chosen. The others name directories, which have annotations of their
/// own, or export the file system, which is nobody's business but the container's.
const CHOICES: &[&str] = &["index", "metacopy", "redirect_dir", "userxattr", "uuid", "verity", "volatile", "xino"];

impl Plan {
    pub(crate) fn compile(
        config: &Config,
        bundle: &Path,
        switch: Switch,
        namespaces: &Namespaces,
    ) -> Result<Option<Self>> {
        let annotations = &config.annotations;
        let known = |key: &str| ANNOTATIONS.contains(&key);
        if let Some((key, _)) = annotations.iter().find(|(key, _)| key.starts_with(PREFIX) && !known(key)) {
            return Err(Property::of("annotations").invalid(format!("{key} is none that orlop knows")));
        }
        let get = |key: &str| annotations.get(key).map(String::as_str);
        let Some(lower) = Lower::compile(get, bundle)? else {
            return match ANNOTATIONS.iter().find(|key| get(key).is_some()) {
                Some(key) => Err(annotation(key).invalid(format!("needs {LOWER} or {IMAGE}"))),
                None => Ok(None),
            };
        };
        if switch == Switch::Chroot {
            return Err(lower.property.invalid("needs a mount namespace in linux.namespaces"));
        }
        let readonly = config.root.as_ref().is_some_and(|root| root.readonly);
        let user = namespaces.has(CloneFlags::CLONE_NEWUSER);
        let idmap = match get(IDMAP) {
            None => user,
            Some("false") => false,
            Some("true") if user => true,
            Some("true") => return Err(annotation(IDMAP).invalid("needs a user namespace in linux.namespaces")),
            Some(other) => return Err(annotation(IDMAP).invalid(format!("{other:?} is not true or false"))),
        };
        let upper = Upper::compile(get, bundle, readonly)?;
        Ok(Some(Self { lower, upper, options: options(get(OPTIONS).unwrap_or(""), user)?, idmap }))
    }
}

impl Upper {
    /// A read-only root needs none, unless one is named.
    fn compile<'a>(get: impl Fn(&str) -> Option<&'a str>, bundle: &Path, readonly: bool) -> Result<Option<Self>> {
        let upper = match get(UPPER) {
            None if readonly => None,
            None | Some("state") => Some(Self::State),
            Some("tmpfs") => {
                let size = get(SIZE).map(|size| sys::c_string(size).property(annotation(SIZE))).transpose()?;
                Some(Self::Tmpfs { size })
            }
            Some("") => return Err(annotation(UPPER).invalid("is empty")),
            Some(dir) => {
                let upper = bundle.join(dir);
                let work = get(WORK).map_or_else(|| beside(&upper), |work| bundle.join(work));
                Some(Self::Kept { upper, work })
            }
        };
        match &upper {
            Some(Self::Kept { upper, work }) if upper.starts_with(work) || work.starts_with(upper) => {
                return Err(annotation(WORK).invalid("upper and work directory may not contain each other"));
            }
            Some(Self::Kept { .. }) => {}
            _ if get(WORK).is_some() => return Err(annotation(WORK).invalid(format!("needs a directory in {UPPER}"))),
            _ => {}
        }
        if get(SIZE).is_some() && !matches!(upper, Some(Self::Tmpfs { .. })) {
            return Err(annotation(SIZE).invalid(format!("needs {UPPER} to be \"tmpfs\"")));
        }
        Ok(upper)
    }
}

/// What a container of this configuration has written over the lower directories; nothing if it is read-only.
pub(crate) fn changes_of(config: &Config, bundle: &Path, state: &Path, lower: &[PathBuf]) -> Result<Option<Changes>> {
    let get = |key: &str| config.annotations.get(key).map(String::as_str);
    let upper = match Upper::compile(get, bundle, config.root.as_ref().is_some_and(|root| root.readonly))? {
        None => return Ok(None),
        Some(Upper::State) => state.join(STATE).join("upper"),
        Some(Upper::Kept { upper, .. }) => upper,
        Some(Upper::Tmpfs { .. }) => {
            return Err(annotation(UPPER).unsupported("changes in memory can be seen by nobody but the container"));
        }
    };
    let user = Namespaces::compile(&config.linux)?.has(CloneFlags::CLONE_NEWUSER);
    let options = options(get(OPTIONS).unwrap_or(""), user)?;
    let in_user = options.iter().any(|(key, _)| key.as_c_str() == c"userxattr");
    Changes::open(&upper, lower, if in_user { Marks::User } else { Marks::Trusted }).map(Some)
}

pub(super) fn annotation(key: &'static str) -> Property {
    Property::of("annotations").field(key)
}

/// `upper.work` for `upper`.
fn beside(upper: &Path) -> PathBuf {
    let mut work = upper.as_os_str().to_owned();
    work.push(".work");
    work.into()
}

/// In a user namespace overlayfs keeps its notes in user.* attributes: trusted.* are the host's
/// (Linux 5.11).
fn options(written: &str, user_namespace: bool) -> Result<Vec<(CString, Option<CString>)>> {
    let mut options = Vec::new();
    for option in written.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value)));
        if !CHOICES.contains(&key) {
            return Err(annotation(OPTIONS).invalid(format!("{key:?} is not one of {}", CHOICES.join(", "))));
        }
        let c_string = |text: &str| sys::c_string(text).property(annotation(OPTIONS));
        options.push((c_string(key)?, value.map(c_string).transpose()?));
    }
    let userxattr = options.iter().any(|(key, _)| key.as_c_str() == c"userxattr");
    if userxattr || user_namespace {
        check_trust(&options)?;
    }
    if user_namespace && !userxattr {
        options.push((c"userxattr".into(), None));
    }
    Ok(options)
}

/// Attributes that a user may set are nothing to follow to other files; the kernel would say EINVAL.
fn check_trust(options: &[(CString, Option<CString>)]) -> Result<()> {
    for (key, harmless) in [(c"metacopy", c"off"), (c"redirect_dir", c"nofollow"), (c"verity", c"off")] {
        let set = options.iter().find(|(option, _)| option.as_c_str() == key);
        if set.is_some_and(|(_, value)| value.as_deref() != Some(harmless)) {
            let (key, harmless) = (key.to_string_lossy(), harmless.to_string_lossy());
            let reason = format!("with userxattr, as in every user namespace, overlayfs takes {key}={harmless} only");
            return Err(annotation(OPTIONS).invalid(reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(annotations: &[(&str, &str)], user: bool) -> Result<Option<Plan>> {
        let annotations: serde_json::Map<String, serde_json::Value> =
            annotations.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).into())).collect();
        let namespaces = if user { r#"[{"type": "user"}]"# } else { "[]" };
        let map = r#"[{"containerID": 0, "hostID": 1, "size": 1}]"#;
        let maps = if user { format!(r#", "uidMappings": {map}, "gidMappings": {map}"#) } else { String::new() };
        let linux = format!(r#"{{"namespaces": {namespaces}{maps}}}"#);
        let json = serde_json::json!({
            "ociVersion": "1.3.0", "root": {"path": ""}, "annotations": annotations,
            "linux": serde_json::from_str::<serde_json::Value>(&linux).unwrap(),
        });
        let config: Config = serde_json::from_str(&json.to_string()).unwrap();
        Plan::compile(&config, Path::new("/"), Switch::Pivot, &Namespaces::compile(&config.linux).unwrap())
    }

    fn error(annotations: &[(&str, &str)]) -> String {
        compile(annotations, false).unwrap_err().to_string()
    }

    #[test]
    fn no_annotation_no_overlay() {
        assert!(compile(&[], false).unwrap().is_none());
    }

    #[test]
    fn directories_are_the_bundles_or_absolute() {
        let plan = compile(&[("lower", "proc/self:/dev")], false).unwrap().unwrap();
        assert_eq!(plan.lower.dirs, [Path::new("/proc/self"), Path::new("/dev")]);
        assert_eq!(plan.upper, Some(Upper::State));
        let plan = compile(&[("lower", "dev"), ("upper", "tmp/up")], false).unwrap().unwrap();
        assert_eq!(plan.upper, Some(Upper::Kept { upper: "/tmp/up".into(), work: "/tmp/up.work".into() }));
    }

    #[test]
    fn user_namespaces_get_their_ids_and_attributes() {
        let plan = compile(&[("lower", "dev"), ("options", "volatile,xino=off")], true).unwrap().unwrap();
        let options: Vec<_> = plan.options.iter().map(|(key, _)| key.to_str().unwrap()).collect();
        assert_eq!((plan.idmap, options.as_slice()), (true, ["volatile", "xino", "userxattr"].as_slice()));
        assert!(compile(&[("lower", "dev"), ("options", "metacopy=off,redirect_dir=nofollow")], true).is_ok());
        assert!(compile(&[("lower", "dev"), ("options", "redirect_dir=on")], true).is_err());
        let plan = compile(&[("lower", "dev"), ("idmap", "false")], true).unwrap().unwrap();
        assert!(!plan.idmap);
    }

    #[test]
    fn refusals_name_the_annotation() {
        assert!(error(&[("lower", "dev"), ("uper", "tmpfs")]).contains("org.orlop.overlay.uper"));
        assert_eq!(
            error(&[("lower", "dev"), ("size", "1m")]),
            "annotations.org.orlop.overlay.size: needs org.orlop.overlay.upper to be \"tmpfs\""
        );
        assert!(
            error(&[("lower", "dev"), ("options", "upperdir=/x")]).starts_with("annotations.org.orlop.overlay.options")
        );
    }
}
