# Sourced by run: ctr, and by it all that containerd's shim asks of a runtime.
# Needs `runtime`, `image`, `namespace` and `work`.

run=(ctr run --snapshotter native --runc-binary "$runtime" --runc-root "$work/runc")
# The task's state, from the list of all.
status() { ctr task list | awk -v id="$1" '$1 == id { print $3 }'; }
ctr events >"$work/events" 2>&1 &
events=$!

# --- run to the end -----------------------------------------------------------------------------------

# inside NAME STATUS PATTERN [OPTION...] -- COMMAND...: a container of the image.
inside() {
  local name=$1 status=$2 pattern=$3 options=()
  shift 3
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  check "$name" "$status" "$pattern" "${run[@]}" --rm ${options[@]+"${options[@]}"} $image c1 "$@"
}

inside 'run: output' 0 'hello' -- echo hello
inside 'run: error output' 0 'hello' -- sh -c 'echo hello >&2'
inside 'run: exit status' 7 '' -- sh -c 'exit 7'
inside 'run: no such program' 1 '*no such file or directory*|*not found*' -- /bin/nonexistent
inside 'run: not executable' 1 '*ermission denied*' -- /etc/passwd
check 'run: input' 0 'HELLO' bash -c 'echo hello | "$@"' - "${run[@]}" --rm $image c1 sh -c 'head -n 1 | tr a-z A-Z'
inside 'run: --cwd, --env' 0 '/tmp yes' --cwd /tmp --env SET=yes -- sh -c 'echo $PWD $SET'
inside 'run: --read-only' 1 '*Read-only file system*' --read-only -- touch /file
inside 'run: --seccomp' 0 'Seccomp:*2' --seccomp -- grep Seccomp: /proc/self/status
inside 'run: no filter without' 0 'Seccomp:*0' -- grep Seccomp: /proc/self/status
inside 'run: no new privileges' 0 'NoNewPrivs:*1' -- grep NoNewPrivs /proc/self/status
inside 'run: --allow-new-privs' 0 'NoNewPrivs:*0' --allow-new-privs -- grep NoNewPrivs /proc/self/status
inside 'run: --cap-drop, --cap-add' 0 'CapEff:*00000000a80c25fa' --cap-drop CAP_CHOWN --cap-add CAP_SYS_PTRACE -- \
  grep CapEff /proc/self/status
inside 'run: --privileged' 0 'rw' --privileged -- sh -c 'grep -o " /sys sysfs r[wo]" /proc/self/mounts | cut -d" " -f4'
mkdir "$work/volume"
inside 'run: --mount' 0 'written' --mount "type=bind,src=$work/volume,dst=/data,options=rbind:rw" -- \
  sh -c 'echo written >/data/file; cat /data/file'
inside 'run: --mount, read-only' 1 '*Read-only file system*' --mount "type=bind,src=$work/volume,dst=/data,options=rbind:ro" -- \
  touch /data/x
inside 'run: --mount tmpfs' 0 'tmpfs' --mount type=tmpfs,src=tmpfs,dst=/scratch,options=size=1m -- stat -f -c %T /scratch
inside 'run: --device' 0 '5' --device /dev/full -- sh -c 'head -c 5 /dev/full | wc -c'
inside 'run: no other device' 1 '*peration not permitted*' -- sh -c 'mknod /file b 7 0 && cat /file'
inside 'run: --net-host' 0 "*$(stat -L -c %i /proc/self/ns/net)*" --net-host -- readlink /proc/self/ns/net
inside 'run: a network of its own' 0 'lo' -- ls /sys/class/net
inside 'run: --with-ns' 0 "*$(stat -L -c %i /proc/self/ns/uts)*" --with-ns uts:/proc/self/ns/uts -- readlink /proc/self/ns/uts
inside 'run: --annotation' 0 'hello' --annotation orlop.test=yes -- echo hello
inside 'run: --pid-file' 0 'hello' --pid-file "$work/pid" -- echo hello
check 'run: --pid-file: a number' 0 '[1-9]*' cat "$work/pid"
# limit V2-FILE V1-FILE...: a limit as the container sees it (ctr gives it no cgroup mount: by its own).
limit() { bash -c "cd /sys/fs/cgroup; cat $namespace/c2/$1 2>/dev/null || cat ${*:2}"; }
inside 'run: --memory-limit: out of it' 137 '' --memory-limit 33554432 -- dd if=/dev/zero of=/dev/null bs=100M count=1
check 'run: --rootfs' 0 'hello' ctr run --runc-binary "$runtime" --runc-root "$work/runc" --rm --rootfs "$work/rootfs" c1 /bin/echo hello
inside 'run: --no-pivot' 0 'hello' --no-pivot -- echo hello
inside 'run: --uidmap' 0 '0 100000 65536' --uidmap 0:100000:65536 --gidmap 0:100000:65536 -- sh -c 'echo $(cat /proc/self/uid_map)'
check 'run: --tty' 0 '*/dev/pts/0*42*' typed 'tty; echo $((40 + 2))\nexit\n' "${run[@]}" --rm --tty $image c1 sh
check 'run: --tty: exit status' 5 '*' typed 'exit 5\n' "${run[@]}" --rm --tty $image c1 sh

