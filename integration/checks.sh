# Shared by the runs of the engines (podman/, containerd/); sourced, not run.

passed=0 failed=0 skipped=0
ok() { echo "ok    $1"; passed=$((passed + 1)); }
fail() { echo "FAIL  $1: $2"; failed=$((failed + 1)); }
skip() { echo "skip  $1: $2"; skipped=$((skipped + 1)); }

# matches TEXT PATTERN: PATTERN may be several of the shell, with | between them.
matches() {
  local pattern patterns
  IFS="|" read -r -a patterns <<<"$2"
  if [ ! "$2" ]; then patterns=(""); fi
  for pattern in "${patterns[@]}"; do
    # shellcheck disable=SC2053
    if [[ $1 = $pattern ]]; then return 0; fi
  done
  return 1
}

# check NAME STATUS PATTERN COMMAND...: the command ends with that status (or one of several, with |
# between), and its output, on one line, matches the pattern of the shell. Needs `work`, a directory.
# CHECK_LIMIT and TYPED_AFTER, in seconds, are for machines that are slow.
check() {
  local name=$1 wanted=$2 pattern=$3 output status=0
  shift 3
  # By way of a file: who holds a pipe would be waited for. No limit of time for functions.
  if [ "$(type -t "$1")" != function ]; then set -- timeout --kill-after=2 "${CHECK_LIMIT-30}" "$@"; fi
  "$@" >"$work/output" 2>&1 </dev/null || status=$?
  output=$(tr -d '\r' <"$work/output" | tr '\n' ' ' | sed 's/ *$//')
  # shellcheck disable=SC2053
  if ! matches "$status" "$wanted"; then
    fail "$name" "status $status, not $wanted: $output"
  elif ! matches "$output" "$pattern"; then
    fail "$name" "wanted $pattern, got $output"
  else
    ok "$name"
  fi
}

# summary: the last line; the script's exit status.
summary() {
  echo "$1: $passed passed, $failed failed, $skipped skipped"
  [ $failed = 0 ]
}

# engine_packages COMMAND:PACKAGE...: installs what is missing, or ends the script saying why it cannot.
engine_packages() {
  local pair missing=()
  [ "$(id -u)" = 0 ] || { echo "${0##*/}: must run as root" >&2; exit 1; }
  for pair; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  echo "Installing missing packages: ${missing[*]}"
  if ! { apt-get -qq -o DPkg::Lock::Timeout=600 update &&
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
      install --no-install-recommends "${missing[@]}"; } >/dev/null; then
    echo "$0: SKIPPED: cannot install ${missing[*]}"
    exit 0
  fi
}

# private_namespaces ARG...: starts the script anew where all it mounts, all processes it leaves, its
# bridges and its firewall rules go away with it, and with a /run of its own. Its shell is the
# namespace's init and reaps: podman waits 20 seconds for a conmon that stays a zombie.
private_namespaces() {
  if [ ! "${CHECKS_PRIVATE-}" ]; then
    CHECKS_PRIVATE=yes exec unshare --mount --propagation private --net --ipc --uts --pid --fork --kill-child \
      --mount-proc "$0" "$@"
  fi
  mount -t tmpfs -o mode=0755 tmpfs /run
  ip link set lo up
  # crun refuses version 2 with controllers beside version 1: it gets to see none.
  if [ "${runtime##*/}" = crun ] && [ -d /sys/fs/cgroup/unified ]; then
    mount -t tmpfs tmpfs /sys/fs/cgroup/unified
  fi
}

# Cgroups that a run left behind, by a part of their names.
leftover_cgroups() {
  find /sys/fs/cgroup -depth -type d \( -fstype cgroup -o -fstype cgroup2 \) -path "*$1*" 2>/dev/null
}

# await PATTERN COMMAND...: runs the command until its output matches, ten seconds at most; prints it.
await() {
  local pattern=$1 output _
  shift
  for _ in $(seq 100); do
    output=$("$@" 2>&1 | tr -d '\r' | tr '\n' ' ' | sed 's/ *$//') || true
    if matches "$output" "$pattern"; then break; fi
    sleep 0.1
  done
  echo "$output"
}

# typed TEXT COMMAND...: the command on a terminal of script(1)'s, with the text typed after a while.
typed() {
  local text=$1
  shift
  { sleep "${TYPED_AFTER-1}"; printf '%b' "$text" 2>/dev/null; sleep 0.5; } |
    script --quiet --return --command "$(printf '%q ' "$@")" /dev/null
}

# unmount_below DIR: what is still mounted there, newest first.
unmount_below() {
  awk -v dir="$1/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | tac | while read -r mount; do
    umount --lazy "$mount" 2>/dev/null || true
  done
}
