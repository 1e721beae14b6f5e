//! Running the runtime's commands.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_orlop").map(PathBuf::from);
    let chosen = std::env::var_os("ORLOP_TEST_RUNTIME").filter(|path| !path.is_empty()).map(PathBuf::from);
    chosen.or(built).expect("no binary was built, and ORLOP_TEST_RUNTIME is not set")
}

/// Whether the program under test is orlop, for what only orlop promises.
pub(crate) fn is_orlop() -> bool {
    program().file_name().is_some_and(|name| name == "orlop")
}

/// A finished command.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit status, or 128 and the signal's number.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, 0, "stdout {:?}, stderr {}", self.stdout, self.stderr);
        self
    }

    /// The command failed and its message holds each of `words`.
    #[track_caller]
    pub(crate) fn failure(self, words: &[&str]) -> Self {
        assert_ne!(self.code, 0, "succeeded; stdout {:?}, stderr {}", self.stdout, self.stderr);
        assert!(!self.stderr.trim().is_empty(), "failed without a message");
        for word in words {
            let beginning: String = self.stderr.chars().take(1000).collect();
            assert!(self.stderr.contains(word), "no {word:?} in: {beginning}");
        }
        self
    }
}

/// A running command whose output goes to files: nothing waits for a container that holds a pipe.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// The program with an environment that holds nothing but PATH, and no standard input.
pub(crate) fn command() -> Command {
    let mut command = Command::new(program());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command
}

/// Held while a process is started and while an executable is written: a child that has not executed yet
/// would hold the file open for writing, and executing it meanwhile would fail with ETXTBSY.
static FORK: Mutex<()> = Mutex::new(());

/// Starts a command.
#[track_caller]
pub(crate) fn launch(command: &mut Command) -> Child {
    let _guard = FORK.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Copies an executable.
#[track_caller]
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let _guard = FORK.lock().unwrap_or_else(PoisonError::into_inner);
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// Starts the program with `args`; its output is kept in `dir`.
#[track_caller]
pub(crate) fn spawn(dir: &Path, args: &[&str]) -> Running {
    let mut command = command();
    command.args(args);
    spawn_command(dir, command)
}

/// Starts a prepared command; its output is kept in `dir`.
#[track_caller]
pub(crate) fn spawn_command(dir: &Path, mut command: Command) -> Running {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (stdout, stderr) = (dir.join(format!("{number}.out")), dir.join(format!("{number}.err")));
    let open = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
    command.stdout(open(&stdout)).stderr(open(&stderr));
    let child = launch(&mut command);
    Running { child, stdout, stderr }
}

impl Running {
    /// Starts a prepared command whose output goes where it says itself.
    #[track_caller]
    pub(crate) fn on_terminal(mut command: Command) -> Self {
        let child = launch(&mut command);
        Self { child, stdout: PathBuf::from("/dev/null"), stderr: PathBuf::from("/dev/null") }
    }

    /// Waits for the end of the command; kills it after the deadline.
    #[track_caller]
    pub(crate) fn finish(self) -> Output {
        self.finish_keeping().0
    }

    /// Like [`Self::finish`], for a command whose descendants go on printing.
    #[track_caller]
    pub(crate) fn finish_keeping(mut self) -> (Output, Self) {
        match self.wait() {
            Some(status) => (self.output(status), self),
            None => panic!("hung; stdout {:?}, stderr {}", self.stdout(), self.stderr()),
        }
    }

    /// Waits for the end of a command that cleans up after a failure: whatever its outcome is.
    pub(crate) fn finish_quietly(mut self) {
        self.wait();
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + DEADLINE;
        let mut pause = 1;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() > end {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_micros(500 * pause));
            pause = (pause + 1).min(10);
        }
    }

    fn output(&self, status: ExitStatus) -> Output {
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        Output { code, stdout: self.stdout(), stderr: self.stderr() }
    }

    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}
