# spegel-guard. `make help` lists what can be made.

# The one place of the version is the extension's manifest.
VERSION  := $(shell sed -n 's/^  version: *//p' manifest.yaml)
CACHE    ?= $(or $(SPEGEL_GUARD_CACHE),$(HOME)/.cache/spegel-guard)
export SPEGEL_GUARD_CACHE := $(CACHE)
MODULE   := github.com/spegel-guard/spegel-guard
# Without x/net/trace, which is for a page that nobody serves, the linker leaves out a fifth of the program.
TAGS     := grpcnotrace
LDFLAGS  := -s -w -X $(MODULE)/service/internal/api.Version=$(VERSION) -X main.version=$(VERSION)
FUZZTIME ?= 60s

BUF_VERSION      := v1.75.0
BUF              := $(CACHE)/lint/buf-$(BUF_VERSION)/buf
GOLANGCI_VERSION := v2.6.0
GOLANGCI         := $(CACHE)/lint/$(GOLANGCI_VERSION)/golangci-lint

# Tests that need a real kernel. The same binaries run without the VM where the machine has a usable
# unified cgroup hierarchy; test/e2e needs the VM's containerd as well.
KERNEL_PACKAGES := ./pkg/cgroup ./pkg/netns ./service/internal/enforce ./test/e2e

VMRUN := go run ./test/vm/cmd/vmrun

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the daemon and the command line into bin/.
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)" -o bin/spegel-guard ./service
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/spegelguardctl ./cmd/spegelguardctl

.PHONY: deps
deps: ## Install what the VM needs and is not there (Debian packages, as root or with sudo).
	@./test/vm/install-deps

.PHONY: demo
demo: deps ## Boot a node, let spegel run away, and watch the guard deal with it.
	@$(VMRUN) exec -timeout 10m ./test/demo

.PHONY: test
test: test-unit test-cli test-talosctl test-extension test-vm test-talos faults ## Run all tests.

.PHONY: test-unit
test-unit: ## Run the tests that need no special kernel, with the race detector.
	go test -race ./...

# Debian's promtool and amtool, and tmux.
PROMETHEUS := $(CACHE)/tools/prometheus

.PHONY: deps-cli
deps-cli:
	@./test/cli/install-deps

.PHONY: test-cli
test-cli: deps-cli ## Run the command line on a terminal (tmux), with a thousand guards, and its alerts through promtool.
	SPEGEL_GUARD_PROMTOOL=$(PROMETHEUS)/promtool SPEGEL_GUARD_AMTOOL=$(PROMETHEUS)/amtool SPEGEL_GUARD_TMUX=1 SPEGEL_GUARD_FANOUT=1000 \
		go test -count=1 -v -timeout 5m -run 'Promtool|Amtool|InTmux|LostNode|Thousand|HoldNobody' ./internal/alerts ./service/internal/metrics ./docs ./cmd/spegelguardctl

.PHONY: golden
golden: deps-cli ## Write the golden files of the command line, and the screen in docs/, anew.
	SPEGEL_GUARD_TMUX=1 go test -count=1 -run 'Golden|TopInTmux' ./cmd/spegelguardctl -update

# Talos' own programs, unmodified, from its module (test/talos/programs).
TALOS_PROGRAMS := $(CACHE)/talos/programs-$(shell cat test/talos/programs/go.mod test/talos/programs/go.sum | cksum | cut -d ' ' -f 1)
TALOSCTL       := $(TALOS_PROGRAMS)/talosctl
TALOS_MODULE   := github.com/siderolabs/talos

$(TALOSCTL):
	@echo "building talosctl, machined, init and the imager of Talos (once, about four minutes) ..."
	@rm -rf $(TALOS_PROGRAMS).building && mkdir -p $(TALOS_PROGRAMS).building
	@CGO_ENABLED=0 GOFLAGS= go build -C test/talos/programs -trimpath -tags grpcnotrace,tcell_minimal -ldflags '-s -w' -o $(TALOS_PROGRAMS).building/ \
		$(TALOS_MODULE)/cmd/talosctl $(TALOS_MODULE)/cmd/installer $(TALOS_MODULE)/internal/app/machined $(TALOS_MODULE)/internal/app/init
	@mv $(TALOS_PROGRAMS).building $(TALOS_PROGRAMS)

.PHONY: test-talosctl
test-talosctl: $(TALOSCTL) ## Run the real talosctl against guards on the loopback.
	SPEGEL_GUARD_TALOSCTL=$(TALOSCTL) go test -count=1 -v -run 'TestRealTalosctl|TestWhatTheDocsSay' ./service/internal/api

# What a reader of README has, and what watches the guard: for test/e2e.
READER := -tool talosctl=$(TALOSCTL) -tool spegelguardctl=bin/spegelguardctl -tool prometheus=$(PROMETHEUS)/prometheus -file README.md=README.md

