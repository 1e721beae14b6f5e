# Sourced by run: podman's commands on containers and pods.
# Needs `run`, the command up to the options of a container, `cgroups` and `work`.

up='trap "exit 3" TERM; echo up; while :; do sleep 0.1; done'
background=("${run[@]}" --network none --detach)

check 'detached' 0 '?*' "${background[@]}" --name one --annotation orlop.test=yes --memory 64m --pids-limit 50 base sh -c "$up"
check 'ps' 0 'one Up *' podman ps --format '{{.Names}} {{.Status}}'
check 'inspect: state' 0 'running true' inspect one '{{.State.Status}} {{.State.Running}}'
check 'inspect: pid' 0 '[1-9]*' inspect one '{{.State.Pid}}'
check 'inspect: annotation' 0 'yes' inspect one '{{index .Config.Annotations "orlop.test"}}'
check 'inspect: runtime' 0 'tested' inspect one '{{.OCIRuntime}}'
check 'second container of that name' 125 '*already in use*' "${background[@]}" --name one base true
check 'logs' 0 'up' await up podman logs one
check 'top' 0 '*COMMAND*sh*' podman top one pid user comm args
check 'stats' 0 'one 67108864 *' podman stats --no-stream --format '{{.Name}} {{.MemLimit}} {{.PIDs}}' one
check 'diff' 0 '*A /written*' bash -c 'podman exec one touch /written && podman diff one'
check 'cp to it' 0 '' podman cp "$work/containers.conf" one:/tmp/copied
check 'cp from it' 0 '' bash -c 'podman cp one:/tmp/copied "$1/copied" && cmp "$1/copied" "$1/containers.conf"' - "$work"
check 'rename' 0 '' bash -c 'podman rename one uno && podman rename uno one'

check 'exec' 0 'hello' podman exec one echo hello
check 'exec: exit status' 9 '' podman exec one sh -c 'exit 9'
check 'exec: error output' 0 'error' podman exec one sh -c 'echo error >&2'
check 'exec: input' 0 'HELLO' bash -c 'echo hello | podman exec -i one tr a-z A-Z'
check 'exec -it' 0 '*/dev/pts/*42*' typed 'tty; echo $((40 + 2))\nexit\n' podman exec -it one sh
check 'exec -it: exit status' 5 '*' typed 'exit 5\n' podman exec -it one sh
check 'exec --detach' 0 '' bash -c 'podman exec --detach one touch /tmp/detached >/dev/null'
check 'exec --detach: done' 0 '*/tmp/detached' await /tmp/detached podman exec one ls /tmp/detached
check 'exec --user --workdir --env' 0 '1000 /tmp yes' podman exec --user 1000 --workdir /tmp --env SET=yes one \
  sh -c 'echo $(id -u) $PWD $SET'
check 'exec --user: no capabilities' 0 'CapEff:*0000000000000000' podman exec --user 1000 one grep CapEff /proc/self/status
check 'exec --privileged' 0 'more' podman exec --privileged one sh -c \
  '[ $(grep CapEff /proc/self/status | cut -f2) != $(grep CapEff /proc/1/status | cut -f2) ] && echo more'
check 'exec: seccomp' 0 'Seccomp:*2' podman exec one grep Seccomp: /proc/self/status
check 'exec --preserve-fds' 0 'through' bash -c 'exec 3<<<through; podman exec --preserve-fds 1 one sh -c "cat <&3"'
check 'exec: in the same cgroup' 0 '' podman exec one cmp /proc/1/cgroup /proc/self/cgroup
check 'exec: in the same namespaces' 0 'same' podman exec one sh -c \
  'for n in mnt pid ipc uts net cgroup; do [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n; done; echo same'
check 'exec: no such program' 127 '*not found*' podman exec one nonexistent
check 'exec: not executable' 126 '*ermission denied*' podman exec one /etc/passwd
check 'exec: no such directory' 126\|127 '*no such file or directory*' podman exec --workdir /nonexistent one true

check 'pause' 0 'one' podman pause one
check 'pause: state' 0 'paused' inspect one '{{.State.Status}}'
check 'pause: exec refused' 255 '*improper*' podman exec one true
check 'pause: twice' 125 '*' podman pause one
check 'unpause' 0 'one' podman unpause one
check 'unpause: state' 0 'running' inspect one '{{.State.Status}}'

limits='cd /sys/fs/cgroup; echo $(cat memory.max cpu.max pids.max 2>/dev/null ||
  cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us pids/pids.max)'
check 'update --memory --cpus' 0 '?*' podman update --memory 96m --cpus 0.5 one
check 'update: the limits' 0 '100663296 50000 100000 50' podman exec one sh -c "$limits"

