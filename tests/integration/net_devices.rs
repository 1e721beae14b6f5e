//! `linux.netDevices` (config-linux.md). The host is a network namespace of each test's own, with pairs of
//! virtual devices.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

use crate::harness::{Bundle, Container, Output, Value, json, runtime};

/// A network namespace that stands for the host's, kept by a process in it.
struct Net(Child);

impl Drop for Net {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Net {
    fn new() -> Self {
        let mut holder = Command::new("/bin/busybox");
        holder.args(["sleep", "1000"]).stdin(Stdio::null());
        #[allow(unsafe_code)]
        // SAFETY: one system call between fork and execve.
        unsafe {
            holder.pre_exec(|| Ok(unshare(CloneFlags::CLONE_NEWNET)?));
        }
        let net = Self(runtime::launch(&mut holder));
        net.ip("link set lo up");
        net
    }

    /// With a pair of devices: `host0` has all that a device can have, `peer0` keeps it company.
    fn with_device() -> Self {
        let net = Self::new();
        net.ip("link add host0 mtu 1400 address 02:00:00:00:00:07 type veth peer name peer0");
        net.ip("link set host0 alias a-name");
        net.ip("link set peer0 up");
        net.ip("link set host0 up");
        for address in [
            "192.0.2.7/24 brd + label host0:1",
            "192.0.2.8/24",
            "198.51.100.1 peer 198.51.100.2",
            "203.0.113.9/24 scope link",
            "198.18.0.1/24 valid_lft 1000 preferred_lft 1000",
        ] {
            net.ip(&format!("addr add {address} dev host0"));
        }
        net.ip("-6 addr add 2001:db8::7/64 nodad dev host0");
        net
    }

    /// Takes a command into a process's network namespace.
    fn enter(pid: i32, command: &mut Command) {
        let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
        #[allow(unsafe_code)]
        // SAFETY: one system call between fork and execve.
        unsafe {
            command.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?));
        }
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    #[track_caller]
    fn ip(&self, args: &str) -> String {
        ip(self.pid(), args)
    }

