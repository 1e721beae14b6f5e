# Sourced by run: the options of `podman run`, each seen from inside the container.
# Needs `run`, the command up to the options of a container, `cgroups`, `work` and `checkout`.

# inside NAME STATUS PATTERN [OPTION...] -- COMMAND...: a container of the image base.
inside() {
  local name=$1 status=$2 pattern=$3 options=()
  shift 3
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  case " ${options[*]-} " in *' --network '*) ;; *) options+=(--network none) ;; esac
  check "$name" "$status" "$pattern" "${run[@]}" --rm ${options[@]+"${options[@]}"} base "$@"
}

inside 'run: output' 0 'hello' -- echo hello
inside 'run: error output' 0 'hello' -- sh -c 'echo hello >&2'
inside 'run: exit status' 7 '' -- sh -c 'exit 7'
inside 'run: ended by a signal' 143 '' --init -- sh -c 'kill -TERM $$; sleep 5'
inside 'run: no such program' 127 '*not found*' -- nonexistent
inside 'run: no such path' 127 '*no such file or directory*|*not found*' -- /bin/nonexistent
inside 'run: not executable' 126 '*ermission denied*' -- /etc/passwd
inside 'run: a directory' 126 '*ermission denied*' -- /etc
check 'run: input' 0 'HELLO' bash -c 'echo hello | "$@"' - "${run[@]}" --network none --rm --interactive base tr a-z A-Z
check 'run -it' 0 '*/dev/pts/0*42*' typed 'tty; echo $((40 + 2))\nexit\n' "${run[@]}" --network none --rm -it base sh
check 'run -it: exit status' 5 '*' typed 'exit 5\n' "${run[@]}" --network none --rm -it base sh
check 'run -it: size' 0 '*33 44*' typed 'stty size\n' bash -c 'stty rows 33 cols 44; exec "$@"' - "${run[@]}" --network none --rm -it base sh

inside '--hostname' 0 'box box' --hostname box -- sh -c 'echo $(hostname) $(cat /etc/hostname)'
inside '--user' 0 'uid=1000(user) gid=1000(user)*' --user user -- id
inside '--user, a number without an account' 0 'uid=4321* gid=8765*' --user 4321:8765 -- id
inside '--group-add' 0 '*5*4444*' --user 1000 --group-add tty --group-add 4444 -- id -G
inside '--workdir' 0 '/tmp' --workdir /tmp -- pwd
inside '--env' 0 'yes' --env SET=yes -- sh -c 'echo $SET'
inside '--entrypoint' 0 'a b' --entrypoint echo -- a b
inside '--umask' 0 '0077' --umask 0077 -- sh -c umask
inside '--timezone' 0 'JST' --tz Asia/Tokyo -- date +%Z
inside '--init' 0 '*podman-init' --init -- readlink /proc/1/exe
inside '--annotation' 0 'hello' --annotation orlop.test=yes -- echo hello
inside '--read-only' 1 '*Read-only file system*' --read-only -- touch /file
inside '--read-only: /tmp is there' 0 '' --read-only -- touch /tmp/file
inside '--tmpfs' 0 'tmpfs 4096' --tmpfs /scratch:size=4m,mode=1777 -- \
  sh -c 'echo $(stat -f -c %T /scratch) $(df -k /scratch | awk "NR == 2 { print \$2 }")'
