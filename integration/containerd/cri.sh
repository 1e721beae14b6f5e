# Sourced by run: what a kubelet asks of containerd, and it of the runtime; pods in the host's network,
# because a network of their own is the business of plugins. Needs `target`, `namespace` and `work`.

[ -x "$target/cri" ] || skip 'cri: all of it' 'cri/ was not built: no Go 1.21, or its modules cannot be downloaded'
if [ ! -x "$target/cri" ]; then return; fi

cri() { timeout --kill-after=2 30 "$target/cri" "$work/containerd.sock" "$@"; }
check 'cri: ready' 0 'RuntimeReady true*' await 'RuntimeReady true*' cri info

# pod NAME: its configuration, in a file.
pod() {
  echo '{"metadata":{"name":"'"$1"'","namespace":"default","uid":"'"$1"'","attempt":1},
    "log_directory":"'"$work"'/logs","linux":{"cgroup_parent":"/'"$namespace"'",
    "security_context":{"namespace_options":{"network":2,"pid":'"${2-1}"'}}}}' >"$work/$1.json"
}
# container NAME PROGRAM [LINUX [MORE]]: its configuration, in a file.
container() {
  echo '{"metadata":{"name":"'"$1"'","attempt":1},"image":{"image":"localhost/base:1"},"command":["sh","-c"],
    "args":["'"$2"'"],"log_path":"'"$1"'.log","envs":[{"key":"SET","value":"yes"}]'"${4-}"',
    "linux":{"security_context":{"namespace_options":{"network":2,"pid":1}}'"${3-}"'}}' >"$work/$1.json"
}
id_of() { cri "$1" | awk -v name="$2" '$2 == name { print $1 }'; }
# run_once NAME [POD]: creates and starts that container of pod p; what it printed when it has ended.
run_once() {
  local id pod=${2-p}
  id=$(cri create "$(id_of pods "$pod")" "$work/$1.json" "$work/$pod.json") && cri start "$id" || return
  await 'CONTAINER_EXITED*' cri status "$id" | cut -d' ' -f2-
  cri logs "$id"
  cri rm "$id"
}

# --- a pod, and a container that lasts ------------------------------------------------------------------

pod p
check 'cri: runp' 0 '?*' cri runp "$work/p.json"
p=$(id_of pods p)
check 'cri: pods' 0 "$p p SANDBOX_READY" cri pods
container long 'trap \"exit 3\" TERM; echo up; echo error >&2; while :; do sleep 0.1; done' \
  ',"resources":{"memory_limit_in_bytes":67108864,"cpu_quota":50000,"cpu_period":100000,"cpu_shares":512}'
check 'cri: create' 0 '?*' cri create "$p" "$work/long.json" "$work/p.json"
c=$(id_of ps long)
check 'cri: created' 0 'CONTAINER_CREATED*' cri status "$c"
check 'cri: start' 0 '' cri start "$c"
check 'cri: running' 0 'CONTAINER_RUNNING*' cri status "$c"
check 'cri: start again is refused' 125 '*' cri start "$c"
check 'cri: logs' 0 'stdout up stderr error|stderr error stdout up' await '* * * *' cri logs "$c"
check 'cri: ps' 0 "$c long CONTAINER_RUNNING" cri ps

check 'cri: execsync' 0 'hello' cri execsync "$c" echo hello
check 'cri: execsync: exit status' 9 '' cri execsync "$c" sh -c 'exit 9'
check 'cri: execsync: error output' 0 'error' cri execsync "$c" sh -c 'echo error >&2'
check 'cri: execsync: environment' 0 'yes' cri execsync "$c" sh -c 'echo $SET'
check 'cri: execsync: no such program' 125 '*no such file or directory*|*not found*' cri execsync "$c" nonexistent
check 'cri: exec' 0 'hello' cri exec "$c" echo hello
check 'cri: exec: exit status' 9 '' cri exec "$c" sh -c 'exit 9'
check 'cri: exec: both outputs' 0 '*error*' cri exec "$c" sh -c 'echo out; echo error >&2'
check 'cri: exec: a terminal' 0 '/dev/pts/0' cri exec-t "$c" tty
check 'cri: stats' 0 'cpu [0-9]* memory [1-9]*' cri stats "$c"

# of FILE-OF-V2 V1-FILE...: of the container's cgroup, from the host.
of() { bash -c "cd /sys/fs/cgroup; cat $namespace/$c/$1 2>/dev/null || cat ${*:2}"; }
memory() { of memory.max "memory/$namespace/$c/memory.limit_in_bytes"; }
processor() { of cpu.max "cpu/$namespace/$c/cpu.cfs_quota_us"; }
check 'cri: limit of memory' 0 '67108864' memory
check 'cri: limit of processor time' 0 '50000*' processor
echo '{"memory_limit_in_bytes":100663296,"cpu_quota":20000,"cpu_period":100000}' >"$work/resources.json"
check 'cri: update' 0 '' cri update "$c" "$work/resources.json"
check 'cri: update: memory' 0 '100663296' memory
check 'cri: update: processor time' 0 '20000*' processor
check 'cri: update: the container sees a device as before' 0 '5' cri execsync "$c" sh -c 'head -c 5 /dev/zero | wc -c'

