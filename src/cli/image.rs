//! `image`: the commands on the layer store.
//!
//! Runs in: parent · docs/images.md

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use super::args::{option, path, path_of, string};
use super::{Entry, Global, print, print_json};
use crate::error::{Error, Result};
use crate::image::{self, Store, export, gc, history, import, list};

pub(super) const ENTRY: Entry = Entry { name: "image", about: "Images and their layers", args, run };

fn args(command: Command) -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("Name, or digest, of an image");
    let source = Arg::new("source").value_name("SOURCE").required(true).value_parser(value_parser!(PathBuf));
    command.arg(store_option()).subcommand_required(true).disable_help_subcommand(true).subcommands([
        Command::new("import").about("Take in an OCI layout, a docker archive or a root file system").args([
            source.help("Directory or tar; - is standard input"),
            Arg::new("name").value_name("NAME").help("What to call it [default: what the source calls it]"),
        ]),
        Command::new("list").about("List images").arg(format_option()),
        Command::new("inspect").about("Print manifest and configuration of an image").arg(name()),
        Command::new("history").about("Say how an image came to be, newest first").args([name(), format_option()]),
        Command::new("export").about("Write an image as an OCI layout").args([
            name(),
            Arg::new("to")
                .value_name("DEST")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("A directory, a file *.tar, or - for a tar on standard output"),
        ]),
        Command::new("tag")
            .about("Give an image another name")
            .args([name(), Arg::new("new").value_name("NEW-NAME").required(true).help("The name to give")]),
        Command::new("remove").about("Take a name away; prune frees what it held").arg(name()),
        Command::new("prune").about("Remove what no name, bundle or container leads to"),
        Command::new("verify").about("Read every blob and compare it with its digest"),
    ])
}

pub(super) fn store_option() -> Arg {
    path("store").help("Directory of the layer store [default: /var/lib/orlop]")
}

fn format_option() -> Arg {
    option("format", "FORMAT").short('f').value_parser(["table", "json"]).help("[default: table]")
}

/// `--store`, else the machine's or, for a plain user, the user's.
pub(super) fn store(matches: &ArgMatches) -> Result<Store> {
    if let Some(store) = path_of(matches, "store") {
        return Store::open(&super::args::absolute(store)?);
    }
    Store::open(&Store::default_root()?)
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let store = store(matches)?;
    let Some((command, matches)) = matches.subcommand() else {
        return Err(Error::other("a command is missing: `orlop image --help` lists them"));
    };
    let name = || string(matches, "name").unwrap_or_default();
    match command {
        "import" => {
            let source = path_of(matches, "source").unwrap_or("-".as_ref());
            let names = import::import(&store, source, string(matches, "name"))?;
            print(&names.iter().map(|name| format!("{name}\n")).collect::<String>()).map(|()| 0)
        }
        "list" if string(matches, "format") == Some("json") => print_json(&list::images(&store)?),
        "list" => print(&list::table(&list::images(&store)?)).map(|()| 0),
        "inspect" => {
            let found = store.find(name())?;
            print_json(&json!({
                "name": found.name, "digest": found.descriptor.digest, "manifest": found.manifest, "config": found.image,
            }))
        }
        "history" => {
            let steps = history::steps(&store, &store.find(name())?.image);
            match string(matches, "format") {
                Some("json") => print_json(&steps),
                _ => print(&history::table(&steps)).map(|()| 0),
            }
        }
        "export" => {
            let to = path_of(matches, "to").unwrap_or("-".as_ref());
            export::export(&store, name(), to).map(|()| 0)
        }
        "tag" => {
            let found = store.find(name())?;
            let new = image::full_name(string(matches, "new").unwrap_or_default());
            store.change()?.name(found.descriptor, &new).map(|()| 0)
        }
        "remove" => store.change()?.remove_name(name()).map(|()| 0),
        "prune" => {
            let gc::Pruned { blobs, layers, bytes } = gc::prune(&store, &global.root)?;
            print(&format!("{layers} layers and {blobs} blobs removed, {bytes} bytes\n")).map(|()| 0)
        }
        "verify" => verify(&store),
        other => Err(Error::other(format!("unknown command {other:?}"))),
    }
}

fn verify(store: &Store) -> Result<i32> {
    let broken = import::verify(store)?;
    match broken.as_slice() {
        [] => Ok(0),
        broken => {
            let names = broken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(Error::other(format!("not what the digest says: {names}")))
        }
    }
}
