# Everything a contributor types. `make help` lists the targets; each of them makes .venv by itself where it is missing.
# Paths are relative on purpose: the repository may stand below a folder with spaces in its name.

PYTHON ?=
EXTRAS ?=
VECTORS ?=
FUZZ ?=
MUTANTS ?=

# Where the vectors are: what was asked for, else those beside the repository, else the selection inside it.
VECTORS_DIR = $(or $(VECTORS),$(if $(wildcard ../shared/vectors/.),../shared/vectors,tests/vectors))

VENV := .venv
STAMP := $(VENV)/.installed
RUN := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help install lock platforms demo test timing kills mutants soak soak-faults check bench vectors fuzz interop pb map clean

help:
	@echo 'make install   .venv with everything (PYTHON=... chooses the interpreter, 3.11 or newer; EXTRAS=cuda adds CUDA)'
	@echo 'make demo      a small but real data set, made and verified; then a network of nodes and a payment in it'
	@echo 'make test      check, then every test'
	@echo 'make kills     a PoET server killed 120 times at random moments, a node 200 times; nothing is lost'
	@echo 'make mutants   rules of consensus, each deliberately broken; a named test notices (MUTANTS="--only hare --jobs 2")'
	@echo 'make soak      an hour of simulated networks, a seed each, from where it stopped (SOAK_SIM="--minutes 10")'
	@echo 'make soak-faults  ten minutes of kills, failing disks, hostile clients, damaged messages (SOAK="--seed N")'
	@echo 'make check     lint, formatting, types, import contracts'
	@echo 'make timing    tests that hold on a quiet machine only (overlap of devices and host)'
	@echo 'make bench     labels per second against hashlib.scrypt'
	@echo 'make vectors   every vector-driven check on VECTORS=DIR (now: $(VECTORS_DIR)); writes .vectors.json'
	@echo 'make fuzz      a million damaged messages for every decoder, 10^5 requests to every call (FUZZ="--seed N --only WORD")'
	@echo 'make interop   compares keys, addresses and transactions with the JavaScript clients (needs Node)'
	@echo 'make pb        generates the protobuf code from protocol/pb/proto'
	@echo 'make lock      chooses the versions in requirements/ (UPGRADE=1: the newest that the ranges allow)'
	@echo 'make platforms whether everything installs without a compiler, on each Python and platform that we promise'
	@echo 'make map       draws the imports between rooms into docs/architecture.md, names circles between files'
	@echo 'make clean     removes .venv, caches and build output'

install: $(STAMP)

$(STAMP): pyproject.toml requirements/dev.txt tools/setup-venv.sh
	@PYTHON='$(PYTHON)' EXTRAS='$(EXTRAS)' TYPED='make $(MAKECMDGOALS)' sh tools/setup-venv.sh $(VENV)
	@touch $@

# Asked for by name, another interpreter or an extra is set up though nothing else has changed.
ifneq ($(PYTHON)$(EXTRAS),)
$(STAMP): anew
.PHONY: anew
anew:
endif

lock: $(STAMP)
	@$(RUN) tools/lock.py $(if $(UPGRADE),--upgrade)

platforms: $(STAMP)
	@$(RUN) tools/platforms.py

demo: $(STAMP)
	@$(RUN) -m api.cli.data.demo
	@$(RUN) -m api.cli.node.demo

check: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	@$(RUN) tools/platforms.py --if-changed

test: check
	$(RUN) -m pytest -n 2 --dist worksteal --max-worker-restart 100000

timing: $(STAMP)
	$(RUN) -m pytest -m timing

kills: $(STAMP)
	POET_KILLS=120 $(RUN) -m pytest -n 0 -s tests/api/services/poet/test_kills.py
	NODE_KILLS=200 $(RUN) -m pytest -n 0 -s tests/api/node/test_kills.py

mutants: $(STAMP)
	@$(RUN) -m tests.mutants $(MUTANTS)

soak: $(STAMP)
	@nice $(RUN) -m tests.soak.simulations $(SOAK_SIM)

soak-faults: $(STAMP)
	@$(RUN) -m tests.soak $(SOAK)

bench: $(STAMP)
	@$(RUN) -m bench

vectors: $(STAMP)
	@$(RUN) -m tests.vector_cases --vectors '$(VECTORS_DIR)'

fuzz: $(STAMP)
	@$(RUN) -m tests.fuzz $(FUZZ)
	$(if $(FUZZ),,@$(RUN) -m tests.fuzz.poet)
	$(if $(FUZZ),,@$(RUN) -m tests.fuzz.node_edge)
	$(if $(FUZZ),,@$(RUN) -m tests.fuzz.node_services)
	$(if $(FUZZ),,@$(RUN) -m tests.fuzz.node_smeshing)

interop: $(STAMP)
	@$(RUN) -m tests.interop --clients .interop

map: $(STAMP)
	@$(RUN) tools/make_map.py

pb: $(STAMP)
	@$(RUN) tools/make_pb.py

clean:
	rm -rf $(VENV) .interop build dist *.egg-info .vectors.json .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
