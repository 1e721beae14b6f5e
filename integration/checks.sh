# Shared by the smoke tests of the engines; sourced, not run.

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

# check NAME STATUS PATTERN COMMAND...: the command ends with that status, and its output, on one line,
# matches the pattern of the shell. Needs `work`, a directory.
check() {
  local name=$1 wanted=$2 pattern=$3 output status=0
  shift 3
  # By way of a file: who holds a pipe would be waited for. No limit of time for functions.
  if [ "$(type -t "$1")" != function ]; then set -- timeout --kill-after=2 30 "$@"; fi
  "$@" >"$work/output" 2>&1 </dev/null || status=$?
  output=$(tr -d '\r' <"$work/output" | tr '\n' ' ' | sed 's/ *$//')
  # shellcheck disable=SC2053
  if [ "$status" != "$wanted" ]; then
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

# Starts the script anew where all it mounts and all processes it leaves go away with it. Its shell is
# the namespace's init and reaps: podman waits 20 seconds for a conmon that stays a zombie.
private_namespaces() {
  SMOKE_PRIVATE=yes exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
}

# Cgroups that a smoke test left behind, by a part of their names.
leftover_cgroups() { find /sys/fs/cgroup -depth -type d -path "*$1*" 2>/dev/null; }
