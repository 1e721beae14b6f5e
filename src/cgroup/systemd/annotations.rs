//! `org.systemd.property.*` annotations: further properties of the container's scope.
//!
//! Runs in: parent · features.md#unsafe-annotations
//!
//! Engines pass on annotations from people they do not trust otherwise, and some properties are as
//! good as root (CVE-2024-3154): only those in the list below are taken, each with its own type.

use zbus::Variant;

use super::properties::Setting;
use crate::error::{Error, Property, Result};
use crate::spec::map::Map;

pub(crate) const PREFIX: &str = "org.systemd.property.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    /// Microseconds; also known as `...Sec`, in seconds.
    Time,
    Number,
    Text,
    Texts,
}

/// How the scope ends, what it is called, and what it is ordered by: nothing that starts, stops or
/// executes anything else.
const ALLOWED: [(&str, Kind); 17] = [
    ("After", Kind::Texts),
    ("Before", Kind::Texts),
    ("CollectMode", Kind::Text),
    ("Description", Kind::Text),
    ("Documentation", Kind::Texts),
    ("FinalKillSignal", Kind::Int),
    ("KillMode", Kind::Text),
    ("KillSignal", Kind::Int),
    ("ManagedOOMMemoryPressure", Kind::Text),
    ("ManagedOOMMemoryPressureLimit", Kind::Number),
    ("ManagedOOMPreference", Kind::Text),
    ("ManagedOOMSwap", Kind::Text),
    ("OOMPolicy", Kind::Text),
    ("RuntimeMaxUSec", Kind::Time),
    ("SendSIGHUP", Kind::Bool),
    ("SendSIGKILL", Kind::Bool),
    ("TimeoutStopUSec", Kind::Time),
];

pub(super) fn compile(annotations: &Map<String>) -> Result<Vec<Setting>> {
    let named = annotations.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)));
    named.map(|(name, value)| setting(name, value)).collect()
}

fn setting(name: &str, value: &str) -> Result<Setting> {
    let seconds = name.strip_suffix("Sec").filter(|stem| !stem.ends_with('U')).map(|stem| format!("{stem}USec"));
    let wanted = seconds.as_deref().unwrap_or(name);
    let Some((name, kind)) = ALLOWED.iter().find(|(allowed, _)| *allowed == wanted) else {
        let names: Vec<_> = ALLOWED.iter().map(|(name, _)| *name).collect();
        return Err(invalid(name, &format!("is none of those that may be set: {}", names.join(", "))));
    };
    let scale = if seconds.is_some() { 1_000_000 } else { 1 };
    parse(*kind, value.trim(), scale)
        .map(|value| (*name, value))
        .ok_or_else(|| invalid(name, &format!("cannot be {value:?}: {}", kind.expected())))
}

fn invalid(name: &str, reason: &str) -> Error {
    Property::of("annotations").invalid(format!("{PREFIX}{name} {reason}"))
}

impl Kind {
    fn expected(self) -> &'static str {
        match self {
            Self::Bool => "it is true or false",
            Self::Int => "it is a number such as 15",
            Self::Time => "it is a number such as uint64 5000000",
            Self::Number => "it is a number such as uint32 50",
            Self::Text => "it is a text such as 'abc'",
            Self::Texts => "it is a list such as ['a.service', 'b.service']",
        }
    }
}

/// A value in the text form of GVariant. A number's type may be left out, and need not be the
/// property's as long as the value fits.
fn parse(kind: Kind, text: &str, scale: u64) -> Option<Variant<'static>> {
    Some(match kind {
        Kind::Bool => Variant::from(text.parse::<bool>().ok()?),
        Kind::Int => Variant::from(number::<i32>(text)?),
        Kind::Time => Variant::from(number::<u64>(text)?.checked_mul(scale)?),
        Kind::Number => Variant::from(number::<u32>(text)?),
        Kind::Text => match string(text)? {
            (value, "") => Variant::from(value),
            _ => return None,
        },
        Kind::Texts => Variant::from(strings(text)?),
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    const TYPES: [&str; 7] = ["byte", "int16", "uint16", "int32", "uint32", "int64", "uint64"];
    let digits = match text.split_once(' ') {
        Some((name, digits)) if TYPES.contains(&name) => digits.trim_start(),
        Some(_) => return None,
        None => text,
    };
    digits.parse().ok()
}

/// A quoted string and what follows it.
fn string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next().map(|(_, escaped)| escaped).filter(|c| "\\'\"".contains(*c))?),
            '\0' => return None,
            _ if character == quote => return Some((value, text[at + 1..].trim_start())),
            _ => value.push(character),
        }
    }
    None
}

fn strings(text: &str) -> Option<Vec<String>> {
    let text = text.strip_prefix("@as").map_or(text, str::trim_start);
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (value, after) = string(rest)?;
        values.push(value);
        rest = match after.strip_prefix(',') {
            Some(more) => Some(more.trim_start()).filter(|more| !more.is_empty())?,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(key: &str, value: &str) -> Result<String> {
        let annotations = serde_json::from_value(serde_json::json!({ "other": "x", key: value })).unwrap();
        compile(&annotations).map(|settings| {
            settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn values_as_gvariant_writes_them() {
        for (name, value, expected) in [
            ("TimeoutStopUSec", "uint64 5000000", "TimeoutStopUSec=uint64 5000000"),
            ("TimeoutStopSec", "5", "TimeoutStopUSec=uint64 5000000"),
            ("KillSignal", "9", "KillSignal=9"),
            ("KillSignal", "int32 9", "KillSignal=9"),
            ("SendSIGHUP", "true", "SendSIGHUP=true"),
            ("CollectMode", "'inactive-or-failed'", r#"CollectMode="inactive-or-failed""#),
            ("Description", r#""it's \"so\"""#, r#"Description="it's \"so\"""#),
            ("After", "['a.service', \"b.service\"]", r#"After=["a.service", "b.service"]"#),
            ("Before", "@as []", "Before=@as []"),
        ] {
            assert_eq!(compiled(&format!("{PREFIX}{name}"), value).unwrap(), expected, "{name} {value}");
        }
        assert_eq!(compiled("org.systemd.other", "x").unwrap(), "");
    }

    /// CVE-2024-3154
    #[test]
    fn others_are_refused() {
        for name in ["ExecStopPost", "OnFailure", "SuccessAction", "Wants", "User", "Delegate", "Slice", "USec", ""] {
            let error = compiled(&format!("{PREFIX}{name}"), "'x'").unwrap_err().to_string();
            assert!(error.starts_with(&format!("annotations: {PREFIX}{name} is none of those")), "{error}");
        }
        for (name, value) in [
            ("KillSignal", "'9'"),
            ("KillSignal", "uint64 99999999999"),
            ("SendSIGHUP", "1"),
            ("CollectMode", "inactive"),
            ("CollectMode", "'a' 'b'"),
            ("TimeoutStopSec", "18446744073709551615"),
            ("TimeoutStopUSec", "-1"),
            ("After", "['a'"),
            ("After", "['a',]"),
            ("After", "['a' 'b']"),
            ("Description", "'open"),
        ] {
            assert!(compiled(&format!("{PREFIX}{name}"), value).is_err(), "{name} {value}");
        }
    }
}