mkdir "$work/volume"
inside '--volume' 0 'written' --volume "$work/volume:/data" -- sh -c 'echo written >/data/file; cat /data/file'
inside '--volume :ro' 1 '*Read-only file system*' --volume "$work/volume:/data:ro" -- touch /data/x
inside '--volume, noexec' 0 '*noexec*' --volume "$work/volume:/data:noexec" -- grep ' /data ' /proc/self/mounts
inside '--volume, a file' 0 'written' --volume "$work/volume/file:/etc/file:ro" -- cat /etc/file
inside '--volume, named: filled from the image' 0 '*passwd*' --volume filled:/etc -- ls /etc
podman volume rm filled >/dev/null
inside '--mount tmpfs' 0 '*tmpfs*' --mount type=tmpfs,destination=/scratch,tmpfs-size=1m -- grep ' /scratch ' /proc/self/mounts
inside '--shm-size' 0 '1024' --shm-size 1m -- sh -c 'df -k /dev/shm | awk "NR == 2 { print \$2 }"'
mknod "$work/zero" c 1 5
mknod "$work/fuse" c 10 229
inside '--device' 0 '5' --device "$work/zero:/dev/mine" -- sh -c 'head -c 5 /dev/mine | wc -c'
inside '--device, read only' 1 '*peration not permitted*' --device "$work/fuse:/dev/mine:r" -- sh -c ': >/dev/mine'
inside 'no other device' 1 '*peration not permitted*' --cap-add mknod -- sh -c 'mknod /file b 7 0 && cat /file'
inside '--cap-drop all, --cap-add' 0 'CapEff:*0000000000000400' --cap-drop all --cap-add net_bind_service -- \
  grep CapEff /proc/self/status
inside '--user: no capabilities' 0 'CapEff:*0000000000000000' --user 1000 -- grep CapEff /proc/self/status
inside '--privileged' 0 'Seccomp: 0 rw' --privileged -- \
  sh -c 'echo $(grep Seccomp: /proc/self/status) $(grep -o " /sys sysfs r[wo]" /proc/self/mounts | cut -d" " -f4)'
inside '--security-opt seccomp: by default' 0 'Seccomp:*2' -- grep Seccomp: /proc/self/status
inside '--security-opt seccomp=unconfined' 0 'Seccomp:*0' --security-opt seccomp=unconfined -- grep Seccomp: /proc/self/status
echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}' \
  >"$work/profile.json"
inside '--security-opt seccomp=FILE' 1 '*not supported*' --security-opt "seccomp=$work/profile.json" -- mkdir /directory
inside '--security-opt no-new-privileges' 0 'NoNewPrivs:*1' --security-opt no-new-privileges -- grep NoNewPrivs /proc/self/status
inside 'masked paths' 0 '0' -- sh -c 'cat /proc/keys | wc -c'
inside '--security-opt mask=' 0 '0' --security-opt mask=/etc/passwd -- sh -c 'wc -c </etc/passwd'
inside 'read-only paths' 1 '*Read-only file system*' -- sh -c 'echo 1 >/proc/sys/kernel/domainname'
inside '--sysctl' 0 '4242' --sysctl net.ipv4.ip_unprivileged_port_start=4242 -- cat /proc/sys/net/ipv4/ip_unprivileged_port_start
inside '--ulimit' 0 '512 1024' --ulimit nofile=512:1024 --ulimit nproc=99:99 -- sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)'
inside '--oom-score-adj' 0 '500' --oom-score-adj 500 -- cat /proc/self/oom_score_adj

# cgroup FILE-OF-V2 V1-PATH: prints what the container's cgroup says.
cgroup() { echo "cd /sys/fs/cgroup; cat $1 2>/dev/null || cat $2"; }
inside '--memory' 0 '67108864' --memory 64m -- sh -c "$(cgroup memory.max memory/memory.limit_in_bytes)"
inside '--memory: out of it' 137 '' --memory 32m -- dd if=/dev/zero of=/dev/null bs=100M count=1
inside '--cpus' 0 '50000 100000' --cpus 0.5 -- sh -c "cd /sys/fs/cgroup; cat cpu.max 2>/dev/null ||
  echo \$(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us)"
inside '--cpuset-cpus' 0 'Cpus_allowed_list:*0' --cpuset-cpus 0 -- grep Cpus_allowed_list /proc/self/status
inside '--pids-limit' 0 '20' --pids-limit 20 -- sh -c "$(cgroup pids.max pids/pids.max)"
inside '--pids-limit: enforced' 0 '*esource temporarily unavailable*|*an*t fork*' --pids-limit 3 -- \
  sh -c '(sleep 1 & sleep 1 & sleep 1 & sleep 1 & wait) || true'
