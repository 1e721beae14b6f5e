# Sourced by run: the checks of `user`, by a user made up for it who sees copies of what it needs.
# Needs `work`, `plain` (the user's number), `runtime`, and a `base_image`.

mkdir -p "$work/home" "$work/xdg" "$work/plain" "$work/copies/podman"
chmod 700 "$work/xdg"
chown "$plain:$plain" "$work/home" "$work/xdg" "$work/plain"
install -m 755 "$runtime" "$work/copies/${runtime##*/}"
install -m 755 "$here/user" "$here/common.sh" "$work/copies/podman"
install -m 644 "$here/../checks.sh" "$BASE_IMAGE" "$work/copies"

env -i HOME="$work/home" XDG_RUNTIME_DIR="$work/xdg" TMPDIR="$work/plain" USER=plain LOGNAME=plain PATH="$PATH" \
  TERM="${TERM-dumb}" BASE_IMAGE="$work/copies/${BASE_IMAGE##*/}" RUNTIME="$work/copies/${runtime##*/}" \
  setpriv --reuid "$plain" --regid "$plain" --clear-groups "$work/copies/podman/user" >"$work/user.log" 2>&1 || true
grep -E '^(ok|FAIL|skip) ' "$work/user.log" || true
# count WORD: how many of the user's checks ended so.
count() { grep -c "^$1 " "$work/user.log" || true; }
passed=$((passed + $(count ok))) failed=$((failed + $(count FAIL))) skipped=$((skipped + $(count skip)))
# The last line is printed even after failures; without it the script did not come to its end.
check 'user: came to its end' 0 '*passed*' grep ' passed, ' "$work/user.log"
