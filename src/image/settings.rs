//! Instructions that change how a container of an image is run: for `build`, and `commit --change`.
//!
//! Runs in: parent · Dockerfile reference; image-spec config.md

use serde_json::{Map, Value, json};

use super::Defaults;
use super::words::{self, Lookup};
use crate::error::{Error, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Cmd(Vec<String>),
    Entrypoint(Vec<String>),
    WorkingDir(String),
    User(String),
    Expose(Vec<String>),
    Volume(Vec<String>),
    StopSignal(String),
}

/// What a command line without brackets is given to.
pub(crate) const SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl Setting {
    /// None where the keyword, in capitals, is that of another instruction.
    pub(crate) fn parse(keyword: &str, text: &str, shell: &[String], lookup: Lookup<'_>) -> Result<Option<Self>> {
        let one = || match words::whole(text, lookup)? {
            word if word.is_empty() => Err(Error::other("it needs a value")),
            word => Ok(word),
        };
        let list = || match words::json(text) {
            Some(list) => Ok(list),
            None => words::split(text, lookup),
        };
        Ok(Some(match keyword {
            "ENV" => Self::Env(pairs(text, lookup)?),
            "LABEL" => Self::Label(pairs(text, lookup)?),
            "CMD" => Self::Cmd(command(text, shell)),
            "ENTRYPOINT" => Self::Entrypoint(command(text, shell)),
            "WORKDIR" => Self::WorkingDir(one()?),
            "USER" => Self::User(one()?),
            "EXPOSE" => Self::Expose(
                words::split(text, lookup)?.iter().map(|port| ports(port)).collect::<Result<Vec<_>>>()?.concat(),
            ),
            "VOLUME" => Self::Volume(list()?),
            "STOPSIGNAL" => Self::StopSignal(one()?),
            _ => return Ok(None),
        }))
    }

    /// `own_cmd`: whether the command is of the same Containerfile; one of the base goes with its
    /// entrypoint.
    pub(crate) fn apply(self, defaults: &mut Defaults, own_cmd: &mut bool) {
        match self {
            Self::Env(pairs) => {
                let env = defaults.env.get_or_insert_default();
                for (name, value) in pairs {
                    let new = format!("{name}={value}");
                    match env.iter_mut().find(|known| known.split('=').next() == Some(&name)) {
                        Some(known) => *known = new,
                        None => env.push(new),
                    }
                }
            }
            Self::Label(pairs) => defaults.labels.get_or_insert_default().extend(pairs),
            Self::Cmd(command) => {
                defaults.cmd = Some(command);
                *own_cmd = true;
            }
            Self::Entrypoint(command) => {
                defaults.entrypoint = Some(command);
                if !*own_cmd {
                    defaults.cmd = None;
                }
            }
            Self::WorkingDir(dir) => {
                defaults.working_dir = Some(resolve(defaults.working_dir.as_deref().unwrap_or("/"), &dir));
            }
            Self::User(user) => defaults.user = Some(user),
            Self::Expose(ports) => add(defaults.exposed_ports.get_or_insert_default(), ports),
            Self::Volume(paths) => add(defaults.volumes.get_or_insert_default(), paths),
            Self::StopSignal(signal) => defaults.stop_signal = Some(signal),
        }
    }
}

/// JSON, or a line for the shell.
pub(crate) fn command(text: &str, shell: &[String]) -> Vec<String> {
    words::json(text).unwrap_or_else(|| shell.iter().cloned().chain([text.to_owned()]).collect())
}

/// An absolute path, without `.` and `..`.
pub(crate) fn resolve(from: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{from}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `a=b "c d"=e`, or `a` and the rest of the line.
fn pairs(text: &str, lookup: Lookup<'_>) -> Result<Vec<(String, String)>> {
    let first = text.split_whitespace().next().ok_or_else(|| Error::other("it needs NAME=VALUE"))?;
    if !first.contains('=') {
        let rest = text.trim_start().strip_prefix(first).unwrap_or_default();
        let value = words::whole(rest, lookup)?;
        if value.is_empty() {
            return Err(Error::other(format!("{first} needs a value")));
        }
        return Ok(vec![(words::whole(first, lookup)?, value)]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::other(format!("{word:?} is not NAME=VALUE"))),
    };
    words::split(text, lookup)?.into_iter().map(pair).collect()
}

/// `80` for `80/tcp`, and each port of `8000-8002/udp`.
fn ports(written: &str) -> Result<Vec<String>> {
    let (range, protocol) = written.split_once('/').unwrap_or((written, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<u16>(), last.parse::<u16>(), protocol) {
        (Ok(first), Ok(last), "tcp" | "udp" | "sctp") if 0 < first && first <= last => {
            Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
        }
        _ => Err(Error::other(format!("{written:?} is no port"))),
    }
}

fn add(to: &mut Map<String, Value>, keys: Vec<String>) {
    to.extend(keys.into_iter().map(|key| (key, json!({}))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(instructions: &[&str]) -> Result<Value> {
        let mut defaults: Defaults =
            serde_json::from_value(json!({"Env": ["A=1", "B=2"], "Cmd": ["old"], "WorkingDir": "/srv"})).unwrap();
        let mut own_cmd = false;
        for instruction in instructions {
            let (keyword, text) = instruction.split_once(' ').unwrap_or((instruction, ""));
            let env = defaults.env.clone().unwrap_or_default();
            let lookup =
                |name: &str| env.iter().find_map(|one| one.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
            let setting = Setting::parse(keyword, text, &SHELL.map(str::to_owned), &lookup)?;
            setting.unwrap().apply(&mut defaults, &mut own_cmd);
        }
        Ok(serde_json::to_value(&defaults).unwrap())
    }

    #[test]
    fn what_they_change() {
        let all = [
            "ENV B=$A C=\"x y\"",
            "ENV D  one  two",
            "LABEL a=b",
            "ENTRYPOINT [\"/e\", \"x\"]",
            "CMD echo $A",
            "WORKDIR app",
            "WORKDIR ../$A/./b",
            "USER web:$A",
            "EXPOSE 80 9000-9001/udp",
            "VOLUME [\"/data\"]",
            "VOLUME /a /b",
            "STOPSIGNAL SIGQUIT",
        ];
        assert_eq!(
            changed(&all).unwrap(),
            json!({"Env": ["A=1", "B=1", "C=x y", "D=one  two"], "Labels": {"a": "b"}, "Entrypoint": ["/e", "x"],
                   "Cmd": ["/bin/sh", "-c", "echo $A"], "WorkingDir": "/srv/1/b", "User": "web:1",
                   "ExposedPorts": {"80/tcp": {}, "9000/udp": {}, "9001/udp": {}},
                   "Volumes": {"/data": {}, "/a": {}, "/b": {}}, "StopSignal": "SIGQUIT"})
        );
    }

    #[test]
    fn an_entrypoint_has_its_own_command() {
        assert_eq!(changed(&["ENTRYPOINT [\"/e\"]"]).unwrap()["Cmd"], Value::Null);
        assert_eq!(changed(&["CMD [\"c\"]", "ENTRYPOINT [\"/e\"]"]).unwrap()["Cmd"], json!(["c"]));
    }

    #[test]
    fn mistakes() {
        for bad in
            ["ENV", "ENV A", "ENV A=b c", "ENV =x", "EXPOSE http", "EXPOSE 0", "EXPOSE 9-8", "USER", "WORKDIR \"a"]
        {
            assert!(changed(&[bad]).is_err(), "{bad}");
        }
        assert_eq!(Setting::parse("RUN", "x", &[], &|_| None).unwrap(), None);
    }
}
