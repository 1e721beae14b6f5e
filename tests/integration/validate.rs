//! `validate`: everything that is wrong with a bundle, at once and with its place, and nothing done.

use crate::harness::{Bundle, Value, json};

#[track_caller]
fn findings(bundle: &Bundle, code: i32) -> Vec<Value> {
    let output = bundle.command(&["validate", "--format", "json", bundle.dir.to_str().unwrap()]);
    assert_eq!((output.code, output.stderr.as_str()), (code, ""), "{output:?}");
    bundle.assert_clean();
    serde_json::from_str(&output.stdout).unwrap()
}

/// `pointer` and the words that the message of one finding holds.
#[track_caller]
fn finds(findings: &[Value], severity: &str, pointer: &str, words: &str) {
    let found = |finding: &&Value| {
        finding["severity"] == severity
            && finding["pointer"] == pointer
            && finding["message"].as_str().unwrap().contains(words)
    };
    assert!(findings.iter().any(|finding| found(&finding)), "no {pointer}: {words} in {findings:#?}");
}

#[test]
fn a_good_bundle() {
    let mut bundle = Bundle::new();
    bundle.hook("prestart", "true");
    bundle.write();
    assert_eq!(findings(&bundle, 0), Vec::<Value>::new());
    let output = bundle.command(&["validate", bundle.dir.to_str().unwrap()]).success();
    assert!(output.stdout.ends_with("config.json: valid; errors: 0, warnings: 0\n"), "{}", output.stdout);
}

/// Each element of a list is told, and one finding hides no other.
#[test]
fn all_at_once() {
    let mut bundle = Bundle::new();
    let first = bundle.config["mounts"].as_array().unwrap().len();
    bundle
        .mount("", "tmpfs", "tmpfs", &[])
        .mount("/fine", "tmpfs", "tmpfs", &[])
        .mount("/x", "bind", "", &[])
        .mount("/y", "bind", "/nosuch/source", &[])
        .set(
            "/process/rlimits",
            json!([
                {"type": "RLIMIT_CORE", "soft": 2, "hard": 1},
                {"type": "RLIMIT_CPU", "soft": 1, "hard": 1},
                {"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1},
                {"type": "RLIMIT_AS", "soft": "1", "hard": 1}
            ]),
        )
        .set("/process/oomScoreAdj", json!(5000))
        .set("/linux/sysctl", json!({"kernel.msgmax": "1", "vm.swappiness": "1", "nosuch": "2"}))
        .set("/hooks", json!({"prestart": [{"path": "relative"}, {"path": "/nosuch/hook"}], "poststop": [{}]}))
        .set("/hostNmae", json!("x"))
        .set("/linux/resources/memroy", json!({}));
    bundle.write();
    let findings = findings(&bundle, 1);
    let mount = |offset: usize| format!("/mounts/{}", first + offset);
    finds(&findings, "error", &(mount(0) + "/destination"), "is empty");
    finds(
        &findings,
        "error",
        &(mount(2) + "/source"),
        &format!("mounts[{}].source: a bind mount needs one", first + 2),
    );
    finds(&findings, "error", &(mount(3) + "/source"), "/nosuch/source: stat: ENOENT");
    finds(&findings, "error", "/process/rlimits/0", "process.rlimits[0]");
    finds(&findings, "error", "/process/rlimits/2/type", "process.rlimits[2].type: ");
    finds(&findings, "error", "/process/rlimits/3/soft", "process.rlimits[3].soft: invalid type");
    finds(&findings, "error", "/process/oomScoreAdj", "5000");
    finds(&findings, "error", "/linux/sysctl/vm.swappiness", "vm.swappiness");
    finds(&findings, "error", "/linux/sysctl/nosuch", "nosuch");
    finds(&findings, "error", "/hooks/prestart/0/path", "is not an absolute path");
    finds(&findings, "error", "/hooks/prestart/1/path", "/nosuch/hook");
    finds(&findings, "error", "/hooks/poststop/0/path", "missing field");
    finds(&findings, "warning", "/hostNmae", "did you mean hostname?");
    finds(&findings, "warning", "/linux/resources/memroy", "did you mean memory?");
    assert_eq!(findings.len(), 14, "{findings:#?}");
}

#[test]
fn places_are_lines_and_columns() {
    let bundle = Bundle::new();
    bundle.write_raw(
        b"{\n  \"ociVersion\": \"1.3.0\",\n  \"root\": {\"path\": \"rootfs\"},\n  \"process\": {\n    \"cwd\": \"tmp\",\n    \
          \"args\": [\"/bin/nosuch\"]\n  },\n  \"hostname\": \"a\", \"hostname\": \"b\"\n}\n",
    );
    let path = bundle.dir.to_str().unwrap();
    let output = bundle.command(&["validate", path]);
    assert_eq!(output.code, 1);
    let expected = [
        (4, 3, "error: process: missing field `user` [config-syntax]"),
        (5, 5, "error: process.cwd: \"tmp\" is not an absolute path [config-invalid]"),
        (8, 20, "error: hostname: duplicate name: an object may have it once [config-syntax]"),
    ];
    for (line, column, text) in expected {
        let expected = format!("{path}/config.json:{line}:{column}: {text}\n");
        assert!(output.stdout.contains(&expected), "no {expected} in {}", output.stdout);
    }
    bundle.write_raw(b"{\n \"a\": }");
    let output = bundle.command(&["validate", path]);
    assert!(output.stdout.contains("config.json:2:7: error: expected value"), "{}", output.stdout);
    bundle.command(&["validate", "/nosuch"]).failure(&["/nosuch/config.json"]);
}

/// What the host lacks is a finding too: namespaces, the program. A plain user is told the same of the bundle.
#[test]
fn what_the_bundle_refers_to() {
    let mut bundle = Bundle::new();
    bundle
        .args(&["nosuch", "x"])
        .join("network", "/nosuch/net")
        .set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NO"}));
    bundle.write();
    let found = findings(&bundle, 1);
    finds(&found, "error", "/process/args", "not in the root file system: /");
    finds(&found, "error", "/linux/seccomp/defaultAction", "SCMP_ACT_NO");
    assert!(found.iter().any(|finding| finding["message"].as_str().unwrap().contains("/nosuch/net")), "{found:#?}");
    let mut command = bundle.prepare(&["validate", "--format", "json", bundle.dir.to_str().unwrap()]);
    std::os::unix::process::CommandExt::uid(&mut command, 12_345);
    let output = bundle.finish(command);
    let seen: Vec<Value> = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    finds(&seen, "error", "/linux/seccomp/defaultAction", "SCMP_ACT_NO");
}

/// Warnings of the checks are findings as well.
#[test]
fn warnings() {
    let mut bundle = Bundle::new();
    bundle.capabilities(&["CAP_CHOWN", "CAP_NOSUCH"]);
    bundle.write();
    let found = findings(&bundle, 0);
    assert!(!found.is_empty() && found.iter().all(|finding| finding["severity"] == "warning"), "{found:#?}");
    assert!(found.iter().any(|finding| finding["message"].as_str().unwrap().contains("CAP_NOSUCH")), "{found:#?}");
}