check 'kill --signal' 0 'one' podman kill --signal URG one
check 'stop: the signal arrives' 0 'one' podman stop --time 20 one
check 'stop: state' 0 'exited 3' inspect one '{{.State.Status}} {{.State.ExitCode}}'
check 'stop: exec refused' 255 '*' podman exec one true
check 'stop: kill refused' 125 '*' podman kill one
check 'start again' 0 'one' podman start one
check 'restart' 0 'one' podman restart --time 20 one
check 'restart: state' 0 'running' inspect one '{{.State.Status}}'
check 'stop: killed when time is over' 0 '*stopdeaf 137' bash -c '"$@" --name deaf base sleep 100 >/dev/null &&
  podman stop --time 1 deaf 2>/dev/null | sed s/^/stop/ && podman wait deaf && podman rm deaf >/dev/null' - "${background[@]}"
check 'kill' 0 'one' podman kill one
check 'wait' 0 '137' podman wait one
check 'commit' 0 '?*' podman commit --quiet one committed
check 'commit: what was written is there' 0 '/written' "${run[@]}" --network none --rm committed ls /written
check 'rm' 0 'one' podman rm one
podman rmi committed >/dev/null

check 'terminal' 0 '?*' "${background[@]}" --tty --name terminal base tty
check 'terminal: status' 0 '0' podman wait terminal
check 'terminal: name' 0 '/dev/pts/0' podman logs terminal
check 'terminal: rm' 0 'terminal' podman rm terminal
check 'create' 0 '?*' podman create --network none --cgroup-parent "/$cgroups" --name two base sleep 100
check 'init: created, not started' 0 'two initialized' bash -c 'podman init two && podman inspect --format {{.State.Status}} two'
check 'start' 0 'two' podman start two
check 'rm of a running one' 2 '*cannot remove*' podman rm two
check 'rm --force' 0 'two' podman rm --force --time 0 two
check 'rm --force of a paused one' 0 'three three' bash -c '"$@" --name three base sleep 100 >/dev/null &&
  podman pause three && podman rm --force --time 0 three' - "${background[@]}"
check 'a restart policy' 0 'x x x' bash -c '"$@" --name again --restart on-failure:2 base sh -c "echo x; exit 1" >/dev/null
  for _ in $(seq 50); do [ "$(podman logs again | wc -l)" != 3 ] || break; sleep 0.2; done; podman logs again' - "${background[@]}"
podman rm --force --time 0 again >/dev/null
check 'run: no container is left when it cannot start' 0 '' bash -c '"$@" --name never --rm base /nonexistent 2>/dev/null
  podman ps --all --quiet' - "${run[@]}" --network none

# Without systemd there are no timers: the check is run by hand.
check 'healthcheck' 0 '?*' "${background[@]}" --name health --health-cmd 'test -e /healthy' --health-interval disable --health-retries 1 base \
  sh -c 'trap exit TERM; touch /healthy; while :; do sleep 0.1; done'
check 'healthcheck: healthy' 0 '' await '' podman healthcheck run health
check 'healthcheck: not healthy' 1 'unhealthy' bash -c 'podman exec health rm /healthy && podman healthcheck run health'
check 'healthcheck: rm' 0 'health' podman rm --force --time 5 health

check 'stdin of attach' 0 'HELLO' bash -c '"$@" --name attached -i base tr a-z A-Z >/dev/null &&
  echo hello | podman attach attached' - "${background[@]}"
podman rm --force --time 0 attached >/dev/null

check '--ipc, --pid, --network, --uts of a container' 0 'same' bash -c '"$@" --name owner --ipc shareable base sleep 100 >/dev/null
  joined="--ipc container:owner --pid container:owner --network container:owner --uts container:owner"
  names="for n in ipc pid net uts; do readlink /proc/self/ns/\$n; done"
  a=$(podman exec owner sh -c "$names")
  b=$(podman run --cgroup-parent "$0" --rm $joined base sh -c "$names")
  [ "$a" = "$b" ] && echo same || echo "$a $b"; podman rm --force --time 0 owner >/dev/null' "/$cgroups" "${background[@]}"

# --- networks -----------------------------------------------------------------------------------------

check 'network create' 0 'net' podman network create --disable-dns --subnet 10.99.7.0/24 net
bridged=("${run[@]}" --network net)
check 'network: a server' 0 '?*' "${bridged[@]}" --detach --name server --ip 10.99.7.7 --publish 127.0.0.1:8099:80 base \
  sh -c 'mkdir /www && echo page >/www/index.html && exec httpd -f -p 80 -h /www'
check 'network: from another container' 0 'page' "${bridged[@]}" --rm base sh -c \
  'for i in 1 2 3 4 5; do wget -q -O - http://10.99.7.7/ 2>/dev/null && exit; sleep 0.2; done'
check 'network: from the host' 0 'page' busybox wget -q -O - http://10.99.7.7/
check 'network: port' 0 '*127.0.0.1:8099' podman port server
check 'network: rm' 0 '*' podman rm --force --time 0 server
check 'network rm' 0 'net' podman network rm net
