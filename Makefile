# Everything that there is to do here. `make` alone lists it.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
DOCS_STAMP := $(VENV)/.docs
CODE := esl controller web switchroom tests
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# For every Python from 3.11 on and every platform, with the hashes of all their files.
RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'
# More arguments for what a target runs: make test ARGS='-k config', make demo ARGS=--once
ARGS ?=

.DEFAULT_GOAL := help
# All that `make help` lists.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*## .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with the switchroom command in it

# Made again when what is to be installed has changed; the stamp comes last, so a setup cut short starts over.
$(STAMP): setup.cfg setup.py pyproject.toml requirements-build.txt requirements-dev.txt $(wildcard esl/*.c)
	@python=; \
	for candidate in $(PYTHON) python3.11 python3 python3.12 python3.13; do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			python=$$candidate; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo 'Python 3.11 or later is needed, and not found. Name one with make PYTHON=...' >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	@$(PIP_INSTALL) --require-hashes --requirement requirements-build.txt
	@$(PIP_INSTALL) --require-hashes --no-build-isolation --requirement requirements-dev.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Run the main job on two emulated nodes, and go on serving
	@mkdir -p build
	@$(BIN)/switchroom demo --env-file build/demo.env $(ARGS)

test: lint ## Check the code, run all tests
	@$(BIN)/python -m pytest $(ARGS)
	$(if $(ARGS),,@$(BIN)/python -m pytest -c tests/browser/pytest.ini --rootdir . tests/browser)

test-search: setup ## Look for what the examples of the property tests have not tried: others at each run
	@$(BIN)/python -m pytest -m hypothesis --hypothesis-profile search $(ARGS)

test-browser: setup ## Run the tests of the console's pages in Chromium, with screenshots in build/screenshots
	@$(BIN)/python -m pytest -c tests/browser/pytest.ini --rootdir . tests/browser $(ARGS)

test-freeswitch: setup ## Run the end-to-end tests on a real FreeSWITCH (on PATH or FREESWITCH_BIN), with SIPp
	@SWITCHROOM_TEST_FREESWITCH=$${SWITCHROOM_TEST_FREESWITCH:-boot} $(BIN)/python -m pytest tests/e2e $(ARGS)

lab-call: ## Call the lab (vagrant up) with SIPp and show the sessions appear
	@lab/call.sh

chaos: setup ## Break every part in turn under load, and check that nothing is lost (docs/chaos.md)
	@$(BIN)/python -m tests.chaos $(ARGS)

chaos-bugs: setup ## See that a chaos run finds bugs that were put in for it
	@$(BIN)/python -m tests.chaos --bugs --seed 7 $(ARGS)

lint: setup ## Check style, types, the direction of imports and the Lua files
	@$(BIN)/ruff check --quiet $(CODE) docs/hooks.py
	@$(BIN)/ruff format --quiet --check $(CODE) docs/hooks.py
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.lua_lint

format: setup ## Put the code into its usual form
	@$(BIN)/ruff check --quiet --fix $(CODE) docs/hooks.py
	@$(BIN)/ruff format --quiet $(CODE) docs/hooks.py

docs: $(DOCS_STAMP) ## Build the documentation as a site, into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet $(ARGS)

$(DOCS_STAMP): $(STAMP) requirements-docs.txt
	@$(PIP_INSTALL) --require-hashes --no-build-isolation --requirement requirements-docs.txt
	@touch $@

package: setup ## Build sdist and wheel into build/dist, and see that the wheel works by itself
	@rm -rf build/dist
	@$(BIN)/uv build --quiet --build-constraints requirements-build.txt --require-hashes --out-dir build/dist
	@$(BIN)/python -m tests.package build/dist

lock: setup ## Renew the lock: which release of each dependency is installed, with its hashes
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' | \
		$(RESOLVE) --upgrade --output-file requirements-build.txt -
	@$(RESOLVE) --upgrade --output-file requirements.txt setup.cfg
	@$(RESOLVE) --upgrade --constraint requirements.txt --extra dev --output-file requirements-dev.txt setup.cfg
	@$(RESOLVE) --upgrade --constraint requirements-dev.txt --extra docs --output-file requirements-docs.txt setup.cfg

audit: setup ## Look for known holes in what is locked, and in the oldest that setup.cfg allows
	@mkdir -p build
	@$(RESOLVE) --resolution lowest-direct --output-file build/oldest.txt setup.cfg
	@for list in requirements-build.txt requirements-dev.txt requirements-docs.txt build/oldest.txt; do \
		echo "$$list" && $(BIN)/uvx pip-audit --strict --disable-pip --require-hashes --requirement "$$list" || exit; \
	done

bench: setup ## Run all benchmarks, and show their figures in one table; they are kept in build/bench.jsonl
	@$(BIN)/python -m tests.benchmarks.figures run build/bench.jsonl $(ARGS)

bench-compare: setup ## Compare two runs of `make bench`, by default build/before.jsonl and build/bench.jsonl
	@$(BIN)/python -m tests.benchmarks.figures compare $(or $(ARGS),build/before.jsonl build/bench.jsonl)

bench-esl: setup ## Events per CPU second, beside stock greenswitch and libesl
	@$(BIN)/python -m tests.benchmarks.bench_esl $(ARGS)

bench-webhooks: setup ## Webhooks delivered per second
	@$(BIN)/python -m tests.benchmarks.bench_webhooks $(ARGS)

bench-latency: setup ## From a node's event to its webhook, in milliseconds
	@$(BIN)/python -m tests.benchmarks.bench_event_to_webhook $(ARGS)

bench-command: setup ## From a request to mute to its 202 and its webhook, beside what one writes by hand
	@$(BIN)/python -m tests.benchmarks.bench_command $(ARGS)

bench-api: setup ## Requests a second: /healthz, a room that is read, and one that is made
	@$(BIN)/python -m tests.benchmarks.bench_api $(ARGS)

bench-sound: setup ## From a request to play to its first sound, on a real FreeSWITCH (on PATH or FREESWITCH_BIN)
	@$(BIN)/python -m tests.benchmarks.bench_first_sound $(ARGS)

bench-span: setup ## CPU and memory of a room on three nodes and on one, on a real FreeSWITCH, with SIPp
	@$(BIN)/python -m tests.benchmarks.bench_span $(ARGS)

bench-speakers: setup ## What it costs to tell who speaks, of 200 members who talk
	@$(BIN)/python -m tests.benchmarks.bench_speakers $(ARGS)

bench-streams: setup ## CPU and memory of 1,000 event streams on one API process, and their delay
	@$(BIN)/python -m tests.benchmarks.bench_streams $(ARGS)

bench-scripts: setup ## How long each step holds the store, at its worst
	@$(BIN)/python -m tests.benchmarks.bench_scripts $(ARGS)

bench-scale: setup ## What each event, webhook, request and comparison costs as all becomes more, on a cluster of stores
	@$(BIN)/python -m tests.benchmarks.bench_scale $(ARGS)

fuzz: setup ## Millions of broken inputs for the Event Socket parser
	@$(BIN)/python -m tests.fuzz.fuzz_esl $(ARGS)

fuzz-audio: setup ## A hundred thousand broken sound files for the decoders
	@$(BIN)/python -m tests.fuzz.fuzz_audio $(ARGS)

clean: ## Remove what was made here, but no data
	@rm -rf $(VENV) build *.egg-info esl/*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
