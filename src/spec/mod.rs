//! The bundle's config.json, as written.
//!
//! Runs in: parent · bundle.md, config.md

pub(crate) mod change;
pub(crate) mod config;
pub(crate) mod features;
pub(crate) mod list;
pub(crate) mod map;
pub(crate) mod object;
pub(crate) mod place;
pub(crate) mod position;
pub(crate) mod template;
mod unique;
pub(crate) mod unknown;

use std::path::Path;

use serde::Deserialize;

use crate::error::code::Code;
use crate::error::{Error, On as _, Property, Result};
use crate::sys::Call as _;
pub(crate) use config::{Config, Process};

/// The newest runtime-spec implemented, and what `state` and `spec` write.
pub(crate) const VERSION: &str = "1.3.0";

/// The text of a bundle's `config.json`.
pub(crate) fn read(bundle: &Path) -> Result<Vec<u8>> {
    let path = bundle.join("config.json");
    std::fs::read(&path).call("open").on(path.display())
}

/// Also checks that its version is one we know.
pub(crate) fn parse(text: &[u8]) -> Result<Config> {
    let config: Config = deserialize(text, "config.json")?;
    unique::check(text)?;
    check_version(&config.oci_version)?;
    unknown::report(text);
    Ok(config)
}

/// What `create` has parsed and found good before.
pub(crate) fn parse_again(text: &[u8]) -> Result<Config> {
    deserialize(text, "config.json")
}

/// The `process` object alone, as `exec --process` takes it.
pub(crate) fn parse_process(text: &[u8], name: &str) -> Result<Process> {
    let process = deserialize(text, name)?;
    unique::check(text)?;
    Ok(process)
}

fn deserialize<'a, T: Deserialize<'a>>(text: &'a [u8], name: &str) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| {
        let error = match place::path(text, &error).as_str() {
            "" => Error::other(format!("{name}: {error}")),
            path => Error::other(format!("{name}: {path}: {error}")),
        };
        error.code_is(Code::ConfigSyntax)
    })
}

/// config.md, `ociVersion`: SemVer 2.0.0; minor versions of one major are compatible both ways.
fn check_version(version: &str) -> Result<()> {
    let property = Property::of("ociVersion");
    let invalid = |reason: &str| property.invalid(format!("{version:?} {reason}"));
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let is_number = |text: &&str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'))
    };
    if numbers.len() != 3 || !numbers.iter().all(is_number) || !suffix_is_valid(&version[core.len()..]) {
        return Err(invalid("is not a version of the form MAJOR.MINOR.PATCH (SemVer 2.0.0)"));
    }
    if numbers[0] != "1" {
        return Err(invalid("is not supported: this is a runtime for version 1 of the runtime-spec"));
    }
    Ok(())
}

/// `-pre.release` and `+build` parts: identifiers of letters, digits and hyphens, none empty.
fn suffix_is_valid(suffix: &str) -> bool {
    let (pre, build) = suffix.split_once('+').map_or((suffix, None), |(pre, build)| (pre, Some(build)));
    let identifiers = |text: &str| {
        text.split('.').all(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    (pre.is_empty() || pre.strip_prefix('-').is_some_and(identifiers)) && build.is_none_or(identifiers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    /// CFG-01, CFG-02, CFG-03
    #[test]
    fn versions() {
        for good in ["1.0.0", "1.3.0", "1.99.7", "1.0.2-dev", "1.0.0-rc.1+build.5", "1.3.0+x"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "v1.0.0",
            "01.0.0",
            "1.0.0-",
            "1.0.0-a..b",
            "1.0.0+",
            "invalid",
            "2.0.0",
            "0.9.0",
        ] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
        assert!(error("{}").contains("ociVersion"));
    }

    /// BND-04, BND-05
    #[test]
    fn json_errors_name_the_property() {
        let text = error(r#"{"ociVersion": "1.3.0", "mounts": [{"destination": "/a", "options": [1]}]}"#);
        assert!(text.contains("mounts[0].options[0]"), "{text}");
        assert!(
            error(r#"{"ociVersion": "1.3.0", "root": {"path": "a"}, "root": {"path": "b"}}"#)
                .contains("duplicate field `root`")
        );
        assert!(parse(b"{\"ociVersion\": \"1.3.0\", \"hostname\": \"\xff\"}").is_err());
    }

    #[test]
    fn null_is_an_empty_list() {
        let config =
            parse(br#"{"ociVersion": "1.3.0", "mounts": null, "linux": {"sysctl": null}, "annotations": null}"#)
                .unwrap();
        assert!(config.mounts.is_empty() && config.linux.sysctl.is_empty() && config.annotations.is_empty());
    }
}