.PHONY: test-vm
test-vm: deps deps-cli build $(TALOSCTL) ## Run the tests that need a real kernel, in the VM.
	SPEGEL_GUARD_SELFTEST=1 go test -count=1 -run "TestTheHarness|TestUnpack|TestNewClient|TestKeyring" ./test/vm ./test/debian
	$(VMRUN) test -v -timeout 40m $(READER) $(KERNEL_PACKAGES)

.PHONY: test-talos
test-talos: deps build $(TALOSCTL) ## Boot real Talos nodes with the extension in them and run their tests.
	SPEGEL_GUARD_TALOS=$(TALOS_PROGRAMS) SPEGEL_GUARD_CTL=$(CURDIR)/bin/spegelguardctl go test -count=1 -v -failfast -timeout 25m ./test/talos

.PHONY: talos
talos: deps build $(TALOSCTL) ## Run a real Talos node with the guard in it until Ctrl-C (POD=1: with a pod to run away).
	@SPEGEL_GUARD_TALOS=$(TALOS_PROGRAMS) go run ./test/talos/cmd/talosnode $(if $(POD),-pod)

.PHONY: faults
faults: deps ## Kill the guard at its worst moments, 1,000 times, and look at what it leaves.
	$(VMRUN) test -v -tags faults -timeout 15m ./service/internal/enforce/faults ./test/faults/daemon

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME each.
	@set -e; for target in \
		./pkg/config:FuzzParse ./pkg/trace:FuzzReplay \
		./pkg/cgroup:FuzzParseCPUStat ./pkg/cgroup:FuzzParseCPUMax ./pkg/cgroup:FuzzParsePressure \
		./pkg/cgroup:FuzzDecodeJournal ./pkg/cgroup:FuzzParseProcCgroup ./pkg/cgroup:FuzzResolve \
		./pkg/netns:FuzzAddMessages ./pkg/gometrics:FuzzParse ./service/internal/api:FuzzAppendInfo; \
	do echo "== $$target"; go test -run '^$$' -fuzz "^$${target##*:}$$" -fuzztime $(FUZZTIME) "$${target%%:*}"; done

NODE_EXPORTER := $(PROMETHEUS)/prometheus-node-exporter

$(NODE_EXPORTER):
	@./test/cli/fetch-package prometheus-node-exporter usr/bin/prometheus-node-exporter $@

.PHONY: bench
bench: deps $(NODE_EXPORTER) ## Measure everything in one run, in the VM beside other watchers and here, and write docs/performance.md.
	go run ./test/bench/report -node-exporter $(NODE_EXPORTER) -out docs

.PHONY: generate
generate: ## Generate the Go code of the protobuf files, the traces that the tests replay, and the references in docs.
	go run ./proto/generate
	go generate ./pkg/trace
	go run ./docs/generate

.PHONY: lint
lint: $(GOLANGCI) ## Run golangci-lint.
	$(GOLANGCI) run ./...

$(GOLANGCI):
	GOBIN=$(dir $@) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(BUF):
	GOBIN=$(dir $@) go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)

# The API as it was released last; a change that breaks its clients is one against this.
PROTO_BASELINE := proto/baseline.binpb
PROTO_IMAGE    := $(CACHE)/lint/image.binpb

.PHONY: proto-check
proto-check: $(BUF) ## Lint the protobuf files, and fail when they break clients of the baseline.
	@go run ./proto/generate -image $(PROTO_IMAGE)
	$(BUF) lint $(PROTO_IMAGE) --path spegelguard --config proto/buf.yaml
	$(BUF) breaking $(PROTO_IMAGE) --against $(PROTO_BASELINE) --path spegelguard --config proto/buf.yaml

.PHONY: proto-baseline
proto-baseline: ## Take the API as it is now for the baseline: with a release, and after additions.
	go run ./proto/generate -image $(PROTO_BASELINE)

# Generated code apart, a file that is longer has no reason to be.
LONGEST := 400

.PHONY: lines
lines: ## Print the median length of the Go files, and fail when one is longer than 400 lines.
	@git ls-files '*.go' | grep -v '\.pb\.go$$' | xargs wc -l | grep -v ' total$$' | sort -n | awk -v most=$(LONGEST) \
		'{n[NR] = $$1; if ($$1 > most) {print "too long: " $$2 ", " $$1 " lines"; bad = 1}} \
		END {print NR " Go files, median " n[int((NR + 1) / 2)] " lines, longest " n[NR]; exit bad}'

# Packages whose tests need no VM, and the least coverage of each in percent.
COVERAGE := service/internal/decide:90 service/internal/enforce:85 service/internal/controllers:80 service/internal/override:90 pkg/policy:90

