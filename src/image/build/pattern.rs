//! Names with wildcards: of COPY, and of .containerignore.
//!
//! Runs in: parent · Go's path/filepath.Match; Dockerfile reference, ".dockerignore file"

use crate::error::{Error, Result};

/// `*`, `?`, `[a-z]` and `\` in each part of a path; `**` for any number of parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Vec<char>>);

/// What is not part of the context.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// In their order; `true` takes back.
    rules: Vec<(bool, Pattern)>,
}

impl Pattern {
    pub(super) fn new(written: &str) -> Result<Self> {
        let mut parts: Vec<Vec<char>> = Vec::new();
        for part in written.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.pop().is_some() => {}
                ".." => return Err(Error::other(format!("{written:?} leads out of the context"))),
                _ => parts.push(part.chars().collect()),
            }
        }
        Ok(Self(parts))
    }

    /// Its parts, one of which has a wildcard.
    pub(super) fn is_wild(part: &[char]) -> bool {
        part.iter().any(|letter| matches!(letter, '*' | '?' | '[' | '\\'))
    }

    pub(super) fn parts(&self) -> &[Vec<char>] {
        &self.0
    }

    fn matches(&self, path: &[&str]) -> bool {
        parts_match(&self.0, path)
    }
}

fn parts_match(pattern: &[Vec<char>], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((part, rest)) if part.as_slice() == ['*', '*'] => {
            (0..=path.len()).any(|skipped| parts_match(rest, &path[skipped..]))
        }
        Some((part, rest)) => match path.split_first() {
            Some((name, below)) => part_matches(part, name) && parts_match(rest, below),
            None => false,
        },
    }
}

pub(super) fn part_matches(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    letters_match(pattern, &name)
}

fn letters_match(pattern: &[char], name: &[char]) -> bool {
    let Some((letter, rest)) = pattern.split_first() else { return name.is_empty() };
    if *letter == '*' {
        return (0..=name.len()).any(|taken| letters_match(rest, &name[taken..]));
    }
    let Some((first, below)) = name.split_first() else { return false };
    match (letter, rest) {
        ('?', _) => letters_match(rest, below),
        ('\\', [escaped, rest @ ..]) => escaped == first && letters_match(rest, below),
        ('[', _) => match class(rest, *first) {
            Some((is_in, rest)) => is_in && letters_match(rest, below),
            None => false,
        },
        _ => letter == first && letters_match(rest, below),
    }
}

/// After the bracket: whether the letter is one of these, and what follows the class.
fn class(pattern: &[char], letter: char) -> Option<(bool, &[char])> {
    let end = pattern.iter().skip(1).position(|end| *end == ']')? + 1;
    let (inside, rest) = (&pattern[..end], &pattern[end + 1..]);
    let (negated, mut inside) = match inside {
        ['^', inside @ ..] => (true, inside),
        _ => (false, inside),
    };
    let mut is_in = false;
    loop {
        inside = match inside {
            [] => return Some((is_in != negated, rest)),
            [first, '-', last, others @ ..] => {
                is_in |= (*first..=*last).contains(&letter);
                others
            }
            [one, others @ ..] => {
                is_in |= *one == letter;
                others
            }
        };
    }
}

impl Ignored {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut rules = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (back, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let pattern = Pattern::new(line)?;
            if !pattern.0.is_empty() {
                rules.push((back, pattern));
            }
        }
        Ok(Self { rules })
    }

    /// The last rule that is about the path, or a directory it is in, decides.
    pub(super) fn has(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let about = |pattern: &Pattern| (1..=parts.len()).any(|length| pattern.matches(&parts[..length]));
        self.rules.iter().rev().find(|(_, pattern)| about(pattern)).is_some_and(|(back, _)| !back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        for (pattern, name, expected) in [
            ("*.rs", "main.rs", true),
            ("*.rs", "main.r", false),
            ("?a*", "xa", true),
            ("[a-c]x[^0-9]", "bxy", true),
            ("[a-c]x[^0-9]", "bx1", false),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("[", "[", false),
            ("*a*b*c", "xxaxxbxxc", true),
        ] {
            let pattern: Vec<char> = pattern.chars().collect();
            assert_eq!(part_matches(&pattern, name), expected, "{pattern:?} {name}");
        }
    }

    #[test]
    fn what_is_ignored() {
        let ignored =
            Ignored::parse("# all\n*.log\n**/*.tmp\ndir/sub\n!dir/sub/kept\n/target/\n!important.log\n").unwrap();
        for (path, expected) in [
            ("a.log", true),
            ("b/a.log", false),
            ("b/c/a.tmp", true),
            ("a.tmp", true),
            ("dir", false),
            ("dir/sub/x/y", true),
            ("dir/sub/kept", false),
            ("target/debug", true),
            ("important.log", false),
        ] {
            assert_eq!(ignored.has(path), expected, "{path}");
        }
        assert!(Ignored::parse("../x").is_err());
        assert!(!Ignored::parse(".").unwrap().has("a"));
    }
}
