//! config.json as it was written: plain data, no judgement (`plan` and the topics' `compile` judge).
//!
//! Runs in: parent · config.md, config-linux.md
//!
//! Leaf types come from oci-spec where they say which fields are REQUIRED; where its defaults would
//! hide a missing one (`root.path`, `user.uid`, `rlimits[].soft`) or it would refuse what the spec
//! only warns about (capability names), the type is our own. Its `Spec` pulls in a regular
//! expression engine, a third of the time of a short command.

use oci_spec::runtime::{Hook, LinuxCpu, LinuxDeviceType, LinuxMemory, LinuxNamespaceType, LinuxPersonality};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::map::Map;
use super::object::{foreign, foreign_list, object};

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct Config {
    pub(crate) oci_version: String,
    pub(crate) root: Option<Root>,
    pub(crate) process: Option<Process>,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) mounts: Vec<Mount>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) hooks: Hooks,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) annotations: Map<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) linux: Linux,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct Root {
    pub(crate) path: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) readonly: bool,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct Mount {
    pub(crate) destination: String,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) source: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) options: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) gid_mappings: Vec<IdMapping>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct Process {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) terminal: bool,
    pub(crate) console_size: Option<ConsoleSize>,
    pub(crate) user: User,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) args: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) env: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) capabilities: Option<Capabilities>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) rlimits: Vec<Rlimit>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) no_new_privileges: bool,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) apparmor_profile: Option<String>,
    pub(crate) selinux_label: Option<String>,
    pub(crate) io_priority: Option<IoPriority>,
    pub(crate) scheduler: Option<Scheduler>,
    #[serde(rename = "execCPUAffinity")]
    pub(crate) exec_cpu_affinity: Option<ExecCpuAffinity>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct ExecCpuAffinity {
    pub(crate) initial: Option<String>,
    #[serde(rename = "final")]
    pub(crate) last: Option<String>,
}

/// What is not set is 0 (CFG-32, CFG-33, CFG-35). Names stay text, so that a wrong one is told.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct Scheduler {
    pub(crate) policy: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) nice: i32,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) priority: i32,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) flags: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) runtime: u64,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) deadline: u64,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) period: u64,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct IoPriority {
    pub(crate) class: String,
    pub(crate) priority: i32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct ConsoleSize {
    pub(crate) height: u16,
    pub(crate) width: u16,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) umask: Option<u32>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) additional_gids: Vec<u32>,
}

/// Names as written: an unknown one is a warning, no error (config.md, `capabilities`).
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct Capabilities {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) bounding: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) effective: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) inheritable: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) permitted: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) ambient: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct Rlimit {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct Hooks {
    #[serde(default, deserialize_with = "foreign_list")]
    pub(crate) prestart: Vec<Hook>,
    #[serde(default, deserialize_with = "foreign_list")]
    pub(crate) create_runtime: Vec<Hook>,
    #[serde(default, deserialize_with = "foreign_list")]
    pub(crate) create_container: Vec<Hook>,
    #[serde(default, deserialize_with = "foreign_list")]
    pub(crate) start_container: Vec<Hook>,
    #[serde(default, deserialize_with = "foreign_list")]
    pub(crate) poststart: Vec<Hook>,
    #[serde(default, deserialize_with = "foreign_list")]
    pub(crate) poststop: Vec<Hook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct Linux {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) namespaces: Vec<Namespace>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) gid_mappings: Vec<IdMapping>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) time_offsets: Map<TimeOffset>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) devices: Vec<Device>,
    pub(crate) cgroups_path: Option<String>,
    pub(crate) resources: Option<Resources>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) sysctl: Map<String>,
    /// Kept as text: on a hit in the filter cache it is hashed and never parsed.
    pub(crate) seccomp: Option<Box<RawValue>>,
    pub(crate) rootfs_propagation: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) masked_paths: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) readonly_paths: Vec<String>,
    pub(crate) mount_label: Option<String>,
    #[serde(default, deserialize_with = "foreign")]
    pub(crate) personality: Option<LinuxPersonality>,
    pub(crate) intel_rdt: Option<IntelRdt>,
    pub(crate) memory_policy: Option<MemoryPolicy>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) net_devices: Map<NetDevice>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct Namespace {
    #[serde(rename = "type")]
    pub(crate) kind: LinuxNamespaceType,
    pub(crate) path: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct IdMapping {
    #[serde(rename = "containerID")]
    pub(crate) container_id: u32,
    #[serde(rename = "hostID")]
    pub(crate) host_id: u32,
    pub(crate) size: u32,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct TimeOffset {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) secs: i64,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) nanosecs: u32,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct Device {
    #[serde(rename = "type")]
    pub(crate) kind: LinuxDeviceType,
    pub(crate) path: String,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) file_mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct IntelRdt {
    #[serde(rename = "closID")]
    pub(crate) clos_id: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) schemata: Vec<String>,
    pub(crate) l3_cache_schema: Option<String>,
    pub(crate) mem_bw_schema: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) enable_monitoring: bool,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct NetDevice {
    pub(crate) name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct MemoryPolicy {
    pub(crate) mode: String,
    pub(crate) nodes: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) flags: Vec<String>,
}

