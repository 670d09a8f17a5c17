# `make help` lists the targets; each one sets up what it needs.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV     := .venv
BIN      := $(VENV)/bin
PYTHON   ?= python3
ENV      ?= local
FELDSPAR := $(BIN)/feldspar --env $(ENV)
STAMP    := $(VENV)/.ready

# Real input gets a namespace of its own, so that it never mixes with generated rows.
INPUT ?=
ifneq ($(INPUT),)
export INPUT := $(abspath $(INPUT))
export FELDSPAR_NAMESPACE ?= local_$(shell basename '$(INPUT)' | sed -E 's/\.[a-z]+$$//' | tr 'A-Z' 'a-z' | tr -cs 'a-z0-9\n' '_' | sed -E 's/^_+|_+$$//g')
endif

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## install Python packages, Java and Spark's jars (once; costs nothing again)

$(STAMP): requirements.lock setup.py lib/feldspar/launch/jars.lock
	@.ci/setup '$(VENV)' '$(PYTHON)'
	@touch $@

.PHONY: kafka
kafka: setup ## fetch the jars with which Spark reads Kafka, for projects with such a source
	@$(BIN)/python -m feldspar.launch.jars --list kafka

.PHONY: jdbc
jdbc: setup ## fetch the jar with which Spark reads PostgreSQL, for projects with such a source
	@$(BIN)/python -m feldspar.launch.jars --list jdbc

.PHONY: run
run: up ## do the main job: source to score; INPUT=<file or folder> takes your payments
	$(FELDSPAR) apply

.PHONY: stream
stream: up ## keep tables and Redis up to date, round after round, until Ctrl-C
	$(FELDSPAR) stream

.PHONY: plan
plan: up ## show the steps that `make run` would take, each with its reason
	$(FELDSPAR) plan

.PHONY: ingest
ingest: up ## new files to bronze tables
	$(FELDSPAR) ingest

.PHONY: refine
refine: up ## bronze to silver: type, check, de-duplicate
	$(FELDSPAR) refine

.PHONY: history
history: up ## silver to history: what holds now (SCD1), or held when (SCD2)
	$(FELDSPAR) history

.PHONY: features
features: up ## silver to gold
	$(FELDSPAR) features

.PHONY: train
train: up ## train, judge and promote the models that are due
	$(FELDSPAR) train

.PHONY: online
online: up ## gold to Redis
	$(FELDSPAR) online push

.PHONY: serve
serve: up ## answer /score and /features over HTTP
	$(FELDSPAR) serve

.PHONY: handbook
handbook: up ## print the published model table beside ours
	$(FELDSPAR) handbook

.PHONY: test
test: setup kafka jdbc ## run the tests (PYTEST_ARGS="tests/unit -k name" for some of them)
	@$(BIN)/python -m feldspar.launch.jars --list tests/support/kafka-broker.lock
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

CASES ?= 10000
.PHONY: properties
properties: setup ## compare every engine with the oracle on CASES random cases each (10000: an hour)
	CASES=$(CASES) $(BIN)/python -m pytest -n 2 --dist loadfile tests/property \
	  tests/spark/test_packed_cases.py

SEEDS ?= 5
STORES ?= 1
.PHONY: faults
faults: setup ## kill and disturb real runs and compare with an oracle (SEEDS=200 RESUME=1: hours, goes on where it was)
	SEEDS=$(SEEDS) STORES=$(STORES) RESUME=$(RESUME) \
	  $(BIN)/python -m pytest tests/system/test_faults.py

