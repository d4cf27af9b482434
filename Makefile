# spegel-guard. `make help` lists the targets.

# The version is in the extension's manifest only.
VERSION  := $(shell sed -n 's/^  version: *//p' manifest.yaml)
CACHE    ?= $(or $(SPEGEL_GUARD_CACHE),$(HOME)/.cache/spegel-guard)
export SPEGEL_GUARD_CACHE := $(CACHE)
MODULE   := github.com/spegel-guard/spegel-guard
# grpcnotrace excludes x/net/trace. Its page is not served, and without that package the linker removes a fifth of the program.
TAGS     := grpcnotrace
LDFLAGS  := -s -w -X $(MODULE)/service/internal/api.Version=$(VERSION) -X main.version=$(VERSION)
FUZZTIME ?= 60s

# renovate: github.com/bufbuild/buf
BUF_VERSION        := v1.75.0
BUF                := $(CACHE)/lint/buf-$(BUF_VERSION)/buf
# renovate: github.com/golangci/golangci-lint/v2
GOLANGCI_VERSION   := v2.6.0
GOLANGCI           := $(CACHE)/lint/$(GOLANGCI_VERSION)/golangci-lint
# renovate: github.com/rhysd/actionlint
ACTIONLINT_VERSION := v1.7.12
ACTIONLINT         := $(CACHE)/lint/actionlint-$(ACTIONLINT_VERSION)/actionlint
# renovate: github.com/sigstore/cosign/v3
COSIGN_VERSION     := v3.1.3
COSIGN             ?= $(CACHE)/lint/cosign-$(COSIGN_VERSION)/cosign

# Tests that need a real kernel. The binaries also run without the VM on a machine with a usable unified cgroup hierarchy;
# test/e2e also needs the containerd of the VM.
KERNEL_PACKAGES := ./pkg/cgroup ./pkg/netns ./service/internal/enforce ./test/e2e

VMRUN := go run ./test/vm/cmd/vmrun

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the daemon and the command line into bin/.
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)" -o bin/spegel-guard ./service
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)" -o bin/spegelguardctl ./cmd/spegelguardctl

.PHONY: deps
deps: ## Install missing Debian packages for the VM (as root or with sudo).
	@./test/vm/install-deps

.PHONY: demo
demo: deps ## Boot a node in the VM, let spegel run away, and print how the guard applies and releases a ceiling.
	@$(VMRUN) exec -timeout 10m ./test/demo

.PHONY: test
test: deps ## Run all tests, and print the time of each part.
	@./test/parts -beside faults test-unit test-cli test-talosctl test-extension test-schemas test-harness test-vm test-talos

# Packages that neither start a goroutine nor have state that goroutines share. The race detector finds nothing there, and makes
# their long tests several times as slow.
SEQUENTIAL := pkg/policy pkg/trace internal/compare release extension/image

.PHONY: test-unit
test-unit: ## Run the tests that need no special kernel, with the race detector where goroutines are.
	go test -timeout 30m $(addprefix ./,$(SEQUENTIAL))
	go test -timeout 30m -run 'TestAsk|TestGather' ./pkg/client
	go test -race -timeout 30m $$(go list ./... | grep -vxF $(addprefix -e $(MODULE)/,$(SEQUENTIAL)))

# Prometheus, promtool and amtool of Debian.
PROMETHEUS := $(CACHE)/tools/prometheus

.PHONY: deps-cli
deps-cli:
	@./test/cli/install-deps

.PHONY: test-cli
test-cli: deps-cli ## Test the command line on a terminal (tmux) and with a thousand guards, and the monitoring with Prometheus.
	SPEGEL_GUARD_PROMTOOL=$(PROMETHEUS)/promtool SPEGEL_GUARD_PROMETHEUS=$(PROMETHEUS)/prometheus SPEGEL_GUARD_AMTOOL=$(PROMETHEUS)/amtool \
		SPEGEL_GUARD_TMUX=1 SPEGEL_GUARD_FANOUT=1000 \
		go test -count=1 -v -timeout 15m -run 'Promtool|Prometheus|Amtool|Tmux|Lost|Thousand|Dead' \
		./internal/alerts ./internal/scrape ./service/internal/metrics ./docs ./cmd/spegelguardctl

