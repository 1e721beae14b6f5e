//! `build`: an image from a Containerfile and the files of its context.
//!
//! Runs in: parent · docs/images.md; Dockerfile reference
//!
//! Each step that changes files works on an overlay of the layers so far, and what it leaves in the upper
//! directory becomes a layer. The store is locked meanwhile: what is half done belongs to nobody else.

pub(crate) mod cache;
mod copy;
mod file;
mod mount;
mod pattern;
mod plan;
mod run;
mod source;
mod stage;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::{Changing, Descriptor, Store};
use crate::cgroup::Driver;
use crate::container::Rootless;
use crate::error::{Error, On as _, Result};
use crate::sys::Call as _;
use pattern::Ignored;
use plan::{Base, Plan};
use source::Tree;
use stage::Stage;

/// More than anybody writes.
const LONGEST_FILE: u64 = 1 << 20;

/// What the caller wants.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) context: PathBuf,
    /// Containerfile or Dockerfile of the context, if none is named.
    pub(crate) file: Option<PathBuf>,
    pub(crate) names: Vec<String>,
    pub(crate) arguments: BTreeMap<String, String>,
    pub(crate) target: Option<String>,
    pub(crate) no_cache: bool,
    /// For RUN: the host's network instead of none.
    pub(crate) host_network: bool,
    /// Where containers are, for those of RUN.
    pub(crate) state: PathBuf,
    pub(crate) rootless: Rootless,
    pub(crate) driver: Driver,
}

/// A build under way.
struct Build<'a> {
    options: &'a Options,
    changing: &'a Changing<'a>,
    context: Tree,
    plan: Plan,
    /// Those that are done; none for those that are not needed.
    stages: Vec<Option<Stage>>,
    say: &'a dyn Fn(&str) -> Result<()>,
}

/// `say` is told how far it is.
pub(crate) fn build(store: &Store, options: &Options, say: &dyn Fn(&str) -> Result<()>) -> Result<Descriptor> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::other("build: a plain user cannot mount layers that others own: root is needed"));
    }
    let (name, text) = read_file(options)?;
    let plan = Plan::compile(file::parse(&name, &text)?, &options.arguments, options.target.as_deref())?;
    let context = Tree::context(open(&options.context)?, ignored(&options.context)?);
    let changing = store.change()?;
    let mut build = Build { options, changing: &changing, context, plan, stages: Vec::new(), say };
    for index in 0..=build.plan.target {
        let stage = if build.plan.stages[index].needed { Some(build.make(index)?) } else { None };
        build.stages.push(stage);
    }
    let last = build.stages.pop().flatten().ok_or_else(|| Error::other("there is no such stage"))?;
    let made = last.draft.clone().save(&changing, None)?;
    for name in &options.names {
        changing.name(made.clone(), &super::full_name(name))?;
    }
    Ok(made)
}

impl Build<'_> {
    /// One that is done, by its name or number.
    fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.get(self.plan.find(name)?)?.as_ref()
    }

    fn make(&self, index: usize) -> Result<Stage> {
        let planned = &self.plan.stages[index];
        let at = |error: Error, step: &file::Instruction| error.within(&step.at);
        (self.say)(&format!("FROM {}\n", planned.from.text))?;
        let mut stage = self.begin(&planned.base).map_err(|error| at(error, &planned.from))?;
        for (number, step) in planned.steps.iter().enumerate() {
            (self.say)(&format!("{}/{}: {} {}\n", number + 1, planned.steps.len(), step.keyword, step.text))?;
            stage.step(self, step).map_err(|error| at(error, step))?;
        }
        Ok(stage)
    }

    fn begin(&self, base: &Base) -> Result<Stage> {
        Ok(match base {
            Base::Scratch => Stage::new(Draft::scratch()?),
            Base::Image(name) => Stage::new(Draft::on(self.changing.store.find(name)?)?),
            Base::Stage(index) => {
                let before = self.stages.get(*index).and_then(Option::as_ref);
                before.ok_or_else(|| Error::other("that stage is not built"))?.next()
            }
        })
    }
}

/// What errors call it, and what it says.
fn read_file(options: &Options) -> Result<(String, String)> {
    let path = match &options.file {
        Some(path) => path.clone(),
        None => {
            let usual = ["Containerfile", "Dockerfile"].map(|name| options.context.join(name));
            let missing = || format!("{}: has neither Containerfile nor Dockerfile", options.context.display());
            usual.into_iter().find(|path| path.exists()).ok_or_else(|| Error::other(missing()))?
        }
    };
    let length = fs::metadata(&path).call("open").on(path.display())?.len();
    if length > LONGEST_FILE {
        return Err(Error::other(format!("{}: is longer than {LONGEST_FILE} bytes", path.display())));
    }
    let text = fs::read_to_string(&path).call("read").on(path.display())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((name, text))
}

fn ignored(context: &Path) -> Result<Ignored> {
    for name in [".containerignore", ".dockerignore"] {
        let path = context.join(name);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            text => {
                let text = text.call("read").on(path.display())?;
                return Ignored::parse(&text).map_err(|error| error.within(path.display()));
            }
        }
    }
    Ok(Ignored::default())
}

fn open(dir: &Path) -> Result<std::os::fd::OwnedFd> {
    if !dir.is_dir() {
        return Err(Error::other(format!("{}: the context has to be a directory", dir.display())));
    }
    File::open(dir).call("open").on(dir.display()).map(Into::into)
}
