//! The stages of a Containerfile: what each is based on, and which are needed.
//!
//! Runs in: parent · Dockerfile reference, "FROM", "ARG" (scope)

use std::collections::BTreeMap;

use super::file::Instruction;
use crate::error::{Error, Result};
use crate::image::words;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Base {
    Scratch,
    /// One before it.
    Stage(usize),
    Image(String),
}

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) from: Instruction,
    pub(super) base: Base,
    name: Option<String>,
    pub(super) steps: Vec<Instruction>,
    pub(super) needed: bool,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) stages: Vec<Stage>,
    /// Which of them becomes the image.
    pub(super) target: usize,
    /// ARG before the first FROM.
    pub(super) globals: BTreeMap<String, String>,
}

impl Plan {
    pub(super) fn compile(
        instructions: Vec<Instruction>,
        arguments: &BTreeMap<String, String>,
        target: Option<&str>,
    ) -> Result<Self> {
        let mut plan = Self { stages: Vec::new(), target: 0, globals: BTreeMap::new() };
        for instruction in instructions {
            let at = instruction.at.clone();
            plan.take(instruction, arguments).map_err(|error| error.within(at))?;
        }
        let last = plan.stages.len().checked_sub(1).ok_or_else(|| Error::other("the Containerfile has no FROM"))?;
        plan.target = match target {
            None => last,
            Some(name) => {
                plan.find(name).ok_or_else(|| Error::other(format!("--target: there is no stage {name:?}")))?
            }
        };
        plan.mark();
        Ok(plan)
    }

    fn take(&mut self, instruction: Instruction, arguments: &BTreeMap<String, String>) -> Result<()> {
        match (instruction.keyword.as_str(), self.stages.last_mut()) {
            ("FROM", _) => self.begin(instruction),
            (_, Some(stage)) => {
                stage.steps.push(instruction);
                Ok(())
            }
            ("ARG", None) => {
                let lookup = |name: &str| self.globals.get(name).cloned();
                if let (name, Some(value)) = argument(&instruction.text, arguments, &lookup)? {
                    self.globals.insert(name, value);
                }
                Ok(())
            }
            (keyword, None) => Err(Error::other(format!("{keyword} before the first FROM"))),
        }
    }

    /// `FROM base [AS name]`
    fn begin(&mut self, from: Instruction) -> Result<()> {
        from.only_flags(&[])?;
        let words = words::split(&from.text, &|name| self.globals.get(name).cloned())?;
        let (base, name) = match words.as_slice() {
            [base] => (base, None),
            [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => (base, Some(name.to_ascii_lowercase())),
            _ => return Err(Error::other("FROM is followed by IMAGE [AS NAME]")),
        };
        let named = |stage: &Stage| stage.name.as_deref() == Some(base.to_ascii_lowercase().as_str());
        let base = match self.stages.iter().rposition(named) {
            _ if base == "scratch" => Base::Scratch,
            Some(stage) => Base::Stage(stage),
            None => Base::Image(base.clone()),
        };
        self.stages.push(Stage { from, base, name, steps: Vec::new(), needed: false });
        Ok(())
    }

    /// A stage by its name or number.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let named = |stage: &Stage| stage.name.as_deref() == Some(name.to_ascii_lowercase().as_str());
        let number = name.parse().ok().filter(|number| *number < self.stages.len());
        self.stages.iter().rposition(named).or(number)
    }

    /// The target, and all that it is made from; those come before it.
    fn mark(&mut self) {
        self.stages[self.target].needed = true;
        for index in (0..=self.target).rev().filter(|index| self.stages[*index].needed).collect::<Vec<_>>() {
            self.mark_below(index);
        }
    }

    fn mark_below(&mut self, index: usize) {
        let stage = &self.stages[index];
        let mut below: Vec<usize> = stage.steps.iter().filter_map(|step| self.find(step.flag("from")?)).collect();
        if let Base::Stage(base) = stage.base {
            below.push(base);
        }
        for other in below.into_iter().filter(|other| *other < index) {
            if !std::mem::replace(&mut self.stages[other].needed, true) {
                self.mark_below(other);
            }
        }
    }
}

/// `NAME`, or `NAME=default`: what the caller gave counts more.
pub(super) fn argument(
    text: &str,
    given: &BTreeMap<String, String>,
    lookup: words::Lookup<'_>,
) -> Result<(String, Option<String>)> {
    let (name, default) = match text.split_once('=') {
        Some((name, default)) => (name, Some(words::whole(default, lookup)?)),
        None => (text, None),
    };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(Error::other(format!("{name:?} is no name of a variable")));
    }
    Ok((name.to_owned(), given.get(name).cloned().or(default)))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn compile(text: &str, target: Option<&str>) -> Result<Plan> {
        let given = BTreeMap::from([("TAG".to_owned(), "2".to_owned())]);
        Plan::compile(file::parse("F", text)?, &given, target)
    }

    #[test]
    fn stages_and_what_they_need() {
        let text = "ARG TAG=1\nFROM base:$TAG AS One\nRUN a\nFROM scratch as two\nCOPY --from=one /a /\nFROM unused\nRUN b\nFROM two\nCMD c";
        let plan = compile(text, None).unwrap();
        let bases: Vec<_> = plan.stages.iter().map(|stage| &stage.base).collect();
        let image = |name: &str| Base::Image(name.to_owned());
        assert_eq!(bases, [&image("base:2"), &Base::Scratch, &image("unused"), &Base::Stage(1)]);
        let needed: Vec<_> = plan.stages.iter().map(|stage| stage.needed).collect();
        assert_eq!((plan.target, needed), (3, vec![true, true, false, true]));
        let plan = compile(text, Some("one")).unwrap();
        assert_eq!((plan.target, plan.stages[1].needed), (0, false));
    }

    #[test]
    fn mistakes() {
        for (text, words) in [
            ("RUN x", "F:1: RUN before the first FROM"),
            ("# nothing", "the Containerfile has no FROM"),
            ("FROM a b", "F:1: FROM is followed by"),
            ("FROM --platform=x a", "F:1: FROM --platform is not supported"),
            ("ARG a-b\nFROM a", "F:1: \"a-b\" is no name"),
        ] {
            assert_eq!(&compile(text, None).unwrap_err().to_string()[..words.len()], words);
        }
        assert!(compile("FROM a", Some("b")).unwrap_err().to_string().contains("--target"));
    }
}
