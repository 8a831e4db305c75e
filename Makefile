# make demo   runs the main job on an embedded sample: no cluster, root or network
# make test   passes the tests; with E2E=1 also on a real Kubernetes cluster
# make help   lists the rest

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0-dev)
BIN       ?= bin/casefile
ART       := cmd/casefile/artifacts
LDFLAGS   := -s -w -X main.version=$(VERSION)
BUILD     := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false
SDK_SRC   := $(shell find sdk analyzers-wasm/rules analyzers-wasm/builtin -name '*.go' ! -name '*_test.go' 2>/dev/null)
AGENT_SRC := go.mod $(shell find collector bundle cmd/casefile-agent -name '*.go' ! -name '*_test.go' 2>/dev/null)
ARCHES    := amd64 arm64
say        = @echo "==> $(1)" >&2

.PHONY: build casefile demo test test-short e2e bench fuzz lint cross clean help artifacts
.DELETE_ON_ERROR:

build: artifacts casefile ## bin/casefile with the built-in rules and the node agents inside

artifacts: $(ART)/builtin.wasm $(ARCHES:%=$(ART)/agent-linux-%.gz)

casefile:
	$(call say,building $(BIN) (the first time this fetches and compiles client-go and wazero: some minutes on two cores))
	@$(BUILD) -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/casefile

$(ART)/builtin.wasm: $(SDK_SRC)
	$(call say,building the built-in rules as WebAssembly)
	@GOOS=wasip1 GOARCH=wasm $(BUILD) -ldflags "-s -w" -o $@ ./analyzers-wasm/builtin

$(ART)/agent-linux-%.gz: $(AGENT_SRC)
	$(call say,building the node agent for linux/$*)
	@GOOS=linux GOARCH=$* $(BUILD) -tags nethttpomithttp2 -ldflags "$(LDFLAGS)" -o $(ART)/agent-linux-$* ./cmd/casefile-agent
	@gzip -9nf $(ART)/agent-linux-$*

demo: $(ART)/builtin.wasm casefile ## the whole pipeline on a recorded, broken three-node cluster
	$(call say,casefile demo)
	@./$(BIN) demo

test: artifacts ## the tests; with E2E=1 also the real cluster
	$(call say,go vet)
	@$(GO) vet ./...
	$(call say,go test)
	@E2E= $(GO) test -timeout 20m $(TESTFLAGS) ./...
ifeq ($(E2E),1)
	@$(MAKE) --no-print-directory e2e
endif

KUBE := E2E=1 CASEFILE_BIN=$(CURDIR)/$(BIN)
e2e: build ## build and boot a real cluster, inject faults, and hold the findings against them
	$(call say,building the cluster (about eight minutes the first time))
	@samples/cluster/build.sh
	$(call say,end-to-end tests on a real cluster: faults and what is found)
	@$(KUBE) $(GO) test -count=1 -timeout 60m -v ./samples/cluster/e2e
	$(call say,end-to-end tests on a real cluster: collecting from the API server and launching agents)
	@samples/cluster/up.sh 3 > /dev/null
	@rc=0; $(KUBE) KUBECONFIG=$${CASEFILE_CLUSTER:-/var/tmp/casefile-cluster}/admin.conf \
	  $(GO) test -count=1 -timeout 30m ./collector/cluster/... || rc=$$?; samples/cluster/down.sh; exit $$rc

bench: ## benchmarks, each beside its peer
	@$(GO) test -run '^$$' -bench . -benchmem ./...

FUZZTIME ?= 30s
fuzz: ## every fuzz target for FUZZTIME (30s)
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
	  echo "==> $$p $$f" >&2; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p || exit 1; done; done

lint: ## gofmt, go vet and the linters of .golangci.yml
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt: $$out" >&2; exit 1; }
	@$(GO) vet ./...
	@$(GO) tool -modfile=.lint/go.mod golangci-lint run ./...

cross: ## it builds for the other systems too
	@for t in linux/arm64 darwin/arm64 windows/amd64; do echo "==> $$t" >&2; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} $(BUILD) -o /dev/null ./cmd/casefile || exit 1; done

clean:
	@rm -rf bin $(ART)/builtin.wasm $(ART)/agent-linux-*

help:
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  \1\t/' | expand -t 14