.PHONY: golden
golden: deps-cli ## Update the golden files of the command line, and the screen in docs/.
	SPEGEL_GUARD_TMUX=1 go test -count=1 -run 'Golden|Tmux' ./cmd/spegelguardctl -update

# Unmodified programs of Talos, built from its module (test/talos/programs), and etcd, which a control plane node runs.
TALOS_PROGRAMS := $(CACHE)/talos/programs-$(shell cat test/talos/programs/go.mod test/talos/programs/go.sum | cksum | cut -d ' ' -f 1)
TALOSCTL       := $(TALOS_PROGRAMS)/talosctl
TALOS_MODULE   := github.com/siderolabs/talos

$(TALOSCTL):
	@echo "building talosctl, machined, init and the imager of Talos, and etcd (once, about four minutes) ..."
	@rm -rf $(TALOS_PROGRAMS).building && mkdir -p $(TALOS_PROGRAMS).building
	@CGO_ENABLED=0 GOFLAGS= go build -C test/talos/programs -trimpath -tags grpcnotrace,tcell_minimal -ldflags '-s -w' -o $(TALOS_PROGRAMS).building/ \
		$(TALOS_MODULE)/cmd/talosctl $(TALOS_MODULE)/cmd/installer $(TALOS_MODULE)/internal/app/machined $(TALOS_MODULE)/internal/app/init
	@CGO_ENABLED=0 GOFLAGS= go build -C test/talos/programs -trimpath -ldflags '-s -w' -o $(TALOS_PROGRAMS).building/etcd go.etcd.io/etcd/server/v3
	@mv $(TALOS_PROGRAMS).building $(TALOS_PROGRAMS)

.PHONY: test-talosctl
test-talosctl: $(TALOSCTL) ## Test guards on the loopback with the real talosctl.
	SPEGEL_GUARD_TALOSCTL=$(TALOSCTL) go test -count=1 -v -timeout 30m -run 'Talosctl|Docs' ./service/internal/api

# Programs of a reader of README, and Prometheus, for test/e2e.
READER := -tool talosctl=$(TALOSCTL) -tool spegelguardctl=bin/spegelguardctl -tool prometheus=$(PROMETHEUS)/prometheus -file README.md=README.md

.PHONY: test-harness
test-harness: deps ## Test the VM itself: its boots that must fail, and its packages from Debian's mirror.
	SPEGEL_GUARD_SELFTEST=1 go test -count=1 -v -timeout 30m -run "TestRun|TestVMRun|TestUnpack|TestNewClient|TestKeyring" ./test/vm ./test/debian

.PHONY: test-vm
test-vm: deps deps-cli build $(TALOSCTL) ## Run the tests that need a real kernel, in the VM.
	$(VMRUN) test -v -machines 2 -timeout 150m $(READER) $(KERNEL_PACKAGES)

.PHONY: test-talos
test-talos: deps build $(TALOSCTL) ## Boot real Talos nodes with the extension and run their tests.
	SPEGEL_GUARD_TALOS=$(TALOS_PROGRAMS) SPEGEL_GUARD_CTL=$(CURDIR)/bin/spegelguardctl go test -count=1 -v -failfast -timeout 150m ./test/talos

.PHONY: talos
talos: deps build $(TALOSCTL) ## Run a real Talos node with the guard until Ctrl-C (POD=1: with a pod whose load can be changed).
	@SPEGEL_GUARD_TALOS=$(TALOS_PROGRAMS) go run ./test/talos/cmd/talosnode $(if $(POD),-pod)

