# spegel-guard. `make help` lists what can be made.

VERSION  ?= v0.1.0
CACHE    ?= $(or $(SPEGEL_GUARD_CACHE),$(HOME)/.cache/spegel-guard)
export SPEGEL_GUARD_CACHE := $(CACHE)
MODULE   := github.com/spegel-guard/spegel-guard
LDFLAGS  := -s -w -X $(MODULE)/service/api.Version=$(VERSION) -X main.version=$(VERSION)
FUZZTIME ?= 60s

BUF_VERSION      := v1.75.0
BUF              := $(CACHE)/lint/buf-$(BUF_VERSION)/buf
GOLANGCI_VERSION := v2.6.0
GOLANGCI         := $(CACHE)/lint/$(GOLANGCI_VERSION)/golangci-lint

# Tests that need a real kernel. The same binaries run without the VM where the machine has a usable
# unified cgroup hierarchy; test/e2e needs the VM's containerd as well.
KERNEL_PACKAGES := ./pkg/cgroup ./pkg/netns ./service/enforce ./test/e2e

VMRUN := go run ./test/vm/cmd/vmrun

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the daemon and the command line into bin/.
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/spegel-guard ./service
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/spegelguardctl ./cmd/spegelguardctl

.PHONY: deps
deps: ## Install what the VM needs and is not there (Debian packages, as root or with sudo).
	@./test/vm/install-deps

.PHONY: demo
demo: deps ## Boot a node, let spegel run away, and watch the guard deal with it.
	@$(VMRUN) exec -timeout 10m ./test/demo

.PHONY: test
test: test-unit test-cli test-talosctl test-vm faults ## Run all tests.

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
		go test -count=1 -v -timeout 5m -run 'Promtool|Amtool|InTmux|LostNode|Thousand|HoldNobody' ./pkg/alerts ./cmd/spegelguardctl

.PHONY: golden
golden: deps-cli ## Write the golden files of the command line, and the screen in docs/, anew.
	SPEGEL_GUARD_TMUX=1 go test -count=1 -run 'Golden|TopInTmux' ./cmd/spegelguardctl -update

# Talos' own, unmodified, from its module.
TALOSCTL := $(CACHE)/tools/talosctl-$(shell cksum test/talosctl/go.sum | cut -d ' ' -f 1)/talosctl

$(TALOSCTL):
	@echo "building talosctl (once, some minutes) ..."
	@CGO_ENABLED=0 GOFLAGS= go build -C test/talosctl -trimpath -ldflags '-s -w' -o $@ github.com/siderolabs/talos/cmd/talosctl

.PHONY: test-talosctl
test-talosctl: $(TALOSCTL) ## Run the real talosctl against guards on the loopback.
	SPEGEL_GUARD_TALOSCTL=$(TALOSCTL) go test -count=1 -v -run TestRealTalosctl ./service/api

.PHONY: test-vm
test-vm: deps ## Run the tests that need a real kernel, in the VM.
	SPEGEL_GUARD_SELFTEST=1 go test -count=1 -run TestTheHarness ./test/vm
	$(VMRUN) test -v -timeout 20m $(KERNEL_PACKAGES)

.PHONY: faults
faults: deps ## Kill the guard at its worst moments, 1,000 times, and look at what it leaves.
	$(VMRUN) test -v -tags faults -timeout 15m ./test/faults ./test/faults/daemon

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME each.
	@set -e; for target in \
		./pkg/config:FuzzParse ./pkg/trace:FuzzReplay \
		./pkg/cgroup:FuzzParseCPUStat ./pkg/cgroup:FuzzParseCPUMax ./pkg/cgroup:FuzzParsePressure \
		./pkg/cgroup:FuzzDecodeJournal ./pkg/cgroup:FuzzParseProcCgroup ./pkg/cgroup:FuzzResolve \
		./pkg/netns:FuzzAddMessages ./pkg/gometrics:FuzzParse ./service/api:FuzzAppendInfo; \
	do echo "== $$target"; go test -run '^$$' -fuzz "^$${target##*:}$$" -fuzztime $(FUZZTIME) "$${target%%:*}"; done

.PHONY: bench
bench: deps ## Run the benchmarks: the policy and a thousand guards here; a sample side by side with its bare system calls, and the calls of a tick, in the VM.
	go test -run '^$$' -bench . -benchmem ./pkg/...
	SPEGEL_GUARD_FANOUT=1000 SPEGEL_GUARD_BENCH=1 go test -count=1 -v -timeout 5m -run 'Thousand' ./cmd/spegelguardctl
	@$(VMRUN) exec -timeout 10m ./test/bench

.PHONY: generate
generate: ## Generate the Go code of the protobuf files, and the traces that the tests replay.
	go run ./proto/generate
	go generate ./pkg/trace

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

.PHONY: check
check: lint proto-check generate ## Lint, and fail when generated code is stale or breaks clients.
	@git diff --exit-code --stat -- proto pkg/trace/testdata || (echo "generated code is stale: commit what 'make generate' writes" && exit 1)

.PHONY: clean
clean: ## Remove bin/. The cache of VM artefacts stays: see SPEGEL_GUARD_CACHE.
	rm -rf bin
