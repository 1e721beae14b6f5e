//! `commit`: what a container has changed becomes a layer, and its image with that layer a new one.
//!
//! Runs in: parent · docs/images.md

use nix::sched::CloneFlags;

use super::draft::Draft;
use super::settings::{SHELL, Setting};
use super::{Defaults, Descriptor, Digest, Found, Store, bundle};
use crate::container::{Container, Status, pause};
use crate::error::{Error, Result};
use crate::namespace::{Namespaces, idmap};
use crate::rootfs::overlay::Changes;
use crate::spec::Config;

/// What the caller wants of the new image.
#[derive(Debug)]
pub(crate) struct Wishes {
    pub(crate) name: String,
    pub(crate) author: Option<String>,
    pub(crate) message: Option<String>,
    /// Instructions of a Containerfile.
    pub(crate) changes: Vec<String>,
    /// Whether a running container is held still meanwhile.
    pub(crate) pause: bool,
}

pub(crate) fn commit(store: &Store, container: &Container, wishes: &Wishes) -> Result<Descriptor> {
    let changes = container.changes()?;
    let changes = changes.ok_or_else(|| Error::state(&container.record.id, "is read-only: nothing has changed"))?;
    let config = container.config()?;
    let ids = ids(container, &config)?;
    let changing = store.change()?;
    let mut draft = Draft::on(base(store, container)?)?;
    for change in &wishes.changes {
        apply(change, &mut draft.image.config).map_err(|error| error.within(format_args!("--change {change:?}")))?;
    }
    let layer = still(container, wishes.pause, &changes, |changes| changing.pack(changes, &ids))?;
    draft.add(layer);
    if let Some(author) = &wishes.author {
        draft.set_author(author);
    }
    let process = config.process.as_ref().map(|process| process.args.join(" "));
    draft.note(&process.unwrap_or_default(), wishes.message.as_deref(), true);
    draft.save(&changing, Some(&wishes.name))
}

/// Pauses a container that runs, and lets it go on whatever happens.
fn still<T>(
    container: &Container,
    wanted: bool,
    changes: &Changes,
    act: impl FnOnce(&Changes) -> Result<T>,
) -> Result<T> {
    struct Paused<'a>(&'a Container);

    impl Drop for Paused<'_> {
        fn drop(&mut self) {
            if let Err(error) = pause::resume(self.0) {
                log::warn!("{error}");
            }
        }
    }

    let _paused = if wanted && container.status()? == Status::Running {
        pause::pause(container).map_err(|error| error.within("--pause=false does without"))?;
        Some(Paused(container))
    } else {
        None
    };
    act(changes)
}

/// The image that the container was made of: what `bundle` has noted, or any with these very layers.
fn base(store: &Store, container: &Container) -> Result<Found> {
    let layers = bundle::digests_of(store, container.lower()?);
    let fits = |found: &Found| {
        let mut diff_ids: Vec<&Digest> = Vec::new();
        for diff_id in found.image.rootfs.diff_ids.iter().rev() {
            if !diff_ids.contains(&diff_id) {
                diff_ids.push(diff_id);
            }
        }
        layers.iter().map(Option::as_ref).eq(diff_ids.into_iter().map(Some))
    };
    let noted = container.record.annotations.get(bundle::IMAGE).and_then(|digest| Digest::parse(digest));
    let noted = noted.and_then(|digest| store.manifest(&digest).ok()).filter(fits);
    let mut named = store.index()?.manifests.into_iter().filter_map(|entry| store.load(&entry).ok());
    noted.or_else(|| named.find(fits)).ok_or_else(|| {
        Error::state(&container.record.id, "is not made of an image of this store, or that has been removed")
    })
}

/// The maps of its user namespace. One that it joined is known while it runs.
fn ids(container: &Container, config: &Config) -> Result<idmap::Plan> {
    let namespaces = Namespaces::compile(&config.linux)?;
    if !namespaces.joins(CloneFlags::CLONE_NEWUSER) || !namespaces.ids.is_empty() {
        return Ok(namespaces.ids);
    }
    match container.pid(container.status()?) {
        Some(pid) => idmap::Plan::of_process(pid),
        None => Err(Error::state(
            &container.record.id,
            "has stopped: the ids of the user namespace it joined are not known",
        )),
    }
}

fn apply(change: &str, defaults: &mut Defaults) -> Result<()> {
    let (keyword, text) = change.trim().split_once(char::is_whitespace).unwrap_or((change.trim(), ""));
    let env = defaults.env.clone().unwrap_or_default();
    let lookup = |name: &str| env.iter().find_map(|one| one.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
    let setting = Setting::parse(&keyword.to_ascii_uppercase(), text.trim(), &SHELL.map(str::to_owned), &lookup)?;
    // What is asked for one by one is all wanted.
    let mut own_cmd = true;
    setting
        .ok_or_else(|| Error::other("only ENV, LABEL, CMD, ENTRYPOINT, WORKDIR, USER, EXPOSE, VOLUME and STOPSIGNAL"))?
        .apply(defaults, &mut own_cmd);
    Ok(())
}
