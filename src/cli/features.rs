//! `features`: prints what this build can do.
//!
//! Runs in: parent · features.md

use clap::ArgMatches;

use super::{Entry, Global, print_json};
use crate::error::Result;
use crate::spec::features;

pub(super) const ENTRY: Entry =
    Entry { name: "features", about: "Print the features of this build", args: |command| command, run };

fn run(_: &Global, _: &ArgMatches) -> Result<i32> {
    print_json(&features::document())
}
