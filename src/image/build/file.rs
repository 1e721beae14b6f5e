//! A Containerfile: lines to instructions.
//!
//! Runs in: parent · Dockerfile reference, "Format", "Parser directives"

use crate::error::{Error, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// `Containerfile:7`
    pub(super) at: String,
    /// In capitals.
    pub(super) keyword: String,
    /// `--name=value`
    pub(super) flags: Vec<(String, String)>,
    pub(super) text: String,
}

/// Those whose options come before the rest.
const WITH_FLAGS: &[&str] = &["FROM", "RUN", "COPY", "ADD"];

/// `name` is what errors call it.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Instruction>> {
    let mut instructions = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let at = format!("{name}:{}", index + 1);
        if is_comment(line) {
            check_directive(line).map_err(|error| error.within(&at))?;
            continue;
        }
        let mut whole = String::new();
        let mut part = line;
        while let Some(begun) = part.trim_end().strip_suffix('\\') {
            whole.push_str(begun);
            // Comments and empty lines in between are not there.
            part = lines.by_ref().map(|(_, line)| line).find(|line| !is_comment(line)).unwrap_or_default();
        }
        whole.push_str(part);
        instructions.push(instruction(&at, whole.trim()).map_err(|error| error.within(&at))?);
    }
    Ok(instructions)
}

fn is_comment(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// `# escape=` would give a backslash another meaning.
fn check_directive(line: &str) -> Result<()> {
    let directive: String = line.chars().filter(|letter| !letter.is_whitespace()).collect();
    match directive.to_ascii_lowercase().strip_prefix("#escape=") {
        None | Some("\\") => Ok(()),
        Some(_) => Err(Error::other("another escape character than a backslash is not supported")),
    }
}

fn instruction(at: &str, line: &str) -> Result<Instruction> {
    let (keyword, mut text) = word(line);
    let keyword = keyword.to_ascii_uppercase();
    let mut flags = Vec::new();
    while WITH_FLAGS.contains(&keyword.as_str())
        && let Some(flag) = word(text).0.strip_prefix("--")
    {
        let (name, value) = flag.split_once('=').ok_or_else(|| Error::other(format!("--{flag} has no value")))?;
        flags.push((name.to_owned(), value.to_owned()));
        text = word(text).1;
    }
    if text.is_empty() {
        return Err(Error::other(format!("{keyword} needs something after it")));
    }
    Ok(Instruction { at: at.to_owned(), keyword, flags, text: text.to_owned() })
}

/// The first word, and what comes after it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

impl Instruction {
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Refuses all options but these.
    pub(super) fn only_flags(&self, known: &[&str]) -> Result<()> {
        match self.flags.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Error::other(format!("{} --{name} is not supported", self.keyword))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_instructions() {
        let text = "# syntax=x\n\nfrom --platform=linux/amd64 base AS one\nRUN a \\\n  # not here\n\n  && b \\  \n && c\nCOPY --chown=1:2 --from=one /a /b\n  CMD [\"x\"]";
        let parsed = parse("F", text).unwrap();
        let shown: Vec<_> = parsed.iter().map(|i| (i.at.as_str(), i.keyword.as_str(), i.text.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("F:3", "FROM", "base AS one"),
                ("F:4", "RUN", "a   && b  && c"),
                ("F:9", "COPY", "/a /b"),
                ("F:10", "CMD", "[\"x\"]")
            ]
        );
        assert_eq!((parsed[2].flag("from"), parsed[2].flag("chmod")), (Some("one"), None));
        assert!(parsed[2].only_flags(&["from"]).unwrap_err().to_string().contains("--chown"));
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, words) in [
            ("FROM x\nRUN", "F:2: RUN needs"),
            ("FROM x\n\nCOPY --link a b", "F:3: --link has no value"),
            ("# escape=`\nFROM x", "F:1: another escape"),
        ] {
            assert!(parse("F", text).unwrap_err().to_string().starts_with(words), "{text}");
        }
    }
}
