# Sourced by run and user: podman with everything it keeps in $work, and the image `base`.
# Needs `work`, `runtime`, `checkout` and the settings of `podman_configuration`.

# podman_configuration MANAGER: where systemd does not manage cgroups, podman is to (cgroupfs). The
# default limits of podman are more than a root without CAP_SYS_RESOURCE may set.
podman_configuration() {
  cat >"$work/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "$1"
events_logger = "file"
lock_type = "file"
runtime = "tested"
runtime_supports_json = ["tested", "orlop", "crun", "runc"]
runtime_supports_nocgroup = ["tested", "orlop", "crun"]
tmp_dir = "$work/tmp"
volume_path = "$work/volumes"
[engine.runtimes]
tested = ["$runtime"]
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
END
  cat >"$work/storage.conf" <<END
[storage]
driver = "vfs"
graphroot = "$work/root"
runroot = "$work/run"
END
  export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
}

# base_image: busybox, from the root file system of bundles/shell.
base_image() {
  if [ ! "${BASE_IMAGE-}" ]; then
    "$checkout/bundles/prepare" "$work/bundles" >/dev/null
    BASE_IMAGE=$work/base.tar
    tar -C "$work/bundles/shell/rootfs" -cf "$BASE_IMAGE" .
    rm -rf "$work/bundles"
  fi
  podman import --quiet --change 'CMD=["sh"]' --change 'ENV=PATH=/bin' "$BASE_IMAGE" base >/dev/null
}

inspect() { podman inspect --format "$2" "$1"; }