# --- in the background --------------------------------------------------------------------------------

check 'detached' 0 '' "${run[@]}" --detach --memory-limit 67108864 --cpus 0.5 $image c2 \
  sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done'
check 'state: running' 0 'RUNNING' await RUNNING status c2
check 'second task of that name' 1 '*already exists*' "${run[@]}" --detach $image c2 true
check 'limit of memory' 0 '67108864' limit memory.max "memory/$namespace/c2/memory.limit_in_bytes"
check 'limit of processor time' 0 '50000*' limit cpu.max "cpu/$namespace/c2/cpu.cfs_quota_us"
check 'metrics' 0 '*memory*' ctr task metrics c2
check 'metrics: json' 0 '*pids*' ctr task metrics --format json c2
check 'ps' 0 'PID *[0-9]*' ctr task ps c2

check 'exec' 0 'hello' ctr task exec --exec-id e1 c2 echo hello
check 'exec: exit status' 9 '' ctr task exec --exec-id e1 c2 sh -c 'exit 9'
check 'exec: error output' 0 'error' ctr task exec --exec-id e1 c2 sh -c 'echo error >&2'
check 'exec: input' 0 'HELLO' bash -c 'echo hello | ctr task exec --exec-id e1 c2 sh -c "head -n 1 | tr a-z A-Z"'
check 'exec: --cwd' 0 '/tmp' ctr task exec --exec-id e1 --cwd /tmp c2 pwd
check 'exec: --user' 0 '1000 1000' ctr task exec --exec-id e1 --user 1000:1000 c2 sh -c 'echo $(id -u) $(id -g)'
check 'exec: --tty' 0 '*/dev/pts/*42*' typed 'tty; echo $((40 + 2))\nexit\n' ctr task exec --tty --exec-id e1 c2 sh
check 'exec: in the same cgroup' 0 '' ctr task exec --exec-id e1 c2 cmp /proc/1/cgroup /proc/self/cgroup
check 'exec: no such program' 1 '*not found*|*no such file or directory*' ctr task exec --exec-id e1 c2 nonexistent
check 'exec: not executable' 1 '*ermission denied*' ctr task exec --exec-id e1 c2 /etc/passwd
check 'exec: detached' 0 '' ctr task exec --detach --exec-id e2 c2 sleep 100
check 'exec: detached: listed' 0 '3' bash -c 'ctr task ps c2 | wc -l | xargs test 3 -le && echo 3'
check 'exec: killed' 0 '' ctr task kill --exec-id e2 --signal KILL c2
check 'exec: deleted' '0|137' '*' await '*' ctr task delete --exec-id e2 c2

check 'pause' 0 '' ctr task pause c2
check 'pause: state' 0 'PAUSED' status c2
check 'pause: exec refused' 1 '*paused*' ctr task exec --exec-id e3 c2 true
check 'resume' 0 '' ctr task resume c2
check 'resume: state' 0 'RUNNING' status c2
check 'delete of a running one' 1 '*must be stopped*' ctr task delete c2
check 'kill TERM' 0 '' ctr task kill --signal TERM c2
check 'state: stopped' 0 'STOPPED' await STOPPED status c2
check 'exec in a stopped one' 1 '*' ctr task exec --exec-id e4 c2 true
check 'delete: exit status' 0 '*exit code 3*' ctr task delete c2
check 'start again' 0 '' ctr task start --detach c2
check 'start again: state' 0 'RUNNING' await RUNNING status c2
check 'kill KILL' 0 '' ctr task kill --signal KILL c2
check 'state: stopped by a signal' 0 'STOPPED' await STOPPED status c2
check 'kill of a stopped one' 1 '*process already finished*|*not found*' ctr task kill c2
check 'delete after a signal' 0 '*exit code 137*' ctr task delete c2
check 'remove' 0 '' ctr container remove c2
check 'kill --all, in the host'\''s pid namespace' 0 '' bash -c '"$@" --detach --with-ns pid:/proc/1/ns/pid '"$image"' c3 sh -c "sleep 100 & sleep 100" &&
  ctr task kill --all --signal KILL c3' - "${run[@]}"
check 'kill --all: state' 0 'STOPPED' await STOPPED status c3
check 'kill --all: none is left' 0 '' bash -c "cat /sys/fs/cgroup/{pids,unified}/$namespace/c3/cgroup.procs 2>/dev/null || true"
check 'delete --force of a running one' 0 '*' bash -c '"$@" --detach '"$image"' c4 sleep 100 && ctr task delete --force c4' - "${run[@]}"
ctr task delete c3 >/dev/null 2>&1 || true
ctr container remove c3 c4 >/dev/null 2>&1 || true

sleep 0.2
kill $events 2>/dev/null || true
for topic in create start oom exec-added exec-started paused resumed exit delete; do
  check "events: /tasks/$topic" 0 '?*' grep -m 1 -F "/tasks/$topic " "$work/events"
done