inside '--cgroupns private' 0 '0' --cgroupns private -- sh -c "grep -c $cgroups /proc/self/cgroup || true"
inside '--cgroupns host' 0 '*libpod*' --cgroupns host -- cat /proc/self/cgroup
if "$runtime" --help 2>&1 | grep -q -- --cgroup-manager; then
  check '--cgroups disabled' 0 'none' podman run --network none --cgroups disabled --rm base \
    sh -c 'grep libpod /proc/self/cgroup || echo none'
else
  skip '--cgroups disabled' 'this runtime has no --cgroup-manager, which podman passes then'
fi

inside '--uidmap' 0 '0 100000 65536' --uidmap 0:100000:65536 --gidmap 0:100000:65536 -- sh -c 'echo $(cat /proc/self/uid_map)'
inside '--uidmap: files' 0 '0:0 1000:1000' --uidmap 0:100000:65536 --volume "$work/volume:/data" -- \
  sh -c 'touch /f; chown 1000:1000 /tmp; stat -c %u:%g /f /tmp | xargs echo'
inside '--userns auto' 0 '0 300000 *' --userns auto:size=1024 -- sh -c 'echo $(cat /proc/self/uid_map)'
inside '--userns host' 0 '0 0 4294967295' --userns host -- sh -c 'echo $(cat /proc/self/uid_map)'
inode() { stat -L -c %i "/proc/self/ns/$1"; }
inside '--network none' 0 'lo' -- ls /sys/class/net
inside '--network host' 0 "*$(inode net)*" --network host -- readlink /proc/self/ns/net
inside '--network bridge' 0 '*10.*' --network bridge -- ip -4 -o addr show eth0
inside '--ipc host' 0 "*$(inode ipc)*" --ipc host -- readlink /proc/self/ns/ipc
inside '--pid host' 0 "*$(inode pid)*" --pid host -- readlink /proc/self/ns/pid
inside '--uts host' 0 "*$(inode uts)*" --uts host -- readlink /proc/self/ns/uts

"$checkout/bundles/prepare" "$work/bundles" >/dev/null
check '--rootfs' 0 'here' "${run[@]}" --network none --rm --env PATH=/bin --rootfs "$work/bundles/shell/rootfs" sh -c 'echo here >/file; cat /file'
check '--rootfs: written to' 0 'here' cat "$work/bundles/shell/rootfs/file"
rm -rf "$work/bundles"

mkdir "$work/hooks"
for stage in createRuntime createContainer startContainer poststart poststop; do
  program='"path":"/bin/sh","args":["sh","-c","cat >/dev/null; echo '$stage' >>'$work/stages'"]'
  if [ $stage = startContainer ]; then program='"path":"/bin/touch","args":["touch","/started"]'; fi
  echo '{"version":"1.0.0","hook":{'"$program"'},"when":{"always":true},"stages":["'$stage'"]}' >"$work/hooks/$stage.json"
done
check '--hooks-dir' 0 '/started' podman --hooks-dir "$work/hooks" run --cgroup-parent "/$cgroups" --network none --rm base ls /started
check '--hooks-dir: all of them' 0 'createRuntime createContainer poststart poststop' cat "$work/stages"
check '--runtime-flag' 0 'hello' podman --runtime-flag debug run --cgroup-parent "/$cgroups" --network none --rm base echo hello
check '--runtime-flag: unknown' 126 '*no-such-flag*' podman --runtime-flag no-such-flag run --cgroup-parent "/$cgroups" --network none --rm base true
check '--preserve-fds' 0 'through' bash -c 'exec 3<<<through; "$@"' - "${run[@]}" --network none --rm --preserve-fds 1 base sh -c 'cat <&3'
check '--pidfile' 0 '[1-9]*' bash -c '"$@" --pidfile "$0/pid" base true >/dev/null && cat "$0/pid"' "$work" "${run[@]}" --network none --rm
