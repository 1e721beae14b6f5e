# Shared by `run` and `schemas`; sourced, not run: a Go that is new enough, or the end of the script.

skip_all() { echo "runtime-tools: SKIPPED: $1"; exit 0; }

find_go() {
  local install='install Go 1.21 or newer: apt-get install golang-go, or unpack an archive of the Go project to /usr/local/go'
  go=$(command -v go || command -v /usr/local/go/bin/go) || skip_all "there is no go on PATH: $install"
  if [ "$("$go" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')" -lt 21 ]; then
    skip_all "this is $("$go" env GOVERSION): $install"
  fi
  # -mod=readonly: exactly what go.mod and go.sum name. Without cgo: runtimetest runs in a bare rootfs.
  export GOFLAGS=-mod=readonly CGO_ENABLED=0 GOWORK=off
}
