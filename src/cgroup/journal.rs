//! Writes to a container's cgroup that can be taken back: what each file said before is kept.
//!
//! Runs in: parent · `update`
//!
//! Dropped, a journal writes the former values again, last write first: each step back leads to a
//! state that the kernel has accepted before.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::path::PROPERTY;
use super::systemd::Manager;
use super::{Missing, Write, file, shrink};
use crate::error::{For as _, Result};

#[derive(Debug, Default)]
pub(crate) struct Journal {
    done: Vec<Former>,
    told: Option<Told>,
}

/// What a list is written as that says nothing: a write of no bytes would not arrive.
const EMPTY: &str = "\n";

/// Whom new values were told, and the former ones.
#[derive(Debug)]
struct Told {
    manager: Manager,
    unit: String,
    former: Vec<Write>,
}

/// What a file said, in the form that it takes.
#[derive(Debug)]
struct Former {
    path: PathBuf,
    lines: Vec<String>,
}

impl Journal {
    /// All writes, each with its directory. What the kernel refuses because of another value is tried
    /// once more after the others (see `resources::apply`).
    pub(super) fn apply(&mut self, writes: &[(&Path, &Write)]) -> Result<()> {
        let mut refused = Vec::new();
        for (dir, write) in writes {
            match self.put(dir, write) {
                Err(error) if error.errno() == Some(Errno::EINVAL) => refused.push((dir, write)),
                result => result?,
            }
        }
        refused.into_iter().try_for_each(|(dir, write)| self.put(dir, write))
    }

    /// Has systemd know the new values, once the kernel has taken them.
    pub(super) fn tell(&mut self, manager: Manager, unit: &str, writes: &[Write]) -> Result<()> {
        manager.update(unit, writes)?;
        self.told = Some(Told { manager, unit: unit.to_owned(), former: self.former() });
        Ok(())
    }

    /// What the files said before; of two values of one file the first.
    fn former(&self) -> Vec<Write> {
        let writes = |former: &Former| {
            let file = former.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            former.lines.iter().map(|line| Write::new(file.clone(), line, PROPERTY)).collect::<Vec<_>>()
        };
        self.done.iter().rev().flat_map(writes).collect()
    }

    /// The update is complete: the values stay.
    pub(crate) fn keep(mut self) {
        self.done.clear();
        self.told = None;
    }

    fn put(&mut self, dir: &Path, write: &Write) -> Result<()> {
        let path = dir.join(&*write.file);
        let former = match (file::read_path(&path), &write.missing) {
            (Err(error), Missing::IsFine) if error.errno() == Some(Errno::ENOENT) => return Ok(()),
            (Err(error), Missing::Other(other)) if error.errno() == Some(Errno::ENOENT) => return self.put(dir, other),
            (former, _) => former.property(write.property)?,
        };
        let weight = weight_lost_to_idle(dir, write);
        if write.file == "memory.max" {
            shrink::memory(dir, write)?;
        } else {
            let written = file::write_path(&path, &write.value).property(write.property);
            written.map_err(|error| shrink::explain(dir, write, error))?;
        }
        self.done.extend(weight);
        self.done.push(Former { lines: lines(&write.file, former.trim_end(), &write.value), path });
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let warn =
            |done: Result<()>| done.unwrap_or_else(|error| log::warn!("while an update was taken back: {error}"));
        // systemd writes what it is told as well, and rounds a quota: the exact values come last.
        if let Some(Told { manager, unit, former }) = self.told.take() {
            warn(manager.update(&unit, &former));
        }
        for former in self.done.drain(..).rev() {
            for line in &former.lines {
                warn(put_back(&former.path, line));
            }
        }
    }
}

/// A cpuset that has processes cannot be without a list again (ENOSPC); all that the cgroup above it has
/// comes to the same.
fn put_back(path: &Path, line: &str) -> Result<()> {
    match file::write_path(path, line) {
        Err(error) if error.errno() == Some(Errno::ENOSPC) && line == EMPTY => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let above = path.ancestors().nth(2).unwrap_or(path).join(format!("{name}.effective"));
            file::write_path(path, &file::read_value(&above)?)
        }
        result => result,
    }
}

