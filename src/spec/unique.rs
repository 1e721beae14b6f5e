//! Names of config.json: none may be there twice in one object.
//!
//! Runs in: parent · glossary.md ("The names within an object MUST be unique"), BND-05
//!
//! serde refuses a known name that is given twice; of those that it ignores it keeps no record. So this
//! goes over text that is known to be JSON once more, looking at nothing but strings and brackets.

use std::borrow::Cow;

use crate::error::code::Code;
use crate::error::{Error, Result};

/// An object or list that has been opened.
struct Level {
    /// Where its names begin in the list of all; `None` for a list.
    names: Option<usize>,
    /// A string is a name until the colon behind it.
    before_colon: bool,
}

/// Names of one object that each new one is compared with; where there are more, they are sorted once.
const FEW: usize = 64;

/// Refuses a name that is given twice, with the path of its object. `text` must be valid JSON.
pub(crate) fn check(text: &[u8]) -> Result<()> {
    let mut levels: Vec<Level> = Vec::new();
    let mut names: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, levels.last_mut()) {
            (b'"', level) => {
                let (string, after) = after.split_at(length(after));
                rest = after.get(1..).unwrap_or_default();
                if let Some(Level { names: Some(first), before_colon: true }) = level {
                    let name = unescaped(string);
                    if names.len() - *first < FEW && names[*first..].contains(&name) {
                        return Err(twice(&names, &levels, &name));
                    }
                    names.push(name);
                }
            }
            (b'{', _) => levels.push(Level { names: Some(names.len()), before_colon: true }),
            (b'[', _) => levels.push(Level { names: None, before_colon: false }),
            (b'}' | b']', _) => {
                if let Some(&mut Level { names: Some(first), .. }) = levels.last_mut() {
                    if let Some(name) = twice_among_many(&names[first..]) {
                        return Err(twice(&names, &levels, &name));
                    }
                    names.truncate(first);
                }
                levels.pop();
            }
            (b':', Some(level)) => level.before_colon = false,
            (b',', Some(level)) => level.before_colon = level.names.is_some(),
            _ => {}
        }
    }
    Ok(())
}

/// One of two equal names, if there are more names than `check` has compared.
fn twice_among_many<'a>(names: &[Cow<'a, [u8]>]) -> Option<Cow<'a, [u8]>> {
    if names.len() <= FEW {
        return None;
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
}

/// Of the string that begins here, up to its closing quote.
pub(super) fn length(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.unwrap_or(text.len())
}

/// `"a"` and `"\u0061"` are the same name.
pub(super) fn unescaped(string: &[u8]) -> Cow<'_, [u8]> {
    if !string.contains(&b'\\') {
        return Cow::Borrowed(string);
    }
    let quoted = [b"\"", string, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or(Cow::Borrowed(string), |name| Cow::Owned(name.into_bytes()))
}

fn twice(names: &[Cow<'_, [u8]>], levels: &[Level], name: &[u8]) -> Error {
    let name = String::from_utf8_lossy(name);
    // The last name before an object begins is the one that it is the value of.
    let starts = levels.iter().filter_map(|level| level.names).skip(1);
    let path: String = starts.map(|start| String::from_utf8_lossy(&names[start - 1]) + ".").collect();
    Error::other(format!("config.json: {path}{name}: duplicate name: an object may have it once"))
        .code_is(Code::ConfigSyntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BND-05
    #[test]
    fn a_name_twice_is_found_at_any_depth() {
        for (text, path) in [
            (r#"{"a": 1, "a": 2}"#, "config.json: a: duplicate name"),
            (r#"{"x": {"y": [{"z": 1, "b": {"z": 1}, "z": 2}]}}"#, "config.json: x.y.z: "),
            (r#"{"x": {"": 1, "b": 1, "": 1}}"#, "config.json: x.: "),
            (r#"{"a\"": 1, "b": "a\\", "a\"": 2}"#, "config.json: a\": "),
            (r#"{"a": 1, "\u0061": 2}"#, "config.json: a: "),
        ] {
            let error = check(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(path), "{text}: {error}");
        }
    }

    /// BND-05: as many names as an object may have, in a time that grows with them and not with their square.
    #[test]
    fn a_name_twice_among_many() {
        let names = |count: usize| (0..count).map(|index| format!("\"n{index}\": 1")).collect::<Vec<_>>().join(", ");
        for count in [FEW - 1, FEW, FEW + 1, 100_000] {
            let text = format!(r#"{{"x": {{{}}}, "y": 1}}"#, names(count));
            check(text.as_bytes()).unwrap();
            for again in [0, count / 2, count - 1] {
                let text = format!(r#"{{"x": {{{}, "n{again}": 2}}}}"#, names(count));
                let error = check(text.as_bytes()).unwrap_err().to_string();
                assert!(error.starts_with(&format!("config.json: x.n{again}: ")), "{count}: {error}");
            }
        }
    }

    #[test]
    fn strings_that_are_no_names_may_repeat() {
        for text in [
            r#"{"a": "a", "b": ["a", "a", {"a": 1}], "c": {"a": {"a": "b"}, "b": "}"}}"#,
            r#"[{"a": 1}, {"a": 1}, "a", "a"]"#,
            r#"{"a": ", \"a\": ", "b": "{\"b\":"}"#,
            "{}",
            "1",
            "",
        ] {
            assert!(check(text.as_bytes()).is_ok(), "{text}");
        }
    }
}