SERVERS ?= weed,minio
ZOMBIES ?= 20
.PHONY: zombies
zombies: setup ## stop a run ZOMBIES times at each of five points, behind another one let it go on (20 on two S3 servers: an hour; builds MinIO by Go)
	ZOMBIES=$(ZOMBIES) SERVERS=$(SERVERS) $(BIN)/python -m pytest tests/system/test_zombies.py
	@cat out/zombies/*.json

DRIVERS ?= 4
COMMITS ?= 100
.PHONY: drivers
drivers: setup ## commit from DRIVERS Spark drivers to one table at once (4 x 100: ten minutes an S3 server; builds MinIO by Go)
	DRIVERS=$(DRIVERS) COMMITS=$(COMMITS) SERVERS=$(SERVERS) \
	  $(BIN)/python -m pytest tests/system/test_drivers.py

BATCHES ?= 2000
.PHONY: care
care: setup ## write BATCHES small batches; how many files, bytes rewritten, time of a scan (2000: half an hour; TABLE=silver, plain or events: one)
	BATCHES=$(BATCHES) $(BIN)/python -m pytest -s tests/spark/test_care_long.py -k "$(TABLE)"

ANSWERS ?= 100000
ORACLE ?= 10000
.PHONY: audited
audited: setup ## audit ANSWERS answers under late data, replays and restarts, ORACLE of them by the oracle (five minutes)
	ANSWERS=$(ANSWERS) ORACLE=$(ORACLE) $(BIN)/python -m pytest -s tests/spark/test_audit_long.py

.PHONY: check
check: setup ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: house
house: setup ## print the shape of the code: lines, functions, complexity, mocks
	@$(BIN)/python tests/house/figures.py

.PHONY: bench
bench: bench-pit bench-windows bench-checks ## measure beside rivals: tables, out/bench/*.json and charts (an hour and more)

.PHONY: bench-pit
bench-pit: setup ## point-in-time joins only (BENCH_ARGS="--cases small --scale 0.1" is quick)
	PYTHONPATH=lib:tests $(BIN)/python -m bench.pit $(BENCH_ARGS)

.PHONY: bench-windows
bench-windows: setup ## windows only (BENCH_ARGS="--cases published")
	PYTHONPATH=lib:tests $(BIN)/python -m bench.windows $(BENCH_ARGS)

.PHONY: bench-history
bench-history: setup ## our SCD1 beside a hand-written MERGE (BENCH_ARGS="--scale 0.1" is quick)
	PYTHONPATH=lib:tests $(BIN)/python -m bench.history $(BENCH_ARGS)

.PHONY: bench-stream
bench-stream: setup ## from a file to Redis, beside a bare stream (BENCH_ARGS="--rates 1000 --seconds 60")
	PYTHONPATH=lib:tests $(BIN)/python -m bench.stream $(BENCH_ARGS)

.PHONY: bench-online
bench-online: setup ## /features beside Feast, /score under load (BENCH_ARGS="--requests 1000 --seconds 30 10" is quick)
	PYTHONPATH=lib:tests $(BIN)/python -m bench.online $(BENCH_ARGS)

.PHONY: bench-online-load
bench-online-load: setup ## 10 M entities x 20 features from Delta to Redis (BENCH_ARGS="--entities 1000000")
	PYTHONPATH=lib:tests $(BIN)/python -m bench.online_load $(BENCH_ARGS)

.PHONY: bench-checks
bench-checks: setup ## a hundred rules in the writing pass only (BENCH_ARGS="--cases some --scale 0.1")
	PYTHONPATH=lib:tests $(BIN)/python -m bench.checks $(BENCH_ARGS)

.PHONY: up
up: setup ## start the local S3, Redis and MLflow servers, or find them running
	$(FELDSPAR) up

.PHONY: down
down: setup ## stop the local servers; their data stays
	$(FELDSPAR) down

.PHONY: status
status: setup ## how servers and tables are: freshness, lag, refused rows, last runs
	$(FELDSPAR) status

.PHONY: doctor
doctor: setup ## check Java, jars, ports, servers, credentials and disk
	$(FELDSPAR) doctor

.PHONY: lock
lock: setup ## renew requirements.lock and the lists of jars from what setup.py and they ask for
	$(BIN)/uv pip compile setup.py --extra all --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock
	$(BIN)/python -m feldspar.launch.jars --lock
	$(BIN)/python -m feldspar.launch.jars --lock --list kafka
	$(BIN)/python -m feldspar.launch.jars --lock --list jdbc
	$(BIN)/python -m feldspar.launch.jars --lock --list tests/support/kafka-broker.lock

.PHONY: clean
clean: ## stop the servers and remove everything that was made, data included
	@if [ -x $(BIN)/feldspar ] && [ -f .feldspar/stack/state.json ]; then $(FELDSPAR) down; fi
	rm -rf .feldspar $(VENV) out build dist lib/*.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis
