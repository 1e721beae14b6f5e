# orlop: build, try, test, measure. `make help` lists the targets.

PREFIX ?= /usr/local
DESTDIR ?=
# STATIC=0 links libc and libseccomp dynamically (docs/building.md).
STATIC ?= 1
export STATIC

CARGO ?= cargo
# What `orlop --version` says; "unknown" without git.
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null)
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# .cargo/config.toml names the target even when it is the host, so that is where cargo builds.
BUILT := $(TARGET_DIR)/$(HOST)/release/orlop
ORLOP := $(TARGET_DIR)/release/orlop

# Nothing is unwound (panic = "abort"): the executable does without the tables for it.
NO_UNWINDING := --config 'target."cfg(all())".rustflags=["-C","force-unwind-tables=no"]'

ifeq ($(STATIC),0)
export RUSTFLAGS :=
export LIBSECCOMP_LINK_TYPE := dylib
endif

.DEFAULT_GOAL := build
.PHONY: help build bundles run test test-unit test-root test-soak test-vm test-vm-quick test-vm-podman test-faults test-engines validate bench counts conformance fmt lint install clean packages-build packages-run manual deb dist

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

build: packages-build ## the release binary, target/release/orlop
	ORLOP_COMMIT=$(COMMIT) $(CARGO) build --release --locked $(NO_UNWINDING)
	@mkdir -p $(dir $(ORLOP)) && ln -f $(BUILT) $(ORLOP)
	@ls -l $(ORLOP)

bundles: packages-run ## the bundles of bundles/, with a root file system each, in target/bundles
	bundles/prepare $(TARGET_DIR)/bundles

run: build bundles ## one container, from bundles/hello
	@test "$$(id -u)" = 0 || { echo "make run: this bundle's container needs root"; exit 1; }
	$(ORLOP) run --bundle $(TARGET_DIR)/bundles/hello make-run-$$$$

test: test-root test-soak test-vm-quick test-engines validate ## every test; as root, because containers are what is tested

test-unit: packages-build ## the tests that need no privileges
	$(CARGO) test --locked --lib --bins

test-root: packages-run ## all of cargo's tests, on this machine
	@test "$$(id -u)" = 0 || { echo "make test: needs root (make test-unit does not)"; exit 1; }
	$(CARGO) test --locked --no-fail-fast

test-soak: build packages-run ## some hundred lives of containers, with commands killed; integration/soak/run does 10,000
	integration/soak/run $(abspath $(ORLOP)) 300

test-vm: build packages-run ## all of tests/ again, under pure cgroup v2 in a virtual machine
	ORLOP=$(abspath $(ORLOP)) integration/vm/tests --quick
	ORLOP=$(abspath $(ORLOP)) integration/vm/tests --systemd systemd:: drivers::
	RUNTIME=$(abspath $(ORLOP)) integration/vm/rootless hand

# A quarter of all is enough where the rest has just passed, and takes minutes even on an emulated processor.
test-vm-quick: build packages-run ## those of them that cgroups have to do with
	ORLOP=$(abspath $(ORLOP)) integration/vm/tests $(addsuffix ::,cgroups cgroup_devices cgroup_mounts devices delete events kill lifecycle pause ps resources rootfs run update)
	ORLOP=$(abspath $(ORLOP)) integration/vm/tests --systemd systemd::

test-vm-podman: build packages-run ## podman as a plain user with systemd's cgroups; takes some ten minutes
	RUNTIME=$(abspath $(ORLOP)) integration/vm/rootless podman

test-faults: packages-run ## every system call of the commands made to fail, and to be the last; takes half an hour
	@test "$$(id -u)" = 0 || { echo "make test-faults: needs root"; exit 1; }
	integration/faults

test-engines: build ## orlop under podman and containerd, its images beside umoci and skopeo; installs all of them
	RUNTIME=$(abspath $(ORLOP)) integration/podman/run
	RUNTIME=$(abspath $(ORLOP)) integration/containerd/run
	RUNTIME=$(abspath $(ORLOP)) integration/images/run

validate: build packages-run ## the validation suite of opencontainers/runtime-tools; needs Go
	integration/runtime-tools/run $(abspath $(ORLOP))
	integration/runtime-tools/schemas $(abspath $(ORLOP))

bench: build ## instructions, system calls, memory and time beside runc and crun
	integration/bench/run $(abspath $(ORLOP))

counts: build ## instructions, system calls and memory of orlop's commands, beside the recorded ones
	integration/bench/counts $(abspath $(ORLOP))

conformance: ## docs/conformance.md, from the comments of the tests; docs/errors.md, from those of the source
	integration/conformance/generate
	integration/errors/generate

manual: ## docs/man and docs/completions, from the commands' options
	ORLOP_WRITE_MANUAL=1 $(CARGO) test --locked --lib manual::

fmt: ## formats the source
	$(CARGO) fmt

lint: packages-build ## what .ci/run insists on
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	integration/conformance/generate --check
	integration/errors/generate --check

install: ## installs what `make build` built, manual pages and completions: make install [PREFIX=/usr/local] [DESTDIR=]
	@test -x $(ORLOP) || { echo "make install: there is no $(ORLOP), run make build first"; exit 1; }
	install -D -m 0755 $(ORLOP) $(DESTDIR)$(PREFIX)/bin/orlop
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 0644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -D -m 0644 docs/completions/orlop $(DESTDIR)$(PREFIX)/share/bash-completion/completions/orlop
	install -D -m 0644 docs/completions/_orlop $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_orlop
	install -D -m 0644 docs/completions/orlop.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/orlop.fish

deb: build ## a Debian package, in target/debian; needs cargo-deb
	$(CARGO) deb --no-build --no-strip --output $(TARGET_DIR)/debian/

# The same bytes for the same commit: git's times and order, and no time or name in gzip's header.
dist: ## the source as target/orlop-VERSION.tar.gz, as the last commit has it
	@mkdir -p $(TARGET_DIR)
	git archive --prefix=orlop-$(VERSION)/ HEAD | gzip -9n >$(TARGET_DIR)/orlop-$(VERSION).tar.gz
	@sha256sum $(TARGET_DIR)/orlop-$(VERSION).tar.gz

clean: ## removes target/
	$(CARGO) clean

packages-build:
	@integration/packages build

packages-run:
	@integration/packages run