.PHONY: faults
faults: deps ## Kill the guard 1,000 times at fault points, and let it hang: every cpu.max must be restored.
	$(VMRUN) test -v -tags faults -timeout 40m ./service/internal/enforce/faults ./test/faults/daemon

.PHONY: attack
attack: deps ## Attack the service as hostile clients and pods would, in the VM, and print what it cost.
	$(VMRUN) test -v -tags attack -timeout 40m -run TestAttack ./test/e2e

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME.
	@# By default an input whose coverage varies is minimized for the whole time.
	@set -e; for target in \
		./pkg/config:FuzzParse ./pkg/trace:FuzzReplay \
		./pkg/cgroup:FuzzParseCPUStat ./pkg/cgroup:FuzzParseCPUMax ./pkg/cgroup:FuzzParsePressure \
		./pkg/cgroup:FuzzDecodeJournal ./pkg/cgroup:FuzzParseProcCgroup ./pkg/cgroup:FuzzResolve \
		./pkg/netns:FuzzAddMessages ./pkg/gometrics:FuzzParse ./service/internal/api/forward:FuzzAppendInfo \
		./service/internal/persist:FuzzLoad ./service/internal/record:FuzzRestoreHistory ./service/internal/override:FuzzCheckSaved \
		./pkg/nodestat:FuzzParseMountStats ./pkg/client:FuzzTalosconfig ./service/internal/api:FuzzRequest ./pkg/discover:FuzzCRI ./pkg/discover:FuzzCRICodec ./internal/printable:FuzzLine; \
	do echo "== $$target"; go test -run '^$$' -fuzz "^$${target##*:}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$${target%%:*}"; done

NODE_EXPORTER := $(PROMETHEUS)/prometheus-node-exporter

$(NODE_EXPORTER):
	@./test/cli/fetch-package prometheus-node-exporter usr/bin/prometheus-node-exporter $@

.PHONY: bench
bench: deps build $(NODE_EXPORTER) ## Run all benchmarks, in the VM with other watchers and on this machine, and write docs/performance.md.
	go run ./test/bench/report -node-exporter $(NODE_EXPORTER) -out docs

.PHONY: bench-native
bench-native: build $(NODE_EXPORTER) ## As root, run the benchmarks that need no VM, beside other watchers, and write docs/performance.md.
	go run ./test/bench/report -node-exporter $(NODE_EXPORTER) -out docs -from docs/performance.json -native

GITOPS    := examples/gitops
# The release is the name of the chart kube-prometheus-stack: its Prometheus selects objects by this label.
PLACEMENT := --namespace monitoring --label release=kube-prometheus-stack

.PHONY: generate
generate: ## Generate the Go code of the protobuf files, the traces for tests, the references in docs, and the monitoring in examples.
	go run ./proto/generate
	go generate ./pkg/trace
	go run ./docs/generate
	go run ./cmd/spegelguardctl rules --config $(GITOPS)/talos/spegel-guard.yaml $(PLACEMENT) > $(GITOPS)/monitoring/rules.yaml
	go run ./cmd/spegelguardctl scrape --config $(GITOPS)/talos/spegel-guard.yaml $(PLACEMENT) > $(GITOPS)/monitoring/scrape.yaml
	go run ./cmd/spegelguardctl dashboard --form configmap $(PLACEMENT) > $(GITOPS)/monitoring/dashboard.yaml

.PHONY: lint
lint: $(GOLANGCI) ## Run golangci-lint.
	$(GOLANGCI) run --allow-serial-runners ./...

.PHONY: actionlint
actionlint: $(ACTIONLINT) ## Lint the workflows of GitHub.
	$(ACTIONLINT)

$(ACTIONLINT):
	GOBIN=$(dir $@) go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)

# Three minutes of CPU time, so only signing a release builds it.
$(COSIGN):
	GOBIN=$(dir $@) go install github.com/sigstore/cosign/v3/cmd/cosign@$(COSIGN_VERSION)

$(GOLANGCI):
	GOBIN=$(dir $@) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(BUF):
	GOBIN=$(dir $@) go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)

