# From Vectors to Agents. Each target sets up .venv if it is missing. `make help` lists them.
PYTHON ?= python3
SERVE ?= 1
PORT ?= 8000
NB ?=
BIN := .venv/bin
# Two workers on two cores: one thread each. Two threads each are several times slower.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
SITE := _build/html

.DEFAULT_GOAL := help
.PHONY: help book test lint test-library test-notebooks test-colab site test-site notebooks lab bench \
        new-chapter clean env-book env-test env-lab

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

book: env-book ## build the site and serve it (SERVE=0 only builds, PORT=8000)
	@$(MAKE) --no-print-directory site
	@if [ "$(SERVE)" = 1 ]; then $(BIN)/python -m tools.serve --port $(PORT); fi

test: env-test lint test-library test-notebooks test-colab site test-site ## everything that CI runs
	@echo "All checks passed."

lint: env-test ## style and spelling
	@$(BIN)/ruff check --quiet . || { echo "lint failed: '$(BIN)/ruff check --fix .' mends most of it"; exit 1; }
	@$(BIN)/ruff format --quiet --check . || { echo "lint failed: run '$(BIN)/ruff format .'"; exit 1; }
	@$(BIN)/codespell || { echo "lint failed: correct the words above, or list them in pyproject.toml [tool.codespell]"; exit 1; }

test-library: env-test ## library, doctests, parity with the real libraries, tools
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 tests llmlib --ignore=tests/site --ignore=tests/colab

test-notebooks: env-test ## run every notebook and compare its stored outputs
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --nbval notebooks

test-colab: env-test ## run a chapter in a clean environment, installed by its own set-up cell
	@$(BIN)/python -m pytest tests/colab

site: env-book # build the site, warnings are errors
	@$(BIN)/python -m tools.site

test-site: env-test ## open every page of the built site in a browser
	@$(BIN)/python -m pytest -n 2 --dist load tests/site

notebooks: env-test ## run all notebooks, or NB="name name", and store their outputs
	@$(ONE_THREAD) $(BIN)/python -m tools.notebooks $(NB)

lab: env-lab ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab notebooks

bench: env-test ## measure the library against its peers
	@$(ONE_THREAD) $(BIN)/python -m benchmarks

new-chapter: env-test ## lay out a chapter: PART=05_transformer NAME=01_blocks
	@$(BIN)/python -m tools.new_chapter "PART=$(PART)" "NAME=$(NAME)"

clean: ## remove the environment and everything built
	@rm -rf .venv _build *.egg-info

env-book env-test env-lab: env-%:
	@command -v $(PYTHON) >/dev/null || { echo "error: '$(PYTHON)' not found: install Python 3.11 to 3.13, or name it: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) tools/environment.py $*