    fn create(&self, bundle: &Bundle) -> Container {
        bundle.write();
        let mut command = bundle.prepare(&["create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
        Self::enter(self.pid(), &mut command);
        Container::created(bundle.scratch(), &bundle.id, bundle.begin(command))
    }

    fn run(&self, bundle: &Bundle) -> Output {
        bundle.write();
        let mut command = bundle.prepare(&["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
        Self::enter(self.pid(), &mut command);
        bundle.finish(command)
    }

    /// A create that fails, and after which the device is as it was.
    #[track_caller]
    fn refused(&self, bundle: &Bundle, words: &[&str]) {
        let devices = || self.ip("-o link show").replace("M-DOWN", "").lines().count();
        let (count, addresses) = (devices(), self.addresses());
        self.run(bundle).failure(words);
        bundle.assert_clean();
        assert_eq!((devices(), self.addresses()), (count, addresses));
        assert!(self.ip("link show host0").contains(",UP"), "not up again");
    }

    /// The permanent ones of `host0` that move with it.
    fn addresses(&self) -> Vec<String> {
        addresses(&self.ip("-o addr show dev host0 scope global permanent"))
    }
}

/// iproute2's `ip` in the namespace of a process.
#[track_caller]
fn ip(pid: i32, args: &str) -> String {
    let mut command = Command::new("ip");
    command.args(args.split(' ')).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Net::enter(pid, &mut command);
    let output = runtime::launch(&mut command).wait_with_output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `inet 192.0.2.7/24 brd 192.0.2.255` and the like, without what is of the moment.
fn addresses(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_once("inet").unwrap().1.split(" scope").next().unwrap().to_owned()).collect()
}

/// Whether this machine has what the tests need.
fn has_tools() -> bool {
    let ip = Command::new("ip").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !ip.is_ok_and(|status| status.success()) {
        return false;
    }
    let net = Net::new();
    let mut command = Command::new("ip");
    command.args(["link", "add", "host0", "type", "veth", "peer", "name", "peer0"]).stderr(Stdio::null());
    Net::enter(net.pid(), &mut command);
    runtime::launch(&mut command).wait().unwrap().success()
}

macro_rules! needs_tools {
    () => {
        if !has_tools() {
            skip!("no iproute2, or no veth devices in this kernel");
        }
    };
}

fn sleeping(devices: Value) -> Bundle {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/linux/netDevices", devices);
    bundle
}

/// LNX-38, LNX-39, LNX-43, LNX-44: the device is in the container with a new name, up, with its attributes and
/// its permanent global addresses, and with no others.
#[test]
fn moved_and_renamed() {
    needs_tools!();
    for user_namespace in [false, true] {
        let net = Net::with_device();
        let before = net.addresses();
        let mut bundle = sleeping(json!({"host0": {"name": "lan"}}));
        bundle.script("cat /sys/class/net/lan/address /sys/class/net/lan/mtu; exec sleep 1000");
        if user_namespace {
            bundle.user_namespace(100_000, 65536);
        }
        let container = net.create(&bundle);
        container.start();
        assert_eq!(container.wait_output("1400"), "02:00:00:00:00:07\n1400\n");
        assert!(!net.ip("-o link show").contains("host0"));
        let link = ip(container.pid(), "link show lan");
        assert!(link.contains(",UP") && link.contains("alias a-name"), "{link}");
        let text = ip(container.pid(), "-o addr show dev lan");
        assert!(text.contains("brd 192.0.2.255 scope global lan:1"), "{text}");
        assert!(!text.contains("203.0.113.") && !text.contains("198.18."), "{text}");
        let kept = ip(container.pid(), "-o addr show dev lan scope global permanent");
        assert_eq!(addresses(&kept), before);
        assert_eq!(kept.lines().count(), 4, "{kept}");
    }
}

/// LNX-39, LNX-44: without a name it keeps its own; one that was down is up inside.
#[test]
fn the_same_name() {
    needs_tools!();
    let net = Net::with_device();
    net.ip("link set host0 down");
    let container = net.create(&sleeping(json!({"host0": {}, "peer0": {"name": ""}})));
    for name in ["host0", "peer0"] {
        assert!(ip(container.pid(), &format!("link show {name}")).contains(",UP"));
        assert!(!net.ip("-o link show").contains(name));
    }
}

/// LNX-42: for `%d` the kernel picks numbers that are free.
#[test]
fn templates() {
    needs_tools!();
    let net = Net::with_device();
    let container = net.create(&sleeping(json!({"host0": {"name": "eth%d"}, "peer0": {"name": "eth%d"}})));
    assert!(ip(container.pid(), "-o addr show dev eth0").contains("192.0.2.7/24"));
    assert!(ip(container.pid(), "link show eth1").contains(",UP"));
}

/// LNX-38: into a namespace that is joined, where the first number is taken; and LNX-41: a taken name is an error.
#[test]
fn into_a_joined_namespace() {
    needs_tools!();
    let (net, there) = (Net::with_device(), Net::new());
    there.ip("link add eth0 type veth peer name host0");
    let mut bundle = sleeping(json!({"host0": {"name": "eth0"}}));
    bundle.join("network", &format!("/proc/{}/ns/net", there.pid()));
    net.refused(&bundle, &["linux.netDevices: host0: ", "already", "eth0"]);
    bundle.set("/linux/netDevices", json!({"host0": {}}));
    net.refused(&bundle, &["linux.netDevices: host0: ", "already", "host0"]);
    bundle.set("/linux/netDevices", json!({"host0": {"name": "eth%d"}}));
    let container = net.create(&bundle);
    assert!(there.ip("-o addr show dev eth1").contains("192.0.2.7/24"));
    // LNX-46: it stays there, whatever becomes of the container.
    container.stop();
    container.delete();
    assert!(there.ip("-o addr show dev eth1").contains("192.0.2.7/24"));
    assert!(!net.ip("-o link show").contains("host0"));
}

/// LNX-40, LNX-41, LNX-47: what cannot be moved is refused before anything is.
#[test]
fn refusals() {
    needs_tools!();
    let net = Net::with_device();
    net.ip("link add bridge0 type bridge");
    for (devices, words) in [
        (json!({"nosuch0": {}}), ["nosuch0: ", "no such network device"]),
        (json!({"host0": {"name": "lo"}}), ["host0: ", "lo already"]),
        (json!({"lo": {"name": "lo1"}}), ["lo: ", "cannot be moved"]),
        (json!({"host0": {"name": "a"}, "nosuch0": {}}), ["nosuch0: ", "no such network device"]),
        // The first is in when the second proves to be immovable.
        (json!({"host0": {"name": "a"}, "lo": {"name": "lo1"}}), ["lo: ", "cannot be moved"]),
    ] {
        net.refused(&sleeping(devices), &["linux.netDevices: ", words[0], words[1]]);
    }
}

/// LNX-46, RT-34: a create that fails later gives the device back, as it was.
#[test]
fn brought_back() {
    needs_tools!();
    let net = Net::with_device();
    let devices = json!({"host0": {"name": "eth%d"}, "peer0": {"name": "x"}});
    let mut bundle = sleeping(devices.clone());
    bundle.hook("createRuntime", "exit 3");
    net.refused(&bundle, &["hooks.createRuntime[0]"]);
    let mut bundle = sleeping(devices.clone());
    bundle.args(&["/no/such/program"]);
    net.refused(&bundle, &["/no/such/program"]);
    let mut bundle = sleeping(devices);
    bundle.mount("/data", "tmpfs", "tmpfs", &["nosuchoption=1"]);
    net.refused(&bundle, &["mounts[6]"]);
}

/// LNX-125: a sysctl may be about a device that moves in; hooks find it there.
#[test]
fn sysctls_and_hooks() {
    needs_tools!();
    let net = Net::with_device();
    let mut bundle = sleeping(json!({"host0": {"name": "lan"}}));
    bundle.script("cat /proc/sys/net/ipv4/conf/lan/proxy_arp /tmp/seen");
    bundle.set("/linux/sysctl", json!({"net/ipv4/conf/lan/proxy_arp": "1"}));
    let seen = bundle.rootfs("tmp/seen");
    bundle.hook("createContainer", &format!("ls /sys/class/net > {}; ip -o link show lan > {0} 2>&1", seen.display()));
    let text = net.run(&bundle).success().stdout;
    assert!(text.starts_with("1\n") && text.contains("lan"), "{text}");
}

/// LNX-47: names are checked, and there has to be a namespace of the container's own.
#[test]
fn bad_values() {
    let mut bundle = Bundle::new();
    for (devices, word) in [
        (json!({"a/b": {}}), "a/b"),
        (json!({"sixteen-bytes-16": {}}), "15 bytes"),
        (json!({"a": {"name": "b c"}}), "b c"),
        (json!({"a": {"name": "e%d%d"}}), "%d"),
        (json!({"a": {"name": "x"}, "b": {"name": "x"}}), "both"),
    ] {
        bundle.set("/linux/netDevices", devices);
        bundle.refused(&["linux.netDevices: ", word]);
    }
    bundle.share("network").set("/linux/netDevices", json!({"a": {}}));
    bundle.refused(&["linux.netDevices: ", "needs a network namespace"]);
    bundle.join("network", "/proc/self/ns/net");
    bundle.refused(&["linux.netDevices: ", "needs a network namespace"]);
}

/// FEAT-31
#[test]
fn features() {
    let features: Value = serde_json::from_str(&Bundle::new().command(&["features"]).success().stdout).unwrap();
    assert_eq!(features["linux"]["netDevices"]["enabled"], true);
}