# The API of the last release, with which changes are compared.
PROTO_BASELINE := proto/baseline.binpb
PROTO_IMAGE    := $(CACHE)/lint/image.binpb

.PHONY: proto-check
proto-check: $(BUF) ## Lint the protobuf files, and fail if they break clients of the baseline.
	@go run ./proto/generate -image $(PROTO_IMAGE)
	$(BUF) lint $(PROTO_IMAGE) --path spegelguard --config proto/buf.yaml
	$(BUF) breaking $(PROTO_IMAGE) --against $(PROTO_BASELINE) --path spegelguard --config proto/buf.yaml

.PHONY: proto-baseline
proto-baseline: ## Update the baseline to the current API, for a release and after additions.
	go run ./proto/generate -image $(PROTO_BASELINE)

# The most lines of a Go file, except for generated code.
LONGEST := 400

.PHONY: lines
lines: ## Print the median length of the Go files, and fail if one is longer than 400 lines.
	@git ls-files '*.go' | grep -v '\.pb\.go$$' | xargs wc -l | grep -v ' total$$' | sort -n | awk -v most=$(LONGEST) \
		'{n[NR] = $$1; if ($$1 > most) {print "too long: " $$2 ", " $$1 " lines"; bad = 1}} \
		END {print NR " Go files, median " n[int((NR + 1) / 2)] " lines, longest " n[NR]; exit bad}'

# Packages whose tests need no VM, and the least coverage of each in percent.
COVERAGE := service/internal/decide:90 service/internal/enforce:85 service/internal/controllers:80 service/internal/override:90 pkg/policy:90

.PHONY: coverage
coverage: ## Print the coverage of decisions and enforcement without a VM, and fail if one is below its goal.
	@for goal in $(COVERAGE); do \
		go test -cover ./$${goal%%:*} | awk -v goal=$${goal##*:} '/coverage:/ {sub(/.*coverage: /, ""); sub(/%.*/, ""); found = 1; \
			printf "%-32s %5.1f %%, at least %d %%\n", "'$${goal%%:*}'", $$0, goal; if ($$0 + 0 < goal) bad = 1} END {exit bad || !found}' || exit 1; \
	done

.PHONY: production-lines
production-lines: ## Print the lines of production code by top folder, without generated code.
	@for folder in cmd extension internal pkg service; do \
		printf '%-10s %6d\n' $$folder $$(git ls-files "$$folder/*.go" | grep -v '_test\.go$$\|\.pb\.go$$\|/enforcetest/\|/fleettest/' | xargs cat | wc -l); \
	done

.PHONY: generated
generated: proto-check generate ## Fail if generated code is stale or breaks clients.
	@git diff --exit-code --stat -- proto pkg/trace/testdata docs examples || (echo "generated code is stale: run make generate and commit the result" && exit 1)

.PHONY: check
check: ## Lint, check the coverage and the generated code, and print the time of each part.
	@./test/parts lint actionlint lines coverage generated

.PHONY: extension
extension: ## Build the Talos system extension in dist/, as an OCI layout and an archive for docker load.
	go run ./extension/cmd/mkextension -out dist

# The package of Debian is unpacked and not installed, because its installation registers binary formats.
QEMU_ARM64 := $(CACHE)/tools/qemu-user/qemu-aarch64-static

$(QEMU_ARM64):
	@./test/cli/fetch-package qemu-user-static usr/bin/qemu-aarch64-static $@

# The files of the image, unpacked as by Talos' imager.
UNPACKED := $(CURDIR)/dist/unpacked

.PHONY: test-extension
test-extension: $(QEMU_ARM64) ## Check the image with the machinery of Talos v1.12, and run its arm64 binary (qemu-user).
	rm -rf $(UNPACKED)
	go run ./extension/cmd/mkextension -out dist -unpack $(UNPACKED)
	SPEGEL_GUARD_UNPACKED=$(UNPACKED)/amd64 GOFLAGS= go test -C test/machinery112 -count=1 -v -timeout 30m ./...
	SPEGEL_GUARD_UNPACKED=$(UNPACKED)/arm64 SPEGEL_GUARD_QEMU_ARM64=$(QEMU_ARM64) go test -count=1 -v -timeout 30m -run TestARM64Binary ./extension/image