/// Our own, with those parts of it where a missing REQUIRED field would be 0 in oci-spec: for
/// `pids.limit`, which is none, that lets nobody fork. `unified` keeps its order.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct Resources {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) devices: Vec<DeviceRule>,
    #[serde(default, deserialize_with = "foreign")]
    pub(crate) memory: Option<LinuxMemory>,
    #[serde(default, deserialize_with = "foreign")]
    pub(crate) cpu: Option<LinuxCpu>,
    pub(crate) pids: Option<Pids>,
    #[serde(rename = "blockIO")]
    pub(crate) block_io: Option<BlockIo>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) hugepage_limits: Vec<HugepageLimit>,
    pub(crate) network: Option<Network>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) rdma: Map<Rdma>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) unified: Map<String>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct DeviceRule {
    pub(crate) allow: bool,
    #[serde(rename = "type")]
    pub(crate) kind: Option<LinuxDeviceType>,
    pub(crate) major: Option<i64>,
    pub(crate) minor: Option<i64>,
    pub(crate) access: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct Pids {
    pub(crate) limit: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct BlockIo {
    pub(crate) weight: Option<u16>,
    pub(crate) leaf_weight: Option<u16>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) weight_device: Vec<WeightDevice>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) throttle_read_bps_device: Vec<ThrottleDevice>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) throttle_write_bps_device: Vec<ThrottleDevice>,
    #[serde(default, deserialize_with = "nullable", rename = "throttleReadIOPSDevice")]
    pub(crate) throttle_read_iops_device: Vec<ThrottleDevice>,
    #[serde(default, deserialize_with = "nullable", rename = "throttleWriteIOPSDevice")]
    pub(crate) throttle_write_iops_device: Vec<ThrottleDevice>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct WeightDevice {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) weight: Option<u16>,
    pub(crate) leaf_weight: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct ThrottleDevice {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) rate: u64,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct HugepageLimit {
    pub(crate) page_size: String,
    pub(crate) limit: u64,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct Network {
    #[serde(rename = "classID")]
    pub(crate) class_id: Option<u32>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) priorities: Vec<InterfacePriority>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub(crate) struct Rdma {
    pub(crate) hca_handles: Option<u32>,
    pub(crate) hca_objects: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub(crate) struct InterfacePriority {
    pub(crate) name: String,
    pub(crate) priority: u32,
}

object!(
    Config,
    Root,
    Mount,
    Process,
    ConsoleSize,
    User,
    Capabilities,
    Rlimit,
    Scheduler,
    IoPriority,
    ExecCpuAffinity,
    Hooks,
    Linux,
    Namespace,
    IdMapping,
    TimeOffset,
    Device,
    MemoryPolicy,
    NetDevice,
    IntelRdt,
    Resources,
    DeviceRule,
    Pids,
    BlockIo,
    WeightDevice,
    ThrottleDevice,
    HugepageLimit,
    Network,
    InterfacePriority,
    Rdma
);

/// `null` as the default value: Go programs write it for empty lists and maps.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
