//! `doctor`: a look at the host that says what is missing, to people and to scripts.

use crate::harness::{Bundle, Value};

#[test]
fn a_host_that_runs_containers() {
    let bundle = Bundle::new();
    let output = bundle.command(&["doctor"]).success();
    for topic in ["kernel\n", "cgroups\n", "security\n", "users\n", "files\n"] {
        assert!(output.stdout.contains(topic), "{}", output.stdout);
    }
    assert!(!output.stdout.contains("  missing "), "{}", output.stdout);
    let findings = json(&bundle.command(&["doctor", "--format", "json"]).success().stdout);
    let find = |name: &str| findings.iter().find(|finding| finding["name"] == name).unwrap();
    assert_eq!(find("Linux")["state"], "ok");
    assert_eq!(find("system calls")["topic"], "kernel");
    assert_eq!(find("id maps")["found"], "root may map any id");
    let advised = |finding: &&Value| finding["state"] == "limited" || finding["state"] == "missing";
    assert!(findings.iter().filter(advised).all(|finding| finding["advice"].is_string()), "{findings:?}");
}

/// What is missing is the exit status, and says what to do.
#[test]
fn a_plain_user_without_a_place_for_state() {
    let bundle = Bundle::new();
    let mut command = bundle.prepare(&["--root", "/proc/nosuch", "doctor", "--format", "json"]);
    std::os::unix::process::CommandExt::uid(&mut command, 12_345);
    let output = bundle.finish(command);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(output.stderr, "");
    let findings = json(&output.stdout);
    let find = |name: &str| findings.iter().find(|finding| finding["name"] == name).unwrap();
    assert_eq!(find("state")["state"], "missing");
    assert_eq!(find("/etc/subuid")["state"], "limited");
    assert!(find("/etc/subuid")["advice"].as_str().unwrap().contains("12345:100000:65536"));
}

#[track_caller]
fn json(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}
