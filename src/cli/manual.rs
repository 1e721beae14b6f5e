//! The manual pages of `docs/man` and the completions of `docs/completions`, from the commands' definitions.
//!
//! Runs in: tests only. They are kept in the repository, so that nobody needs what makes them to install them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// Where a shell looks for a command's completions.
const COMPLETIONS: [(Shell, &str); 3] = [(Shell::Bash, "orlop"), (Shell::Zsh, "_orlop"), (Shell::Fish, "orlop.fish")];

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files() -> Files {
    let mut command = super::command();
    command.build();
    let mut files = Files::new();
    add_pages(command.clone(), "orlop".to_owned(), &mut files);
    for (shell, name) in COMPLETIONS {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "orlop", &mut text);
        files.insert(Path::new("docs/completions").join(name), text);
    }
    files
}

/// A page for a command, called as git's are, and one for each of its own commands.
fn add_pages(command: Command, name: String, files: &mut Files) {
    for below in command.get_subcommands() {
        add_pages(below.clone(), format!("{name}-{}", below.get_name()), files);
    }
    let mut page = Vec::new();
    Man::new(command.display_name(name.clone())).source("orlop").manual("orlop").render(&mut page).unwrap();
    files.insert(Path::new("docs/man").join(format!("{name}.1")), page);
}

/// `make manual` sets the variable.
#[test]
fn pages_and_completions_are_those_of_the_commands() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files();
    if std::env::var_os("ORLOP_WRITE_MANUAL").is_some() {
        for directory in ["docs/man", "docs/completions"] {
            let _ = fs::remove_dir_all(checkout.join(directory));
            fs::create_dir(checkout.join(directory)).unwrap();
        }
        files.iter().for_each(|(path, text)| fs::write(checkout.join(path), text).unwrap());
    }
    let mut kept = Files::new();
    for directory in ["docs/man", "docs/completions"] {
        for entry in checkout.join(directory).read_dir().unwrap() {
            let path = Path::new(directory).join(entry.unwrap().file_name());
            kept.insert(path.clone(), fs::read(checkout.join(path)).unwrap());
        }
    }
    assert!(kept == files, "options have changed, or commands: make manual");
}
