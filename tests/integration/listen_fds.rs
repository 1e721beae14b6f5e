//! LISTEN_FDS: descriptors of a supervisor's for the container's process.

use std::process::{Command, Stdio};

use crate::harness::runtime::{self, Output};
use crate::harness::{Bundle, Container};

/// Prints the variables, and what the first descriptors are.
const REPORT: &str = "echo \"$LISTEN_FDS,$LISTEN_PID,$LISTEN_FDNAMES,$$\"
    for n in 3 4 5 6; do readlink /proc/self/fd/$n; done; true";

/// Three files, opened where a supervisor's sockets are, and their names.
fn files(bundle: &Bundle) -> (String, [String; 3]) {
    let names = ["first", "second", "third"].map(|name| bundle.file(name).display().to_string());
    let open = format!("exec 3>{} 4>{} 5>{}", names[0], names[1], names[2]);
    (open, ["first", "second", "third"].map(String::from))
}

/// The variables, and the last component of each descriptor's file.
fn report(stdout: &str) -> (String, Vec<String>) {
    let mut lines = stdout.lines().map(|line| line.rsplit('/').next().unwrap().to_owned());
    (lines.next().unwrap(), lines.collect())
}

fn run(bundle: &Bundle, variables: &str, flags: &[&str]) -> Output {
    let (open, _) = files(bundle);
    bundle.run_after(&format!("{open}; {variables}"), flags)
}

/// The first ones are the supervisor's; those of `--preserve-fds` follow.
#[test]
fn descriptors_and_variables_are_passed_on() {
    let bundle = Bundle::with_script(REPORT);
    let output = run(&bundle, "export LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=a:b", &[]).success();
    let (_, names) = files(&bundle);
    assert_eq!(report(&output.stdout), ("2,1,a:b,1".to_owned(), names[..2].to_vec()));
    let output = run(&bundle, "export LISTEN_FDS=1", &["--preserve-fds", "2"]).success();
    assert_eq!(report(&output.stdout), ("1,1,,1".to_owned(), names.to_vec()));
    bundle.assert_clean();
}

/// Those of another process are not ours to pass on, and without the variable there are none.
#[test]
fn what_is_for_others_stays_outside() {
    let bundle = Bundle::with_script(REPORT);
    for variables in ["export LISTEN_FDS=2 LISTEN_PID=1", "export LISTEN_FDS= LISTEN_PID=$$", "export LISTEN_PID=$$"] {
        let output = run(&bundle, variables, &[]).success();
        assert_eq!(report(&output.stdout), (",,,1".to_owned(), vec![]), "{variables}");
    }
}

/// What the configuration says of other descriptors would be wrong.
#[test]
fn configured_variables_are_replaced() {
    let mut bundle = Bundle::with_script("env | grep ^LISTEN_ | sort");
    for variable in ["LISTEN_FDS=9", "LISTEN_PID=77", "LISTEN_FDNAMES=wrong"] {
        bundle.push("/process/env", variable.into());
    }
    assert_eq!(bundle.output(), "LISTEN_FDNAMES=wrong\nLISTEN_FDS=9\nLISTEN_PID=77\n");
    let output = run(&bundle, "export LISTEN_FDS=1", &[]).success();
    assert_eq!(output.stdout, "LISTEN_FDS=1\nLISTEN_PID=1\n");
}

/// In a pid namespace of others the process has another number.
#[test]
fn the_pid_is_the_one_that_the_process_sees() {
    let mut bundle = Bundle::with_script("test \"$LISTEN_PID\" = $$ && test $$ != 1 && echo same");
    bundle.share("pid");
    assert_eq!(run(&bundle, "export LISTEN_FDS=1", &[]).success().stdout, "same\n");
}

#[test]
fn wrong_numbers_are_refused() {
    let bundle = Bundle::with_script("true");
    run(&bundle, "export LISTEN_FDS=two", &[]).failure(&["LISTEN_FDS: \"two\" is not a number of descriptors"]);
    run(&bundle, "exec 4<&-; export LISTEN_FDS=2", &[]).failure(&["LISTEN_FDS=2: descriptor 4 is not open"]);
    bundle.assert_clean();
}

/// A process that exec adds is a process of its own.
#[test]
fn exec_passes_them_on() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = bundle.create();
    container.start();
    let output = exec(&bundle, &container);
    let (variables, names) = report(&output.stdout);
    let fields: Vec<&str> = variables.split(',').collect();
    assert_eq!((fields[0], fields[2]), ("1", "web"));
    assert_eq!(fields[1], fields[3], "LISTEN_PID is its own pid");
    assert_eq!(names, ["first"]);
}

fn exec(bundle: &Bundle, container: &Container) -> Output {
    let (open, _) = files(bundle);
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("{open}; export LISTEN_FDS=1 LISTEN_FDNAMES=web; exec \"$0\" \"$@\""));
    shell.arg(runtime::program()).arg("--root").arg(bundle.state_root()).args(["exec", &container.id]);
    shell.args(["/bin/sh", "-c", REPORT]).stdin(Stdio::null());
    bundle.finish(shell).success()
}
