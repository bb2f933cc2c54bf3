# The everyday commands. `make help` lists them.

JOBS ?= $(shell nproc)
SEEDS ?= 20
FROM ?=
ROUNDS ?= 1000
MINUTES ?= 60
FUZZ_SECONDS ?= 30
DEMO_SECONDS ?=
T ?=
E ?=
export JOBS FUZZ_SECONDS ROUNDS

.DEFAULT_GOAL := help
.PHONY: help bootstrap build demo test test-fast e2e versions bench fuzz lint format coverage nemesis endurance giants extensions minio mutants soak example example-reset clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## Install what building and testing need (Debian 12)
	@tools/bootstrap

build: bootstrap ## The release binary: build/release/tailrace
	@tools/build release tailrace

demo: build ## A private PostgreSQL, a writer and a live mirror (DEMO_SECONDS=20 stops by itself)
	@build/release/tailrace demo --seconds $(or $(DEMO_SECONDS),0)

example: build ## A whole scenario of examples/, E=name: servers, data, a pipeline, its figures
	@tools/example "$(E)" run

example-reset: ## Takes away all that `make example E=name` made, data included
	@tools/example "$(E)" reset

test: ## Everything that CI runs
	@tools/test bootstrap layers format build unit e2e versions asan tsan fuzz tidy

test-fast: ## Layer check, format and unit tests
	@tools/test bootstrap layers format build unit

e2e: ## End-to-end tests; one of them: make e2e T=name
	@E2E_SELECT="$(T)" tools/test bootstrap build e2e

versions: ## What may differ on PostgreSQL 13, 14, 16, 17 and 18
	@tools/test bootstrap build versions

fuzz: ## Every fuzzer for FUZZ_SECONDS (30)
	@tools/test bootstrap fuzz

lint: ## Layer check, clang-format and clang-tidy
	@tools/test bootstrap layers format tidy

format: ## Rewrite the sources as .clang-format has them
	@git ls-files -co --exclude-standard '*.h' '*.cc' | xargs -r clang-format-19 -i

coverage: ## Line coverage of src/ by unit and end-to-end tests, at least 85 %
	@tools/test bootstrap coverage

nemesis: ## The oracle test with SEEDS=n new seeds, or those from FROM=m on
	@SEEDS=$(SEEDS) FROM=$(FROM) tools/test bootstrap build nemesis

endurance: ## An hour (MINUTES=60) of steady load: memory, descriptors and disk may not grow
	@MINUTES=$(MINUTES) tools/test bootstrap build endurance

giants: ## Very many tables in a transaction, very large values, very many savepoints
	@tools/test bootstrap build giants

extensions: ## Types of PostGIS, which is installed for it
	@tools/test bootstrap build extensions

minio: ## The tests of a lake in a bucket on MinIO, which is built once (5 minutes)
	@tools/test bootstrap build minio

mutants: ## Plants bugs one by one; each must be caught
	@tools/test bootstrap mutants

soak: ## Kill-and-reopen soak of libduckdb, ROUNDS=1000 (ROUNDS=1000)
	@tools/test bootstrap soak

bench: ## Every figure of bench/RESULTS.md, each beside its limit
	@tools/test bootstrap bench

clean: ## Remove what was built
	@rm -rf build
