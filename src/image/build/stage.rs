//! One stage of a build: its instructions, one after the other.
//!
//! Runs in: parent · Dockerfile reference

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use serde::Serialize;

use super::copy::{Copy, Destination, ensure_directory};
use super::file::Instruction;
use super::mount::{self, Workplace};
use super::source::{Source, Tree};
use super::{Build, cache, plan, run};
use crate::error::{Error, On as _, Result};
use crate::image::draft::{Draft, Layer};
use crate::image::settings::{self, Setting};
use crate::image::{Digest, user, words};
use crate::namespace::idmap;
use crate::rootfs::Root;
use crate::rootfs::overlay::Changes;
use crate::rootfs::overlay::changes::Marks;
use crate::sys::Call as _;

#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) draft: Draft,
    arguments: BTreeMap<String, String>,
    shell: Vec<String>,
    own_cmd: bool,
}

/// All that the layer of a COPY or ADD depends on, beside the layers below.
#[derive(Serialize)]
struct CopyKey<'a> {
    keyword: &'a str,
    path: &'a str,
    owner: Option<(u32, u32)>,
    mode: Option<u32>,
    /// The context's files, or another stage's layers and the names in it.
    content: Option<Digest>,
    from: &'a [Digest],
    names: &'a [String],
}

impl Stage {
    pub(super) fn new(draft: Draft) -> Self {
        let shell = settings::SHELL.map(str::to_owned).to_vec();
        Self { draft, arguments: BTreeMap::new(), shell, own_cmd: false }
    }

    /// Goes on from here in another stage, which has its own arguments.
    pub(super) fn next(&self) -> Self {
        Self { shell: self.shell.clone(), ..Self::new(self.draft.clone()) }
    }

    /// Its layers as overlayfs wants them: the topmost first, each once.
    pub(super) fn lower(&self, build: &Build<'_>) -> Vec<PathBuf> {
        let mut lower = Vec::new();
        for layer in self.draft.image.rootfs.diff_ids.iter().rev().map(|diff_id| build.changing.store.layer(diff_id)) {
            if !lower.contains(&layer) {
                lower.push(layer);
            }
        }
        lower
    }

    pub(super) fn step(&mut self, build: &Build<'_>, step: &Instruction) -> Result<()> {
        let has_layer = match step.keyword.as_str() {
            "ARG" => return self.argument(build, step),
            "SHELL" => {
                let list = words::json(&step.text).filter(|list| !list.is_empty());
                self.shell = list.ok_or_else(|| Error::other("SHELL is followed by a JSON array"))?;
                false
            }
            "RUN" => self.run(build, step)?,
            "COPY" | "ADD" => self.copy(build, step)?,
            keyword => {
                let setting = Setting::parse(keyword, &step.text, &self.shell, &|name| self.variable(name))?;
                let setting = setting.ok_or_else(|| Error::other(format!("{keyword} is not supported")))?;
                setting.apply(&mut self.draft.image.config, &mut self.own_cmd);
                keyword == "WORKDIR" && self.make_working_dir(build)?
            }
        };
        self.draft.note(&format!("{} {}", step.keyword, step.text), None, has_layer);
        Ok(())
    }

    fn env(&self) -> impl Iterator<Item = &String> {
        self.draft.image.config.env.iter().flatten()
    }