/// Becoming idle, a cgroup forgets its weight.
fn weight_lost_to_idle(dir: &Path, write: &Write) -> Option<Former> {
    if write.file != "cpu.idle" {
        return None;
    }
    let former = |name| {
        let path = dir.join(name);
        let value = file::read_path(&path).ok()?.trim().to_owned();
        Some(Former { path, lines: vec![value] })
    };
    // v2 shows the weight of an idle cgroup as 0, v1 as its least.
    former("cpu.weight")
        .or_else(|| former("cpu.shares"))
        .filter(|former| !["0", "3"].contains(&former.lines[0].as_str()))
}

/// What takes `value` back, where the file said `text`.
fn lines(name: &str, text: &str, value: &str) -> Vec<String> {
    let line = |key: &str| text.lines().find(|line| line.split_whitespace().next() == Some(key)).map(str::to_owned);
    let key = value.split_once(' ').map(|(key, _)| key).filter(|_| is_table(name));
    match (name, key) {
        ("memory.oom_control", _) => {
            line("oom_kill_disable").and_then(|line| Some(vec![line.split_once(' ')?.1.to_owned()])).unwrap_or_default()
        }
        (_, Some(key)) => vec![line(key).unwrap_or_else(|| format!("{key} {}", reset(name)))],
        ("io.weight" | "io.bfq.weight", None) => vec![line("default").unwrap_or_else(|| text.to_owned())],
        (_, None) if text.is_empty() => vec![EMPTY.to_owned()],
        (_, None) => text.lines().map(str::to_owned).collect(),
    }
}

/// Files with a line for each device or interface; a write is about one of them.
fn is_table(name: &str) -> bool {
    ["io.", "blkio.", "rdma.", "net_prio.", "misc.", "dmem."].iter().any(|start| name.starts_with(start))
}

/// What a table says about something that it does not name.
fn reset(name: &str) -> &'static str {
    match name {
        "io.max" => "rbps=max wbps=max riops=max wiops=max",
        "io.weight" | "io.bfq.weight" => "default",
        "io.latency" => "target=0",
        "rdma.max" => "hca_handle=max hca_object=max",
        _ if name.starts_with("blkio.") => "0",
        _ => "max",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_value_back() {
        for (name, text, value, expected) in [
            ("memory.max", "max", "5", "max"),
            ("cpu.max", "max 100000", "5 100", "max 100000"),
            ("cpuset.cpus", "", "0", "\n"),
            ("memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0", "0", "1"),
            ("io.max", "", "8:0 rbps=5", "8:0 rbps=max wbps=max riops=max wiops=max"),
            ("io.max", "8:16 rbps=1 wbps=max\n8:0 rbps=7 wbps=2", "8:0 rbps=5", "8:0 rbps=7 wbps=2"),
            ("io.weight", "default 100\n8:0 50", "200", "default 100"),
            ("io.weight", "default 100\n8:0 50", "8:0 200", "8:0 50"),
            ("io.weight", "default 100", "8:0 200", "8:0 default"),
            ("io.bfq.weight", "default 100", "8:0 200", "8:0 default"),
            ("blkio.bfq.weight", "100", "200", "100"),
            ("blkio.throttle.read_bps_device", "8:16 4", "8:0 200", "8:0 0"),
            ("blkio.throttle.read_bps_device", "8:16 4", "8:16 200", "8:16 4"),
            ("net_prio.ifpriomap", "lo 0\neth0 3", "eth0 5", "eth0 3"),
            ("rdma.max", "", "mlx5_0 hca_handle=2", "mlx5_0 hca_handle=max hca_object=max"),
        ] {
            assert_eq!(lines(name, text, value), [expected], "{name}: {value}");
        }
    }
}