check 'cri: stop: the signal arrives' 0 '' cri stop "$c" 10
check 'cri: stop: status' 0 'CONTAINER_EXITED 3 Error' cri status "$c"
check 'cri: execsync in a stopped one' 125 '*' cri execsync "$c" true
check 'cri: rm' 0 '' cri rm "$c"
check 'cri: ps: none' 0 '' cri ps

# --- containers that end --------------------------------------------------------------------------------

container ends 'echo done; exit 4'
check 'cri: ends by itself' 0 '4 Error stdout done' run_once ends
container fails true '' ',"working_dir":"/proc/1/nonexistent/x"'
check 'cri: one that cannot start' '1|125' '*' run_once fails
container deaf 'trap : TERM; while :; do sleep 0.1; done'
check 'cri: create, start' 0 '' bash -c '"$0" "$1" create "$2" "$3/deaf.json" "$3/p.json" | xargs "$0" "$1" start' "$target/cri" "$work/containerd.sock" "$p" "$work"
check 'cri: stop: killed when time is over' 0 '' cri stop "$(id_of ps deaf)" 1
check 'cri: stop: killed: status' 0 'CONTAINER_EXITED 137 Error' cri status "$(id_of ps deaf)"
check 'cri: rm of that' 0 '' cri rm "$(id_of ps deaf)"
container oom 'dd if=/dev/zero of=/dev/null bs=100M count=1' ',"resources":{"memory_limit_in_bytes":33554432}'
check 'cri: out of memory' 0 '137 *' run_once oom

secure='"namespace_options":{"network":2,"pid":1}'
container readonly 'touch /file' ',"security_context":{'"$secure"',"readonly_rootfs":true}'
check 'cri: a read-only root' 0 '1 Error *Read-only file system*' run_once readonly
container user 'echo $(id -u) $(id -g) $(id -G)' \
  ',"security_context":{'"$secure"',"run_as_user":{"value":1000},"run_as_group":{"value":1001},"supplemental_groups":[1002]}'
check 'cri: user and groups' 0 '0 Completed stdout 1000 1001 1001 1002' run_once user
container capabilities 'grep CapEff /proc/self/status' \
  ',"security_context":{'"$secure"',"capabilities":{"drop_capabilities":["ALL"],"add_capabilities":["NET_BIND_SERVICE"]}}'
check 'cri: capabilities' 0 '0 Completed*0000000000000400' run_once capabilities
container seccomp 'grep Seccomp: /proc/self/status' ',"security_context":{'"$secure"',"seccomp":{"profile_type":0}}'
check 'cri: the default filter' 0 '0 Completed*2' run_once seccomp
container newprivs 'grep NoNewPrivs /proc/self/status' ',"security_context":{'"$secure"',"no_new_privs":true}'
check 'cri: no new privileges' 0 '0 Completed*1' run_once newprivs
container masked 'cat /proc/keys | wc -c' ',"security_context":{'"$secure"',"masked_paths":["/proc/keys"],"readonly_paths":["/proc/sys"]}'
check 'cri: masked paths' 0 '0 Completed stdout 0' run_once masked
container privileged 'mkdir /m && mount -t tmpfs x /m && echo mounted' ',"security_context":{'"$secure"',"privileged":true}'
pod q
sed -i 's/"security_context":{/"security_context":{"privileged":true,/' "$work/q.json"
check 'cri: a privileged pod' 0 '?*' cri runp "$work/q.json" other
check 'cri: a privileged container' 0 '0 Completed stdout mounted' run_once privileged q
mkdir "$work/host"
echo content >"$work/host/file"
container mounted 'cat /data/file; touch /data/x' '' ',"mounts":[{"container_path":"/data","host_path":"'"$work"'/host","readonly":true}]'
check 'cri: a mount, read-only' 0 '1 Error *stdout content*' run_once mounted
container device 'head -c 5 /dev/mine | wc -c' '' ',"devices":[{"container_path":"/dev/mine","host_path":"/dev/zero","permissions":"r"}]'
check 'cri: a device' 0 '0 Completed stdout 5' run_once device

# --- the end ----------------------------------------------------------------------------------------------

for pod in "$p" "$(id_of pods q)"; do
  check 'cri: stopp' 0 '' cri stopp "$pod"
  check 'cri: rmp' 0 '' cri rmp "$pod"
done
check 'cri: pods: none' 0 '' cri pods
