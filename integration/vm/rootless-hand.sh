# Sourced by rootless, in the guest, as the user: orlop by itself.
. "$checkout/integration/checks.sh"
work=$(mktemp -d "$HOME/hand.XXXXXX")
export XDG_RUNTIME_DIR=/run/user/$(id -u)
mkdir -p "$work/bundle/rootfs"
tar -C "$work/bundle/rootfs" -xf "$BASE_IMAGE"
cd "$work/bundle"
check 'hand: spec --rootless' 0 '' "$RUNTIME" spec --rootless
jq '.process.terminal = false' config.json >"$work/plain.json"

# configure FILTER: the bundle's configuration, from the template.
configure() { jq "$1" "$work/plain.json" >config.json; }
# program SCRIPT: a filter that makes the shell run it.
program() { jq -n --arg script "$1" '$script | ".process.args = [\"sh\", \"-c\", " + tojson + "]"' -r; }

configure "$(program 'echo $(id -u) $(cat /proc/self/uid_map)')"
check 'hand: run' 0 "0 0 $(id -u) 1" "$RUNTIME" run hand
configure "$(program 'exit 7')"
check 'hand: exit status' 7 '' "$RUNTIME" run hand
configure "$(program 'cd /sys/fs/cgroup; cat memory.max pids.max cpu.max') | .linux.resources = {memory: {limit: 67108864},
  pids: {limit: 50}, cpu: {quota: 50000, period: 100000}}"
check 'hand: limits' 0 '67108864 50 50000 100000' "$RUNTIME" run hand
check 'hand: limits, by systemd' 0 '67108864 50 50000 100000' "$RUNTIME" --systemd-cgroup run hand

configure "$(program 'trap "exit 3" TERM; while :; do sleep 0.2; done')"
check 'hand: create' 0 '' "$RUNTIME" create hand
check 'hand: start' 0 '' "$RUNTIME" start hand
check 'hand: state' 0 '*"running"*' "$RUNTIME" state hand
check 'hand: exec' 0 'hello' "$RUNTIME" exec hand echo hello
check 'hand: ps' 0 '*sh*' "$RUNTIME" ps hand
check 'hand: pause' 0 '' "$RUNTIME" pause hand
check 'hand: paused' 0 '*"paused"*' "$RUNTIME" state hand
check 'hand: resume' 0 '' "$RUNTIME" resume hand
check 'hand: update' 0 '' "$RUNTIME" update --memory 96M hand
check 'hand: updated' 0 '100663296' "$RUNTIME" exec hand cat /sys/fs/cgroup/memory.max
check 'hand: kill' 0 '' "$RUNTIME" kill hand TERM
check 'hand: stopped' 0 '*"stopped"*' await '*"stopped"*' "$RUNTIME" state hand
check 'hand: delete' 0 '' "$RUNTIME" delete hand
check 'hand: list' 0 '' "$RUNTIME" list --quiet
cd "$HOME"
rm -rf "$work"
summary 'by hand, as a plain user'
