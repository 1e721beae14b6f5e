use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use super::*;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("orlop-hooks-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn hooks(json: &str) -> Result<Hooks> {
    Hooks::compile(&serde_json::from_str(json).unwrap(), &Map::default(), Path::new("/bundle"))
}

/// Hooks of one kind that run shell scripts.
fn scripts(scripts: &[&str]) -> Vec<Hook> {
    let list: Vec<_> =
        scripts.iter().map(|script| serde_json::json!({"path": "/bin/sh", "args": ["sh", "-c", script]})).collect();
    hooks(&serde_json::json!({ "createRuntime": list }).to_string()).unwrap().create_runtime
}

fn error(hooks: &[Hook], moment: &Moment<'_>) -> String {
    run(hooks, moment).unwrap_err().to_string()
}

/// HK-07, HK-10, for all six kinds
#[test]
fn paths_are_absolute_and_timeouts_positive() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        let error =
            |hook: &str| hooks(&format!(r#"{{"{kind}": [{{"path": "/bin/true"}}, {hook}]}}"#)).unwrap_err().to_string();
        let property = format!("hooks.{kind}[1]");
        assert_eq!(error(r#"{"path": "bin/true"}"#), format!("{property}.path: \"bin/true\" is not an absolute path"));
        assert_eq!(error(r#"{"path": ""}"#), format!("{property}.path: \"\" is not an absolute path"));
        for timeout in [0, -1, i64::MIN] {
            assert_eq!(
                error(&format!(r#"{{"path": "/bin/true", "timeout": {timeout}}}"#)),
                format!("{property}.timeout: {timeout} is not greater than zero")
            );
        }
        assert_eq!(
            error(r#"{"path": "/bin/true", "args": ["true", "a\u0000b"]}"#),
            format!("{property}.args: contains a NUL character")
        );
    }
}

#[test]
fn a_record_keeps_hooks_as_they_were() {
    let all = hooks(
        r#"{"poststop": [{"path": "/bin/a"}, {"path": "/bin/b", "args": ["b", "c"], "env": ["A=1"], "timeout": 5}]}"#,
    )
    .unwrap();
    let text = serde_json::to_string(&all.poststop).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Hook>>(&text).unwrap(), all.poststop);
}

/// HK-08, HK-09, HK-11, HK-12
#[test]
fn hooks_run_in_order_with_the_state_their_arguments_and_environment() {
    let scratch = Scratch::new("order");
    let all = hooks(
        r#"{"createRuntime": [
            {"path": "/bin/sh", "args": ["zero", "-c", "echo first $0 \"$A\" \"$HOME\" >> log; cat >> log"], "env": ["A=b c"]},
            {"path": "/bin/sh", "args": ["sh", "-c", "echo second >> log; cat /dev/stdin >> log"]}]}"#,
    )
    .unwrap();
    run(&all.create_runtime, &Moment::runtime(b"{\"id\":1}\n", &scratch.0)).unwrap();
    assert_eq!(scratch.read("log"), "first zero b c \n{\"id\":1}\nsecond\n{\"id\":1}\n");
}

/// HK-08, HK-09
#[test]
fn what_is_absent_has_a_default() {
    let scratch = Scratch::new("defaults");
    let env = [CString::new("FROM=the container").unwrap()];
    let script = format!("cd {}; echo \"$FROM $HOME\" > env", scratch.0.display());
    run(&scripts(&[&script]), &Moment::container(b"", &env, None)).unwrap();
    assert_eq!(scratch.read("env"), "the container \n");

    run(&scripts(&["echo \"$PATH\" > path"]), &Moment::runtime(b"", &scratch.0)).unwrap();
    assert_eq!(scratch.read("path").trim(), std::env::var("PATH").unwrap());

    let all = hooks(r#"{"poststop": [{"path": "/bin/false"}]}"#).unwrap();
    let error = error(&all.poststop, &Moment::runtime(b"", Path::new("/no such directory")));
    assert_eq!(error, "hooks.poststop[0] (/bin/false): exited with status 1");
}

/// HK-35
#[test]
fn the_first_failure_ends_it_but_not_for_run_all() {
    let scratch = Scratch::new("failure");
    let moment = Moment::runtime(b"", &scratch.0);
    let three = scripts(&["echo 1 >> log", "echo 2 >> log; exit 3", "echo 3 >> log"]);
    assert_eq!(error(&three, &moment), "hooks.createRuntime[1] (/bin/sh): exited with status 3");
    assert_eq!(scratch.read("log"), "1\n2\n");
    run_all(&three, &moment);
    assert_eq!(scratch.read("log"), "1\n2\n1\n2\n3\n");
}

#[test]
fn errors_tell_how_it_ended_and_what_it_printed() {
    let moment = Moment::runtime(b"", Path::new("/"));
    let failed = |script: &str| error(&scripts(&[script]), &moment);
    assert_eq!(failed("kill -9 $$"), "hooks.createRuntime[0] (/bin/sh): killed by SIGKILL");
    assert_eq!(
        failed("echo out; printf 'a\\033b\\n\\n' >&2; exit 1"),
        "hooks.createRuntime[0] (/bin/sh): exited with status 1; output: out / a\u{fffd}b"
    );
    let long = failed("i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done; exit 1");
    assert!(long.ends_with("/ line 59998 / line 59999") && long.len() < 1500, "{long}");
    let missing = hooks(r#"{"prestart": [{"path": "/no/such/hook"}]}"#).unwrap();
    assert_eq!(
        error(&missing.prestart, &moment),
        "hooks.prestart[0] (/no/such/hook): execve: ENOENT: no such file or directory"
    );
    let directory = hooks(r#"{"prestart": [{"path": "/"}]}"#).unwrap();
    assert_eq!(error(&directory.prestart, &moment), "hooks.prestart[0] (/): execve: EACCES: permission denied");
}

/// HK-12
#[test]
fn a_long_state_reaches_readers_and_spares_others() {
    let state = vec![b'x'; 3 << 20];
    let moment = Moment::runtime(&state, Path::new("/"));
    run(
        &scripts(&["exec <&-; exit 0", "[ $(wc -c) = 3145728 ]", "[ $(cat /proc/self/fd/0 | wc -c) = 3145728 ]"]),
        &moment,
    )
    .unwrap();
}

/// HK-10
#[test]
fn a_timeout_kills_everything_the_hook_started() {
    let scratch = Scratch::new("timeout");
    let all = hooks(
        r#"{"prestart": [{"path": "/bin/sh", "timeout": 1,
            "args": ["sh", "-c", "trap '' TERM INT HUP; sleep 1000 & echo $! > child; echo waiting; wait; sleep 1000"]}]}"#,
    )
    .unwrap();
    let started = Instant::now();
    let error = error(&all.prestart, &Moment::runtime(b"", &scratch.0));
    assert_eq!(error, "hooks.prestart[0] (/bin/sh): killed after its timeout of 1 s; output: waiting");
    assert!(started.elapsed() >= Duration::from_secs(1));
    let child: i32 = scratch.read("child").trim().parse().unwrap();
    assert!(dies(child), "the grandchild {child} is still there");
}

/// SIGKILL was sent already; how soon the grandchild is gone is up to the kernel.
fn dies(pid: i32) -> bool {
    let gone = || {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.is_empty() || status.contains(") Z ") || status.contains(") X ")
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !gone() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    gone()
}

#[test]
fn a_daemon_that_keeps_the_output_open_is_not_waited_for() {
    let scratch = Scratch::new("daemon");
    let started = Instant::now();
    run(&scripts(&["sleep 1000 & echo $! > child"]), &Moment::runtime(b"", &scratch.0)).unwrap();
    assert!(started.elapsed() < Duration::from_secs(100));
    let child: i32 = scratch.read("child").trim().parse().unwrap();
    assert!(Path::new(&format!("/proc/{child}")).exists());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// The hook is a session leader with default signals and nothing but its three descriptors.
#[test]
fn nothing_of_ours_leaks_into_a_hook() {
    let scratch = Scratch::new("leaks");
    let leak = fs::File::open("/").unwrap();
    nix::fcntl::fcntl(&leak, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    assert!(leak.as_raw_fd() > 2);
    // Ours ignores at least SIGPIPE, as std's runtime does so.
    assert!(!fs::read_to_string("/proc/self/status").unwrap().contains("SigIgn:\t0000000000000000"));
    let script = "ls /proc/self/fd > fds; grep -E '^Sig(Blk|Ign)' /proc/self/status > signals; \
                  cut -d' ' -f1,5,6 /proc/$$/stat > ids";
    run(&scripts(&[script]), &Moment::runtime(b"", &scratch.0)).unwrap();
    // 3 is the directory that ls reads.
    assert_eq!(scratch.read("fds"), "0\n1\n2\n3\n");
    assert_eq!(scratch.read("signals"), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    let ids = scratch.read("ids");
    let ids: Vec<&str> = ids.split_whitespace().collect();
    assert!(ids.len() == 3 && ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
}
