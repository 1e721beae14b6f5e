//! User namespaces: linux.uidMappings and gidMappings, made and joined (config-linux.md). That ids are mapped
//! at all is in `namespaces`, what a user without privileges can do in `rootless`.

use crate::harness::{Bundle, Container, Value, json};

/// A bundle whose root file system belongs to the root of a namespace that it joins.
fn joining(other: &Container, script: &str) -> Bundle {
    let mut bundle = Bundle::with_script(script);
    bundle.user_namespace(100_000, 65536);
    bundle.join("user", &format!("/proc/{}/ns/user", other.pid()));
    bundle
}

fn entry(inside: u32, host: u32, size: u32) -> Value {
    json!({"containerID": inside, "hostID": host, "size": size})
}

/// A namespace to join, with seven entries, so that the kernel shows them in an order of its own.
fn owner() -> (Bundle, Container) {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.user_namespace(100_000, 10);
    for kind in ["uidMappings", "gidMappings"] {
        for n in [7, 3, 5, 1, 6, 2] {
            bundle.push(&format!("/linux/{kind}"), entry(n * 100, 200_000 + n * 100, 10));
        }
    }
    let container = bundle.create();
    container.start();
    (bundle, container)
}

/// LNX-20: containerd and CRI-O give a path and the mappings of the namespace there; any order says the same.
#[test]
fn joined_with_equal_mappings() {
    let (bundle, other) = owner();
    let mut second = joining(&other, "id -u; readlink /proc/self/ns/user");
    for kind in ["uidMappings", "gidMappings"] {
        let mut entries = bundle.config["linux"][kind].as_array().unwrap().clone();
        entries.reverse();
        second.set(&format!("/linux/{kind}"), json!(entries));
    }
    assert_eq!(second.output(), format!("0\n{}\n", other.link("ns/user")));
}

/// LNX-20: mappings that are not those of the joined namespace are refused.
#[test]
fn joined_with_other_mappings() {
    let (bundle, other) = owner();
    let same = |kind: &str| bundle.config["linux"][kind].clone();
    for kind in ["uidMappings", "gidMappings"] {
        let mut second = joining(&other, "id -u");
        second.set("/linux/uidMappings", same("uidMappings")).set("/linux/gidMappings", same("gidMappings"));
        second.set(&format!("/linux/{kind}/0/size"), json!(11));
        second.refused(&[&format!("linux.{kind}"), "differs"]);
        second.set(&format!("/linux/{kind}"), json!([entry(0, 100_000, 10)]));
        second.refused(&[&format!("linux.{kind}"), "differs"]);
    }
}

/// LNX-17, LNX-19: what is wrong with the entries is said, and where.
#[test]
fn entries_that_clash() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(100_000, 10);
    for kind in ["uidMappings", "gidMappings"] {
        let property = format!("linux.{kind}: ");
        let good = bundle.config["linux"][kind].clone();
        for (entries, words) in [
            (json!([entry(0, 1, 2), entry(5, 9, 1), entry(1, 5, 2)]), "entries 0 and 2 overlap"),
            (json!([entry(0, 1, 2), entry(5, 2, 1)]), "entries 0 and 1 overlap"),
            (json!([entry(0, 1, 2), entry(0, 1, 2)]), "entries 0 and 1 overlap"),
            (json!([entry(0, 4_294_967_290, 6)]), "entry 0 goes beyond the highest id"),
            (json!([entry(0, 1, 2), entry(7, 7, 0)]), "entry 1 has size 0"),
            (json!([entry(1, 1, 2)]), "id 0 is not mapped"),
            ((0..341).map(|n| entry(n, 1000 + n, 1)).collect(), "341 entries, and Linux takes 340"),
        ] {
            bundle.set(&format!("/linux/{kind}"), entries);
            bundle.refused(&[&property, words]);
        }
        bundle.set(&format!("/linux/{kind}"), good);
    }
}

/// LNX-19: as many as Linux takes.
#[test]
fn most_entries() {
    let mut bundle = Bundle::with_script("wc -l /proc/self/uid_map /proc/self/gid_map");
    bundle.user_namespace(1000, 1);
    let mut entries = |first: u32| {
        for kind in ["uidMappings", "gidMappings"] {
            bundle.set(&format!("/linux/{kind}"), (0..340).map(|n| entry(n, first + n, 1)).collect());
        }
        bundle.run()
    };
    let text = entries(1000).success().stdout;
    assert_eq!(text.matches("340 /proc").count(), 2, "{text}");
    // They are written at once, in less than a page.
    let output = entries(4_000_000_000);
    if output.code != 0 {
        output.failure(&["linux.uidMappings: ", "bytes as text"]);
    }
}

/// CFG-42, CFG-43: the process's ids have to be mapped; the namespace may be a new or a joined one.
#[test]
fn unmapped_ids_of_the_process() {
    let mut owner = Bundle::with_script("exec sleep 1000");
    owner.user_namespace(100_000, 10);
    let other = owner.create();
    other.start();
    let mut made = Bundle::new();
    made.user_namespace(100_000, 10);
    let mut joined = joining(&other, "id");
    joined.remove("/linux/uidMappings").remove("/linux/gidMappings");
    for bundle in [&mut made, &mut joined] {
        for (user, words) in [
            (json!({"uid": 10, "gid": 0}), ["process.user.uid: 10", "not mapped"]),
            (json!({"uid": 0, "gid": 11}), ["process.user.gid: 11", "not mapped"]),
            (json!({"uid": 0, "gid": 0, "additionalGids": [9, 12]}), ["process.user.additionalGids: ", "not mapped"]),
        ] {
            bundle.set("/process/user", user);
            bundle.refused(&words);
        }
    }
}
