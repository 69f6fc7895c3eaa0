# Rollcall's commands. `make` lists them.
#
# Two sets of build flags, so that nothing is compiled thrice: this plain one,
# which the staged binary, vet and staticcheck share, and the race tests' own.
export CGO_ENABLED := 0

DIST       ?= dist
ARCH       ?= amd64
RUNS       ?= 50
PEOPLE     ?= 500000
TEAMS      ?= 5000
MEMBERSHIPS ?= 2000000
CELLS      ?= .
FUZZTIME   ?= 30s
GO_DIRS    := functions handler internal perf
# What of perf compiles without the typed models.
PERF       := . ./azure ./crowd ./floor ./graphd ./ours ./side ./tabled ./wires
BROWSERS   := chromium chromium-browser google-chrome google-chrome-stable chrome headless_shell chromium-headless-shell

# The binary tells its commit, except where git refuses to (another user's
# checkout, an unpacked archive): go build would fail there.
BUILD = go build -buildvcs=$$(git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)

.DEFAULT_GOAL := help
.PHONY: help test check dist sandbox demo crash faults bench scale fuzz deps packages tools ready clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

test: tools ## everything that must be green before a commit, in CI too
	@$(MAKE) --no-print-directory -j2 --output-sync deps ready
	ROLLCALL_REQUIRE_NODE=1 ROLLCALL_REQUIRE_BROWSER=1 ROLLCALL_REQUIRE_TOOLS=1 CGO_ENABLED=1 go test -race -shuffle=on ./...
	cd perf && go test $(PERF)

# What Go compiles while npm and apt download.
ready: check
	@$(MAKE) --no-print-directory dist

check: ## formatting, vet, staticcheck, go.mod
	@unformatted=$$(gofmt -l $(GO_DIRS)) && test -z "$$unformatted" || { echo "run gofmt -w on:" $$unformatted >&2; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff
	cd perf && go vet $(PERF) && go tool -modfile ../go.mod staticcheck $(PERF)

# The host looks for function.json only in the first-level folders of the
# package's root. Modes are set: what unpacks a deployment may keep them.
dist: ## stage the package that the Functions host runs, in dist/
	@test ! -d "$(DIST)" || test -f "$(DIST)/host.json" || rmdir "$(DIST)" || { echo "make dist: $(DIST) is no staged package; not emptied" >&2; exit 1; }
	@rm -rf "$(DIST)"
	@install -d -m 0755 "$(DIST)"
	@install -m 0644 host.json "$(DIST)/host.json"
	@for f in functions/*/function.json; do \
		d="$(DIST)/$$(basename "$$(dirname "$$f")")" && install -d -m 0755 "$$d" && install -m 0644 "$$f" "$$d/function.json" || exit 1; \
	done
	GOOS=linux GOARCH=$(ARCH) $(BUILD) -ldflags="-s -w" -o "$(DIST)/handler" ./handler
	@chmod 0755 "$(DIST)/handler"

sandbox: build/sandbox ## run everything on this machine; DATA=folder loads a directory export, ZIP=file runs a released package
	@exec build/sandbox -dist "$(or $(ZIP),$(DIST))" $(if $(DATA),-data "$(DATA)")

demo: build/sandbox ## tell the whole story without a keyboard, checking every figure
	@exec build/sandbox -dist "$(DIST)" demo

.PHONY: build/sandbox
build/sandbox: tools node_modules/.package-lock.json dist
	@$(BUILD) -o $@ ./internal/sandbox/cmd/sandbox

crash: tools node_modules/.package-lock.json dist ## kill the real binary RUNS=50 times more, at random
	ROLLCALL_CRASH_RUNS=$(RUNS) go test -count=1 -timeout 60m -run 'TestCrash' -v ./internal/sandbox/proof

faults: tools node_modules/.package-lock.json ## let every fault hit every request of every kind of run; CELLS=expression for some
	@go test -c -o build/faults.test ./internal/reconcile
	cd internal/reconcile && ROLLCALL_FAULTS='$(CELLS)' "$(CURDIR)/build/faults.test" -test.run 'TestFaults$$' -test.parallel 4 -test.timeout 60m

bench: build/perf ## Rollcall beside what could be used instead; TARGETS="P6 P8" for some; fails where it falls short
	@cd perf && ../build/perf $(if $(TARGETS),$(TARGETS),-write ../docs/performance.md)

scale: build/perf ## a tenant of PEOPLE, TEAMS and MEMBERSHIPS through four kinds of runs
	@cd perf && ../build/perf scale -people $(PEOPLE) -teams $(TEAMS) -memberships $(MEMBERSHIPS)

# A module of its own: one side of it compiles the Graph SDK's typed models,
# minutes of work and 5 GB of memory, when a target first needs it.
.PHONY: build/perf
build/perf: tools
	@cd perf && $(BUILD) -o ../$@ .

fuzz: ## run every fuzzer for FUZZTIME=30s
	@for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' $(GO_DIRS) | xargs -n1 dirname | sort -u); do \
		names=$$(go test -list '^Fuzz' "./$$dir") || { echo "$$names" >&2; exit 1; }; \
		for f in $$(echo "$$names" | grep '^Fuzz'); do \
			echo "$$dir: $$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "./$$dir" || exit 1; \
		done; \
	done

deps: node_modules/.package-lock.json packages ## what is not Go: Azurite, the second Service Bus client, a browser

# npm writes this file last, so that an install that broke off is repeated.
# No package here needs its install script.
node_modules/.package-lock.json: package-lock.json
	npm ci --ignore-scripts
	@touch $@

# A browser for the pages' tests, curl and jq for the documented export's.
packages:
	@missing=; for t in curl jq; do command -v $$t >/dev/null 2>&1 || missing="$$missing $$t"; done; \
	found=; for b in $(BROWSERS); do command -v $$b >/dev/null 2>&1 && found=1; done; test -n "$$found" || missing="$$missing chromium"; \
	test -n "$$missing" || exit 0; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null 2>&1; then \
		install="apt-get install -y --no-install-recommends$$missing"; export DEBIAN_FRONTEND=noninteractive; \
		out=$$($$install 2>&1) || out=$$(apt-get update 2>&1 && $$install 2>&1) || { echo "$$out" >&2; exit 1; }; \
	else \
		echo "Install$$missing, as the Debian packages of these names. A browser must be on the PATH as one of: $(BROWSERS)" >&2; exit 1; \
	fi

tools:
	@missing=; \
	need() { command -v "$$1" >/dev/null 2>&1 || { missing=1; echo "$$1 is missing: $$2" >&2; }; }; \
	need go "install Go $$(awk '$$1 == "go" { print $$2 }' go.mod) or newer, https://go.dev/dl/"; \
	need git "Debian's package git"; \
	need npm "it comes with Node.js, https://nodejs.org/"; \
	need node "install Node.js 20 or newer, https://nodejs.org/"; \
	if command -v go >/dev/null 2>&1; then \
		need "$$(CGO_ENABLED=1 go env CC | awk '{ print $$1 }')" "the race detector needs a C compiler, such as Debian's package gcc with libc6-dev"; \
	fi; \
	if command -v node >/dev/null 2>&1; then \
		major=$$(node --version | sed 's/^v//; s/\..*//'); \
		test "$$major" -ge 20 || { missing=1; echo "node is version $$major: 20 or newer is needed, https://nodejs.org/" >&2; }; \
	fi; \
	test -z "$$missing"

clean: ## remove what was built; node_modules stays
	rm -rf dist build
