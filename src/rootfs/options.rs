//! mounts[].options: what each option of the spec's table does.
//!
//! Runs in: parent · config.md#linux-mount-options, MNT-08…MNT-74, mount(8)
//!
//! Attributes belong to one mount (read-only, nosuid, atime), flags to the file system (sync,
//! lazytime), propagation to how mounts spread. A word that is none of these is the file system's.

use std::ffi::CString;

use crate::error::{Property, Result};
use crate::sys;
use crate::sys::mount::{Attr, Propagation};

/// What a list of options asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) bind: Option<Bind>,
    pub(crate) remount: bool,
    pub(crate) copy_up: bool,
    /// `idmap`, or `ridmap` for the whole tree.
    pub(crate) idmap: Option<bool>,
    /// Attributes of the mount itself, and of its whole tree.
    pub(crate) attr: Change,
    pub(crate) recursive: Change,
    pub(crate) propagation: Vec<(Propagation, bool)>,
    /// For the file system: key, and value where there is one; in the order written.
    pub(crate) data: Vec<Data>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    One,
    Recursive,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) key: CString,
    pub(crate) value: Option<CString>,
    /// A flag that file systems without such a thing have always been free to ignore.
    pub(crate) hint: bool,
}

/// Attributes to set and to clear; the last option that names one wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) set: Attr,
    pub(crate) clear: Attr,
}

impl Change {
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn apply(&mut self, effect: Self) {
        self.set = (self.set - effect.clear) | effect.set;
        self.clear = (self.clear - effect.set) | effect.clear;
    }
}

#[derive(Clone, Copy)]
enum Effect {
    Nothing,
    Set(Attr),
    Clear(Attr),
    /// The access time is one field of several bits: it is cleared as a whole (mount_setattr(2)).
    Atime(Attr),
    Flag,
    Hint,
    Propagation(Propagation),
    Bind(Bind),
    Remount,
    CopyUp,
}

use Effect::{Atime, Clear, Flag, Hint, Nothing, Set};

/// The table of config.md. An attribute's name with an `r` in front applies to the whole tree.
const TABLE: &[(&str, Effect)] = &[
    ("async", Flag),
    ("atime", Atime(Attr::empty())),
    ("bind", Effect::Bind(Bind::One)),
    ("defaults", Nothing),
    ("dev", Clear(Attr::NODEV)),
    ("diratime", Clear(Attr::NODIRATIME)),
    ("dirsync", Flag),
    ("exec", Clear(Attr::NOEXEC)),
    ("iversion", Hint),
    ("lazytime", Flag),
    // How talkative mount(2) is with the kernel's log; the new mount API has no such flag.
    ("loud", Nothing),
    ("mand", Hint),
    ("noatime", Atime(Attr::NOATIME)),
    ("nodev", Set(Attr::NODEV)),
    ("nodiratime", Set(Attr::NODIRATIME)),
    ("noexec", Set(Attr::NOEXEC)),
    ("noiversion", Nothing),
    ("nolazytime", Flag),
    ("nomand", Hint),
    ("norelatime", Atime(Attr::STRICTATIME)),
    ("nostrictatime", Atime(Attr::empty())),
    ("nosuid", Set(Attr::NOSUID)),
    ("nosymfollow", Set(Attr::NOSYMFOLLOW)),
    ("private", Effect::Propagation(Propagation::Private)),
    ("rbind", Effect::Bind(Bind::Recursive)),
    ("relatime", Atime(Attr::empty())),
    ("remount", Effect::Remount),
    ("ro", Set(Attr::RDONLY)),
    ("rw", Clear(Attr::RDONLY)),
    ("shared", Effect::Propagation(Propagation::Shared)),
    ("silent", Nothing),
    ("slave", Effect::Propagation(Propagation::Slave)),
    ("strictatime", Atime(Attr::STRICTATIME)),
    ("suid", Clear(Attr::NOSUID)),
    ("symfollow", Clear(Attr::NOSYMFOLLOW)),
    ("sync", Flag),
    ("tmpcopyup", Effect::CopyUp),
    ("unbindable", Effect::Propagation(Propagation::Unbindable)),
];

/// Every option known by name, for `orlop features`.
pub(crate) fn known() -> Vec<String> {
    let mut names: Vec<String> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    let recursive = TABLE.iter().filter(|(_, effect)| has_recursive_form(*effect)).map(|(name, _)| format!("r{name}"));
    names.extend(recursive.collect::<Vec<_>>());
    names.extend(["idmap".to_owned(), "ridmap".to_owned()]);
    names.sort();
    names
}

fn has_recursive_form(effect: Effect) -> bool {
    matches!(effect, Set(_) | Clear(_) | Atime(_) | Effect::Propagation(_))
}

fn look_up(name: &str) -> Option<Effect> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, effect)| *effect)
}