# The reports from the module proxy, because the site of the database is not reachable everywhere.
VULNDB_VERSION := v0.0.0-20261105234957-e22db6528018
# The toolchain of the image.
TOOLCHAIN      := $(shell sed -n 's/^toolchain //p' go.mod)
VULNDB         := $(CACHE)/lint/vulndb-$(VULNDB_VERSION)

$(VULNDB):
	go run ./test/vulncheck $(VULNDB_VERSION) $@

.PHONY: vulncheck
vulncheck: $(VULNDB) ## Check the daemon and the command line for known vulnerabilities.
	GOTOOLCHAIN=$(TOOLCHAIN) go run golang.org/x/vuln/cmd/govulncheck@v1.3.0 -db file://$(VULNDB) ./service ./cmd/spegelguardctl

.PHONY: push
push: ## Push the extension's image to REGISTRY (ghcr.io/you), with docker's credentials.
	@[ -n "$(REGISTRY)" ] || (echo "REGISTRY is not set: run make push REGISTRY=ghcr.io/you" && exit 1)
	go run ./extension/cmd/mkextension -push $(REGISTRY)

# Talos' imager makes installers and ISOs. It needs a container engine. The image of any architecture has the assets of both.
TALOS   ?= v1.13.4
PROFILE ?= installer
ARCH    ?= amd64
ENGINE  := $(shell command -v docker || command -v podman)
INPUT   := sed -e 's/v1.13.4/$(TALOS)/' -e 's/^arch: amd64$$/arch: $(ARCH)/' extension/imager/$(PROFILE).yaml
IMAGER  := run --rm -i -v "$(CURDIR)/dist/oci:/extension:ro" -v "$(CURDIR)/dist:/out" ghcr.io/siderolabs/imager:$(TALOS) -

.PHONY: installer
installer: extension ## Make a Talos installer with the extension (ARCH=arm64, PROFILE=iso), or print the command for it.
	@[ "$(ARCH)" = amd64 ] || [ "$(ARCH)" = arm64 ] || (echo "ARCH is \"$(ARCH)\": it must be amd64 or arm64" && exit 1)
ifeq ($(ENGINE),)
	@echo "docker and podman are not installed. Run this on a machine with one of them:"
	@echo "$(INPUT) | docker $(subst ",\",$(IMAGER))"
else
	$(INPUT) | $(ENGINE) $(IMAGER)
endif

# A release: .github/workflows/release.yaml runs these targets in this order. KEY=cosign.key signs with a key in place of the
# identity of the workflow; COSIGN_PASSWORD has its password.
RELEASE    := dist/release
REPOSITORY ?= https://$(MODULE)
IMAGE       = $(shell cat $(RELEASE)/spegel-guard.image)
ifdef KEY
SIGN   := --key $(KEY) --use-signing-config=false --tlog-upload=false
VERIFY := --key $(KEY:.key=.pub) --insecure-ignore-tlog=true
else
VERIFY := --certificate-identity-regexp '^$(REPOSITORY)/\.github/workflows/release\.yaml@' --certificate-oidc-issuer https://token.actions.githubusercontent.com
endif

.PHONY: release-check
release-check: ## Fail if TAG is not the version of the tree, with a date and notes in CHANGELOG.md.
	go run ./release/cmd/mkrelease -tag "$(TAG)"

.PHONY: release-notes
release-notes: ## Print the notes of this version from CHANGELOG.md.
	@go run ./release/cmd/mkrelease -notes

.PHONY: release-files
release-files: ## Build the archives of spegelguardctl, their manual and checksums, and the manifests of package managers.
	go run ./release/cmd/mkrelease -out $(RELEASE) -repository $(REPOSITORY)

