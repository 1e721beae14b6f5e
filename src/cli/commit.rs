//! `commit`: makes an image of a container.
//!
//! Runs in: parent · docs/images.md

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::args::{self, id, option, string};
use super::{Entry, Global, image, print};
use crate::container::Container;
use crate::error::Result;
use crate::image::commit::{self, Wishes};

pub(super) const ENTRY: Entry =
    Entry { name: "commit", about: "Make an image of a container and what it has changed", args, run };

fn args(command: Command) -> Command {
    command.args([
        image::store_option(),
        option("author", "NAME").short('a').help("Who made the image"),
        option("message", "TEXT").short('m').help("What is to be said about the layer"),
        option("change", "INSTRUCTION")
            .short('c')
            .action(ArgAction::Append)
            .help("ENV, LABEL, CMD, ENTRYPOINT, WORKDIR, USER, EXPOSE, VOLUME or STOPSIGNAL, as in a Containerfile"),
        args::boolean("pause").short('p').help("Hold a running container still meanwhile [default: true]"),
        id(),
        Arg::new("name").value_name("NAME").required(true).help("What to call the image"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let container = Container::find(&global.root, &args::container_id(matches)?)?;
    let text = |name| string(matches, name).map(str::to_owned);
    let wishes = Wishes {
        name: text("name").unwrap_or_default(),
        author: text("author"),
        message: text("message"),
        changes: matches.get_many::<String>("change").into_iter().flatten().cloned().collect(),
        pause: string(matches, "pause").is_none() || args::is_true(matches, "pause"),
    };
    let made = commit::commit(&image::store(matches)?, &container, &wishes)?;
    print(&format!("{}\n", made.digest)).map(|()| 0)
}