impl Options {
    pub(crate) fn compile(written: &[String], property: Property) -> Result<Self> {
        let mut options = Self::default();
        for option in written {
            if let Some(effect) = look_up(option) {
                options.apply(option, effect, false, property)?;
            } else if let Some(name) = option.strip_prefix('r')
                && let Some(effect) = look_up(name).filter(|effect| has_recursive_form(*effect))
            {
                options.apply(name, effect, true, property)?;
            } else if option == "idmap" || option == "ridmap" {
                options.idmap = Some(option == "ridmap");
            } else {
                options.add_data(option, property)?;
            }
        }
        Ok(options)
    }

    fn apply(&mut self, name: &str, effect: Effect, recursive: bool, property: Property) -> Result<()> {
        let change = if recursive { &mut self.recursive } else { &mut self.attr };
        match effect {
            Nothing => {}
            Set(set) => change.apply(Change { set, clear: Attr::empty() }),
            Clear(clear) => change.apply(Change { set: Attr::empty(), clear }),
            Atime(set) => {
                change.set = (change.set - Attr::ATIME) | set;
                change.clear |= Attr::ATIME;
            }
            Flag | Hint => {
                self.data.push(Data { key: c_string(name, property)?, value: None, hint: matches!(effect, Hint) })
            }
            Effect::Propagation(kind) => self.propagation.push((kind, recursive)),
            Effect::Bind(bind) => self.bind = Some(bind),
            Effect::Remount => self.remount = true,
            Effect::CopyUp => self.copy_up = true,
        }
        Ok(())
    }

    /// One entry may hold several parameters, with commas between them, as mount(2)'s data does; a
    /// comma behind a backslash is part of a value (overlayfs).
    fn add_data(&mut self, option: &str, property: Property) -> Result<()> {
        let mut rest = option;
        while !rest.is_empty() {
            let end = comma(rest).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.strip_prefix(',').unwrap_or("");
            if word.is_empty() {
                continue;
            }
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(c_string(value, property)?)),
                None => (word, None),
            };
            self.data.push(Data { key: c_string(key, property)?, value, hint: false });
        }
        Ok(())
    }

    pub(crate) fn has_data(&self, key: &str) -> bool {
        self.data.iter().any(|data| data.key.to_bytes() == key.as_bytes())
    }
}

fn comma(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|&at| bytes[at] == b',' && (at == 0 || bytes[at - 1] != b'\\'))
}

fn c_string(text: &str, property: Property) -> Result<CString> {
    sys::c_string(text).map_err(|_| property.invalid("has a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(options: &[&str]) -> Options {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Options::compile(&options, Property::at("mounts", 0).field("options")).unwrap()
    }

    /// MNT-10…MNT-48: each is known, and none becomes the file system's by accident.
    #[test]
    fn every_option_of_the_table_is_known() {
        let table = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime noexec \
            noiversion nolazytime norelatime nostrictatime nosuid private rbind relatime remount ro rprivate rshared rslave \
            runbindable rw shared silent slave strictatime suid sync unbindable nosymfollow symfollow ratime rdev rdiratime \
            rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow rrelatime rro rrw rstrictatime \
            rsuid rsymfollow rnodev mand nomand tmpcopyup";
        let flags = ["async", "dirsync", "lazytime", "nolazytime", "sync", "mand", "nomand", "iversion"];
        for name in table.split_whitespace() {
            let options = compile(&[name]);
            assert_eq!(!options.data.is_empty(), flags.contains(&name), "{name}");
            assert!(known().iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn the_last_word_wins() {
        assert_eq!(compile(&["ro", "rw"]).attr, Change { set: Attr::empty(), clear: Attr::RDONLY });
        assert_eq!(compile(&["rw", "ro"]).attr, Change { set: Attr::RDONLY, clear: Attr::empty() });
        assert_eq!(compile(&["noatime", "strictatime"]).attr, Change { set: Attr::STRICTATIME, clear: Attr::ATIME });
    }

    /// MNT-72: the clear mask of access times is the whole field.
    #[test]
    fn attributes_of_one_mount_and_of_the_tree() {
        let options = compile(&["nosuid", "rro", "rnoatime"]);
        assert_eq!(options.attr, Change { set: Attr::NOSUID, clear: Attr::empty() });
        assert_eq!(options.recursive, Change { set: Attr::RDONLY | Attr::NOATIME, clear: Attr::ATIME });
    }

    /// MNT-08
    #[test]
    fn other_words_are_the_file_systems_in_order() {
        let words: Vec<(String, Option<String>)> =
            compile(&["size=1k,mode=755", "nosuid", "newinstance", "lowerdir=/a\\,b"])
                .data
                .iter()
                .map(|data| {
                    (data.key.to_string_lossy().into(), data.value.as_ref().map(|v| v.to_string_lossy().into()))
                })
                .collect();
        let pair = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
        assert_eq!(
            words,
            [
                pair("size", Some("1k")),
                pair("mode", Some("755")),
                pair("newinstance", None),
                pair("lowerdir", Some("/a\\,b"))
            ]
        );
    }

    #[test]
    fn propagation_in_the_order_written() {
        assert_eq!(
            compile(&["rslave", "shared"]).propagation,
            [(Propagation::Slave, true), (Propagation::Shared, false)]
        );
    }
}