    /// ENV counts more than ARG.
    fn variable(&self, name: &str) -> Option<String> {
        let of_env = self.env().find_map(|one| one.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
        of_env.or_else(|| self.arguments.get(name).cloned())
    }

    fn argument(&mut self, build: &Build<'_>, step: &Instruction) -> Result<()> {
        let (name, value) = plan::argument(&step.text, &build.options.arguments, &|name| self.variable(name))?;
        if let Some(value) = value.or_else(|| build.plan.globals.get(&name).cloned()) {
            self.arguments.insert(name, value);
        }
        Ok(())
    }

    fn run(&mut self, build: &Build<'_>, step: &Instruction) -> Result<bool> {
        step.only_flags(&[])?;
        let mut image = self.draft.image.clone();
        image.config.entrypoint = None;
        image.config.cmd = Some(settings::command(&step.text, &self.shell));
        let arguments =
            self.arguments.iter().filter(|(name, _)| !self.env().any(|one| one.split('=').next() == Some(name)));
        let arguments: Vec<String> = arguments.map(|(name, value)| format!("{name}={value}")).collect();
        image.config.env = Some(arguments.into_iter().chain(self.env().cloned()).collect());
        if self.draft.image.rootfs.diff_ids.is_empty() {
            return Err(Error::other("there is nothing in scratch that could be run"));
        }
        let key = cache::key(&self.draft.image.rootfs.diff_ids, &("RUN", &image.config, build.options.host_network))?;
        self.layer(build, &key, |place, _| run::run(build.changing.store, &image, place, build.options))
    }

    fn make_working_dir(&mut self, build: &Build<'_>) -> Result<bool> {
        let dir = self.draft.image.config.working_dir.clone().unwrap_or_default();
        let key = cache::key(&self.draft.image.rootfs.diff_ids, &("WORKDIR", &dir))?;
        self.layer(build, &key, |place, lower| {
            mount::inside(|| {
                let root = place.writable(lower)?;
                ensure_directory(Root::new(root.as_fd()), &dir, (0, 0)).map(drop)
            })
        })
    }

    fn copy(&mut self, build: &Build<'_>, step: &Instruction) -> Result<bool> {
        step.only_flags(if step.keyword == "COPY" { &["from", "chown", "chmod"] } else { &["chown", "chmod"] })?;
        let lookup = |name: &str| self.variable(name);
        let mut names = words::json(&step.text).map_or_else(|| words::split(&step.text, &lookup), Ok)?;
        let Some(to) = names.pop().filter(|_| !names.is_empty()) else {
            return Err(Error::other(format!("{} is followed by sources and a destination", step.keyword)));
        };
        if let Some(name) = names.iter().find(|name| name.contains("://") || name.starts_with("git@")) {
            return Err(Error::other(format!("{name:?}: sources on the network are not supported")));
        }
        let lower = self.lower(build);
        let working_dir = self.draft.image.config.working_dir.as_deref().unwrap_or("/");
        let to = Destination {
            path: settings::resolve(working_dir, &to),
            is_directory: to.ends_with('/') || to == "." || to.ends_with("/."),
            owner: step.flag("chown").map(|owner| owner_of(&words::whole(owner, &lookup)?, &lower)).transpose()?,
            mode: step.flag("chmod").map(mode_of).transpose()?,
            unpack: step.keyword == "ADD",
        };
        match step.flag("from") {
            None => self.copy_context(build, &names, &to),
            Some(from) => self.copy_stage(build, from, &names, &to),
        }
        .map_err(|error| error.within(&step.keyword))
    }

    fn copy_context(&mut self, build: &Build<'_>, names: &[String], to: &Destination) -> Result<bool> {
        let tree = &build.context;
        let sources = tree.find(names)?;
        check_room(&sources, to)?;
        let key = self.copy_key(to, Some(tree.digest(&sources)?), &[], &[])?;
        self.layer(build, &key, |place, lower| {
            mount::inside(|| {
                let root = place.writable(lower)?;
                Copy { root: Root::new(root.as_fd()), tree, to }.all(&sources)
            })
        })
    }

    /// From another stage, or an image of the store.
    fn copy_stage(&mut self, build: &Build<'_>, from: &str, names: &[String], to: &Destination) -> Result<bool> {
        let image: Stage;
        let from = match build.stage(from) {
            Some(stage) => stage,
            None => {
                image = Self::new(Draft::on(build.changing.store.find(from)?)?);
                &image
            }
        };
        let below = from.lower(build);
        let key = self.copy_key(to, None, &from.draft.image.rootfs.diff_ids, names)?;
        self.layer(build, &key, |place, lower| {
            mount::inside(|| {
                let tree = Tree::stage(place.read_only(&below)?);
                let sources = tree.find(names)?;
                check_room(&sources, to)?;
                let root = place.writable(lower)?;
                Copy { root: Root::new(root.as_fd()), tree: &tree, to }.all(&sources)
            })
        })
    }

    fn copy_key(&self, to: &Destination, content: Option<Digest>, from: &[Digest], names: &[String]) -> Result<Digest> {
        let keyword = if to.unpack { "ADD" } else { "COPY" };
        let path = if to.is_directory { format!("{}/", to.path) } else { to.path.clone() };
        let key = CopyKey { keyword, path: &path, owner: to.owner, mode: to.mode, content, from, names };
        cache::key(&self.draft.image.rootfs.diff_ids, &key)
    }

    /// What `change` does at the work place becomes a layer, if it does anything; or the one that the same
    /// made before. Says whether there is one.
    fn layer(
        &mut self,
        build: &Build<'_>,
        key: &Digest,
        change: impl FnOnce(&Workplace, &[PathBuf]) -> Result<()>,
    ) -> Result<bool> {
        let changing = build.changing;
        let known = if build.options.no_cache { None } else { cache::find(changing.store, key) };
        let layer = match known {
            Some(layer) => {
                (build.say)("--> as before\n")?;
                layer
            }
            None => {
                let lower = self.lower(build);
                let place = Workplace::make(changing.temporary(), lower.is_empty())?;
                let packed = change(&place, &lower).and_then(|()| pack(build, &place, &lower));
                changing.discard(&place.dir);
                let layer = packed?;
                cache::keep(changing, key, layer.as_ref())?;
                layer
            }
        };
        let is_one = layer.is_some();
        layer.into_iter().for_each(|layer| self.draft.add(layer));
        Ok(is_one)
    }
}

fn pack(build: &Build<'_>, place: &Workplace, lower: &[PathBuf]) -> Result<Option<Layer>> {
    let upper = place.upper();
    if fs::read_dir(&upper).call("open").on(upper.display())?.next().is_none() {
        return Ok(None);
    }
    let changes = Changes::open(&upper, lower, Marks::Trusted)?;
    build.changing.pack(&changes, &idmap::Plan::default()).map(Some)
}

fn check_room(sources: &[Source], to: &Destination) -> Result<()> {
    if sources.len() > 1 && !to.is_directory {
        return Err(Error::other(format!("{} sources need a destination that ends with a slash", sources.len())));
    }
    Ok(())
}

/// By names of the image, or by numbers: one number is also that of the group.
fn owner_of(written: &str, layers: &[PathBuf]) -> Result<(u32, u32)> {
    match written.parse() {
        Ok(number) => Ok((number, number)),
        Err(_) => Ok(user::find(written, layers)?.ids()),
    }
}

fn mode_of(written: &str) -> Result<u32> {
    let mode = u32::from_str_radix(written, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| Error::other(format!("--chmod: {written:?} is no octal mode")))
}