.PHONY: coverage
coverage: ## Print the coverage of decisions and enforcement without a VM, and fail when one is below its goal.
	@for goal in $(COVERAGE); do \
		go test -cover ./$${goal%%:*} | awk -v goal=$${goal##*:} '/coverage:/ {sub(/.*coverage: /, ""); sub(/%.*/, ""); found = 1; \
			printf "%-32s %5.1f %%, at least %d %%\n", "'$${goal%%:*}'", $$0, goal; if ($$0 + 0 < goal) bad = 1} END {exit bad || !found}' || exit 1; \
	done

.PHONY: production-lines
production-lines: ## Print the lines of production code by top folder, generated code apart.
	@for folder in cmd extension internal pkg service; do \
		printf '%-10s %6d\n' $$folder $$(git ls-files "$$folder/*.go" | grep -v '_test\.go$$\|\.pb\.go$$\|/enforcetest/\|/fleettest/' | xargs cat | wc -l); \
	done

.PHONY: check
check: lint lines proto-check generate ## Lint, and fail when generated code is stale or breaks clients.
	@git diff --exit-code --stat -- proto pkg/trace/testdata docs || (echo "generated code is stale: commit what 'make generate' writes" && exit 1)

.PHONY: extension
extension: ## Make the Talos system extension: an OCI layout and an archive for docker load in dist/.
	go run ./extension/cmd/mkextension -out dist

# Debian's, unpacked and not installed: nothing of this machine is to change how it runs programs.
QEMU_ARM64 := $(CACHE)/tools/qemu-user/qemu-aarch64-static

$(QEMU_ARM64):
	@./test/cli/fetch-package qemu-user-static usr/bin/qemu-aarch64-static $@

# What the image has in it, as Talos' imager would unpack it.
UNPACKED := $(CURDIR)/dist/unpacked

.PHONY: test-extension
test-extension: $(QEMU_ARM64) ## Put the image before Talos v1.12's checks, and run its arm64 binary (qemu-user).
	rm -rf $(UNPACKED)
	go run ./extension/cmd/mkextension -out dist -unpack $(UNPACKED)
	SPEGEL_GUARD_UNPACKED=$(UNPACKED)/amd64 GOFLAGS= go test -C test/machinery112 -count=1 -v ./...
	SPEGEL_GUARD_UNPACKED=$(UNPACKED)/arm64 SPEGEL_GUARD_QEMU_ARM64=$(QEMU_ARM64) go test -count=1 -v -run TestARM64Binary_Runs ./extension/image

# The reports as they are published through the module proxy: the database's own site is not to be reached everywhere.
VULNDB_VERSION := v0.0.0-20261105234957-e22db6528018
# What the image is built with.
TOOLCHAIN      := $(shell sed -n 's/^toolchain //p' go.mod)
VULNDB         := $(CACHE)/lint/vulndb-$(VULNDB_VERSION)

$(VULNDB):
	go run ./test/vulncheck "$$(go mod download -json golang.org/x/vulndb@$(VULNDB_VERSION) | sed -n 's/^.*"Dir": "\(.*\)".*/\1/p')/data/osv" $@

.PHONY: vulncheck
vulncheck: $(VULNDB) ## Look for known vulnerabilities in what the daemon and the command line call.
	GOTOOLCHAIN=$(TOOLCHAIN) go run golang.org/x/vuln/cmd/govulncheck@v1.3.0 -db file://$(VULNDB) ./service ./cmd/spegelguardctl

.PHONY: push
push: ## Push the extension's image to REGISTRY (ghcr.io/you), with docker's credentials.
	@[ -n "$(REGISTRY)" ] || (echo "say where to: make push REGISTRY=ghcr.io/you" && exit 1)
	go run ./extension/cmd/mkextension -push $(REGISTRY)

# Talos' imager, which makes installers and ISOs; a container engine runs it.
TALOS   ?= v1.13.4
PROFILE ?= installer
ENGINE  := $(shell command -v docker || command -v podman)
IMAGER  := run --rm -i -v "$(CURDIR)/dist/oci:/extension:ro" -v "$(CURDIR)/dist:/out" ghcr.io/siderolabs/imager:$(TALOS) -

.PHONY: installer
installer: extension ## Make a Talos installer (or PROFILE=iso) with the extension in it, or print how where there is no container engine.
ifeq ($(ENGINE),)
	@echo "there is no docker or podman here; where there is one:"
	@echo "sed 's/v1.13.4/$(TALOS)/' extension/imager/$(PROFILE).yaml | docker $(subst ",,$(IMAGER))"
else
	sed 's/v1.13.4/$(TALOS)/' extension/imager/$(PROFILE).yaml | $(ENGINE) $(IMAGER)
endif

.PHONY: clean
clean: ## Remove bin/ and dist/. The cache of VM artefacts stays: see SPEGEL_GUARD_CACHE.
	rm -rf bin dist