.PHONY: release-image
release-image: ## Push the extension's image to REGISTRY, and write its digest and bills of materials.
	@[ -n "$(REGISTRY)" ] || (echo "REGISTRY is not set: run make release-image REGISTRY=ghcr.io/you" && exit 1)
	@# The name of an owner on GitHub may have upper case, which a reference must not have.
	go run ./extension/cmd/mkextension -push $$(echo $(REGISTRY) | tr '[:upper:]' '[:lower:]') -records $(RELEASE)

.PHONY: release-sign
release-sign: $(COSIGN) ## Sign the image and the checksums, and attach the bills of materials.
	$(COSIGN) sign --yes --recursive $(SIGN) $(IMAGE)
	for arch in amd64 arm64; do \
		$(COSIGN) attest --yes $(SIGN) --type spdxjson --predicate $(RELEASE)/spegel-guard-$$arch.spdx.json $$(cat $(RELEASE)/spegel-guard-$$arch.image) || exit 1; \
	done
	$(COSIGN) sign-blob --yes $(SIGN) --bundle $(RELEASE)/checksums.txt.sigstore.json $(RELEASE)/checksums.txt

.PHONY: release-output
release-output: ## Print the name and the digest of the image for a workflow.
	@sed 's/\(.*\)@\(.*\)/name=\1\ndigest=\2/' $(RELEASE)/spegel-guard.image

.PHONY: release-verify
release-verify: $(COSIGN) ## Verify signatures, bills of materials and checksums.
	$(COSIGN) verify $(VERIFY) $(IMAGE) > /dev/null
	for arch in amd64 arm64; do \
		$(COSIGN) verify $(VERIFY) $$(cat $(RELEASE)/spegel-guard-$$arch.image) > /dev/null && \
		$(COSIGN) verify-attestation $(VERIFY) --type spdxjson $$(cat $(RELEASE)/spegel-guard-$$arch.image) > /dev/null || exit 1; \
	done
	$(COSIGN) verify-blob $(VERIFY) --bundle $(RELEASE)/checksums.txt.sigstore.json $(RELEASE)/checksums.txt
	cd $(RELEASE) && sha256sum --check --quiet checksums.txt

.PHONY: release-publish
release-publish: ## Create the release TAG on GitHub (gh), with its notes and files.
	printf '\nImage for an installer: `%s`\n' "$(IMAGE)" >> $(RELEASE)/notes.md
	gh release create "$(TAG)" --verify-tag --title "$(TAG)" --notes-file $(RELEASE)/notes.md $$(find $(RELEASE) -type f ! -name notes.md | sort)

.PHONY: reproducible
reproducible: ## Build the image in two folders with caches of their own, and fail if the digests differ.
	go run ./release/cmd/reproducible

.PHONY: test-release
test-release: $(COSIGN) ## Run the steps of the release workflow against a registry on the loopback, in two folders (some minutes).
	SPEGEL_GUARD_COSIGN=$(COSIGN) go test -count=1 -v -timeout 60m -run TestWorkflow ./test/release

.PHONY: test-schemas
test-schemas: ## Validate examples, the objects of the monitoring, the dashboard and renovate.json by the schemas of their programs.
	GOFLAGS= go test -C test/schemas -count=1 -v -timeout 30m ./...

.PHONY: deps-check
deps-check: ## Check that go.mod is tidy and verified, and print newer versions of direct dependencies.
	go mod tidy -diff
	go mod verify
	@go list -m -f '{{if not (or .Main .Indirect)}}{{.Path}}{{end}}' all | xargs go list -m -u -e \
		-f '{{with .Update}}{{$$.Path}} {{$$.Version}}: {{.Version}} is available{{end}}'

.PHONY: clean
clean: ## Remove bin/ and dist/. The cache (SPEGEL_GUARD_CACHE) stays.
	rm -rf bin dist
