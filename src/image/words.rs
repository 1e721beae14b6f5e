//! Words of a Containerfile's instruction: quotes, escapes and variables.
//!
//! Runs in: parent · Dockerfile reference, "Environment replacement"
//!
//! `'…'` is taken as it is; in `"…"` and outside `$NAME`, `${NAME}`, `${NAME:-default}` and
//! `${NAME:+instead}` are replaced, and a backslash takes its meaning from what follows.

use std::iter::Peekable;
use std::str::Chars;

use crate::error::{Error, Result};

/// What a variable stands for.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

struct Reader<'a> {
    letters: Peekable<Chars<'a>>,
    lookup: Lookup<'a>,
}

/// Apart at blanks.
pub(crate) fn split(text: &str, lookup: Lookup<'_>) -> Result<Vec<String>> {
    let mut reader = Reader { letters: text.chars().peekable(), lookup };
    let mut words = Vec::new();
    while reader.skip_blanks() {
        words.push(reader.word(|letter| letter.is_whitespace())?);
    }
    Ok(words)
}

/// All of it as one.
pub(crate) fn whole(text: &str, lookup: Lookup<'_>) -> Result<String> {
    Reader { letters: text.trim().chars().peekable(), lookup }.word(|_| false)
}

/// The strings of a JSON array, where the text is one.
pub(crate) fn json(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

impl Reader<'_> {
    /// Whether anything comes after them.
    fn skip_blanks(&mut self) -> bool {
        while self.letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        self.letters.peek().is_some()
    }

    /// Up to a letter that ends it, which stays where it is.
    fn word(&mut self, ends: impl Fn(char) -> bool) -> Result<String> {
        let mut word = String::new();
        while let Some(letter) = self.letters.next_if(|letter| !ends(*letter)) {
            match letter {
                '\'' => self.literal(&mut word)?,
                '"' => self.quoted(&mut word)?,
                '$' => self.variable(&mut word)?,
                '\\' => word.extend(self.letters.next()),
                _ => word.push(letter),
            }
        }
        Ok(word)
    }

    fn literal(&mut self, word: &mut String) -> Result<()> {
        loop {
            match self.letters.next() {
                Some('\'') => return Ok(()),
                Some(letter) => word.push(letter),
                None => return Err(Error::other("a single quote is not closed")),
            }
        }
    }

    fn quoted(&mut self, word: &mut String) -> Result<()> {
        loop {
            match self.letters.next() {
                Some('"') => return Ok(()),
                Some('$') => self.variable(word)?,
                Some('\\') => match self.letters.next() {
                    Some(letter @ ('"' | '$' | '\\')) => word.push(letter),
                    Some(letter) => word.extend(['\\', letter]),
                    None => {}
                },
                Some(letter) => word.push(letter),
                None => return Err(Error::other("a double quote is not closed")),
            }
        }
    }

    /// What comes after the `$`.
    fn variable(&mut self, word: &mut String) -> Result<()> {
        if self.letters.next_if_eq(&'{').is_none() {
            let name = self.name();
            if name.is_empty() {
                word.push('$');
            }
            word.push_str(&(self.lookup)(&name).unwrap_or_default());
            return Ok(());
        }
        let name = self.name();
        let value = (self.lookup)(&name).filter(|value| !value.is_empty());
        let replaced = match (self.letters.next(), self.letters.peek()) {
            (Some('}'), _) if !name.is_empty() => {
                word.push_str(&value.unwrap_or_default());
                return Ok(());
            }
            (Some(':'), Some('-')) => |value: Option<String>, other: String| value.unwrap_or(other),
            (Some(':'), Some('+')) => |value: Option<String>, other: String| value.map_or(String::new(), |_| other),
            _ => return Err(Error::other(format!("${{{name}: only ${{X}}, ${{X:-…}} and ${{X:+…}} are supported"))),
        };
        self.letters.next();
        let other = self.word(|letter| letter == '}')?;
        if self.letters.next().is_none() {
            return Err(Error::other(format!("${{{name} is not closed")));
        }
        word.push_str(&replaced(value, other));
        Ok(())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(letter) = self.letters.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_') {
            name.push(letter);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        [("A", "a b"), ("EMPTY", "")].iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn words() {
        for (text, expected) in [
            ("", &[][..]),
            ("  x\ty ", &["x", "y"]),
            ("k=$A l=\"$A\" m='$A'", &["k=a b", "l=a b", "m=$A"]),
            (r#""a\"b\n" c\ d \$A"#, &["a\"b\\n", "c d", "$A"]),
            ("${A}x ${NONE:-d$A} ${EMPTY:-e} ${A:+f} ${NONE:+g}x", &["a bx", "da b", "e", "f", "x"]),
            ("$NONE$ 5$", &["$", "5$"]),
        ] {
            assert_eq!(split(text, &lookup).unwrap(), expected, "{text}");
        }
        assert_eq!(whole(" a  'b' $A ", &lookup).unwrap(), "a  b a b");
        for bad in ["'a", "\"a", "${A", "${A:-x", "${}", "${A#x}"] {
            assert!(split(bad, &lookup).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_or_not() {
        assert_eq!(json(r#"["a", "b c"]"#).unwrap(), ["a", "b c"]);
        for other in ["[ -f x ]", "a", r#"["a", 1]"#, r#"{"a": 1}"#] {
            assert_eq!(json(other), None);
        }
    }
}
