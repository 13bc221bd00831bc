# Everything runs in .venv, which the targets make by themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO   := build/demo
DATA   := examples/digits/data

.PHONY: help demo test lint bench docs vsix fuzz clean
MINUTES ?= 10

help:  ## Show the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml $(BIN)/python
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(BIN)/python
	$(PIP) -e '.[dev,docs,models]'
	@touch $@

$(VENV)/.npm: tests/consumers/package.json $(BIN)/python
	@if command -v npm >/dev/null; then \
	    npm install --prefix tests/consumers --ignore-scripts --no-package-lock --no-audit --no-fund --silent; \
	else echo "npm is not installed: tests in Node.js and in the browser will be skipped"; fi
	@touch $@

demo: $(VENV)/.demo  ## Compile, run, evaluate and benchmark the embedded example on real images
	$(BIN)/python examples/digits/make_dataset.py
	$(BIN)/zooc compile examples/digits/digits.zoo -o $(DEMO)/digits --measure --force
	$(BIN)/zooc compile examples/digits/digits.zoo -o $(DEMO)/digits_float --force --quiet \
	    --set quantize=fp32 --set package.name=digits_float
	@echo; echo "== one image =="
	cd $(DEMO)/digits && $(CURDIR)/$(BIN)/python -m digits classify $$(ls $(CURDIR)/$(DATA)/test/3/*.jpg | head -n 1)
	@echo; echo "== is it what was compiled? =="
	cd $(DEMO)/digits && $(CURDIR)/$(BIN)/python -m digits verify
	@echo; echo "== benchmark =="
	cd $(DEMO)/digits && $(CURDIR)/$(BIN)/python -m digits bench -i 2 -p 1 -b 2 -s [3,120,160] --iterations 200
	@echo; echo "== top-1 on the held-back images: float, then int8 =="
	cd $(DEMO)/digits_float && $(CURDIR)/$(BIN)/python -m digits_float eval $(CURDIR)/$(DATA)/test
	cd $(DEMO)/digits && $(CURDIR)/$(BIN)/python -m digits eval $(CURDIR)/$(DATA)/test
	@echo; echo "the report: $(DEMO)/digits/report.html"

test: $(VENV)/.dev $(VENV)/.npm lint  ## Run the linters and all tests, slow ones too
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(VENV)/.dev  ## Ruff, mypy, and what may import what
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## Time the prelude against Pillow
	$(BIN)/python benchmarks/prelude.py

docs: $(VENV)/.dev  ## Write the documentation as a site, build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

vsix:  ## Build the extension for Visual Studio Code: build/zooc-VERSION.vsix
	npm install --prefix editors/vscode --ignore-scripts --no-package-lock --no-audit --no-fund --silent
	mkdir -p build
	cd editors/vscode && npm run --silent build && npm run --silent package

fuzz: $(VENV)/.dev  ## Feed strange files to every reader for MINUTES=10
	$(BIN)/python tests/fuzz/run.py --minutes $(MINUTES) --keep build/fuzz

clean:  ## Remove what was built; the environment stays
	rm -rf build dist $(DATA)
