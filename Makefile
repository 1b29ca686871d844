# Farol 守燈. `make help` lists the targets.
export CGO_ENABLED ?= 0
DEMO_DIR ?= .demo
PORT ?= 8443
CHATS ?=
SCALE ?= ci
RECORDS ?= 1000000
PARTS ?= deb
PREVIOUS ?= HEAD^
GO ?= go

# The toolchain go.mod names has the security fixes that were out when it was
# written; where it can be had it builds, else the one that is installed.
export GOTOOLCHAIN := $(shell GO=$(GO) packaging/toolchain)

.PHONY: all help demo smoke test check vuln bench bench-offsite generate pages package twice lint test-package clean

all: bin/farol bin/dingtalk-sim bin/demo ## build the programs into bin/

SOURCES := $(shell find cmd internal templates static packaging/docs -name '*.go' -o -name '*.json' -o -name '*.sql' -o -name '*.css' -o -name '*.js' -o -name '*.svg' -o -name '*.txt' -o -name '*.yaml' -o -name '*.md' 2>/dev/null) go.mod go.sum

bin/%: $(SOURCES)
	$(GO) build -trimpath -o $@ ./cmd/$*

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: all ## start a whole Farol on loopback (DEMO_DIR= PORT= CHATS=)
	./bin/demo -dir $(DEMO_DIR) -port $(PORT) -chats "$(CHATS)"

smoke: all ## the main job end to end, checked, unattended (CHATS=)
	./bin/demo -smoke -fresh -dir .smoke -port 18443 -chats "$(CHATS)"

test: ## run the tests
	$(GO) test ./...

check: ## what CI holds besides the tests: format, generated code, vet, staticcheck
	@test -z "$$(gofmt -l cmd internal templates static packaging/docs)" || { gofmt -l cmd internal templates static packaging/docs; echo "run gofmt -w"; exit 1; }
	$(GO) tool templ fmt -fail templates
	$(GO) tool templ generate -path templates >/dev/null 2>&1
	git diff --exit-code --stat -- '*_templ.go'
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

vuln: ## known vulnerabilities in what Farol is built from
	.ci/vuln

bench: all ## the figures we promise, beside restic's and kopia's (SCALE=ci|half|full)
	$(GO) test -run '^$$' -bench . -benchtime 1x ./internal/restore
	$(GO) test -run '^$$' -bench . ./internal/archive ./internal/audit ./internal/catalog
	$(GO) test -run '^$$' -bench EventsCommitted -benchtime 1x ./internal/backup
	$(GO) run ./cmd/bench -scale $(SCALE)

bench-offsite: ## lag over a slow link, recovery from the node, take-over (RECORDS=1000000)
	$(GO) test -run '^$$' -bench OffsiteLag -benchtime 1x -timeout 0 ./internal/replica
	$(GO) test -run '^$$' -bench Recover -benchtime 1x -timeout 0 ./internal/appliance
	FAROL_BENCH_RECORDS=$(RECORDS) $(GO) test -run '^$$' -bench TakeOver -benchtime 1x -timeout 0 ./internal/appliance

generate: ## make the Go code of the templates
	$(GO) tool templ fmt templates
	$(GO) tool templ generate -path templates

pages: ## serve every page with example data on http://127.0.0.1:8090
	$(GO) run ./internal/web/pages -listen 127.0.0.1:8090

package: ## deb, rpm and tar.gz for amd64 and arm64 into dist/, with SBOM and sums (FAROL_SIGN_KEY=)
	packaging/build

twice: ## build the packages in two clones and compare every byte
	packaging/twice

test-package: ## the packages' life on machines with systemd (root; PARTS="deb rpm tar oci cuts", PREVIOUS=HEAD^)
	PARTS="$(PARTS)" PREVIOUS="$(PREVIOUS)" packaging/test/run

lint: ## lintian, rpmlint, shellcheck and the units' exposure, on dist/
	packaging/lint

clean: ## remove what was built and the demo's state
	rm -rf --one-file-system bin dist .demo .smoke .package-root .package-root-podman .package-previous
