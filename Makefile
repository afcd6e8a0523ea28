# Everything that flowbus needs on a fresh Debian machine with Python 3.11: a virtual environment in
# .venv, and for the tests their peers. "make demo" and "make test" do all of the set-up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := core-nodes websocket ads mqtt
EDITABLE := -e '.[watch]' $(PLUGINS:%=-e plugins/%)

AUTOBAHN := $(VENV)/autobahn

.PHONY: help demo test lint bench docs clean autobahn
help:
	@echo "make demo    run the main job for 20 seconds: a cloud, a PLC and a broker in one process"
	@echo "make test    install what the tests need and run them"
	@echo "make autobahn  install the Autobahn test suite and run all of it against the WebSocket nodes"
	@echo "make lint    ruff, mypy, import-linter, and whether the generated docs are up to date"
	@echo "make bench   measure flowbus beside its peers, into benchmarks/results/latest.json"
	@echo "make docs    generate the node pages from the plugins"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "flowbus needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/run.done: $(BIN)/python pyproject.toml constraints.txt $(PLUGINS:%=plugins/%/pyproject.toml)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(EDITABLE)
	@touch $@

$(VENV)/test.done: $(VENV)/run.done tests/requirements.txt plugins/example/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e plugins/example -r tests/requirements.txt
	@touch $@

demo: $(VENV)/run.done
	@$(BIN)/python flows/demo.py

test: $(VENV)/test.done
	@sh tests/install_peers.sh
	AUTOBAHN_EXCLUDE='9.*,12.*,13.*' $(BIN)/python -m pytest -q

# 517 cases for each of the two nodes, over ten minutes each. It needs Python 2.7: PYTHON2=/path/to/python2.7
autobahn: $(VENV)/test.done $(AUTOBAHN)/venv/bin/wstest
	$(BIN)/python -m pytest -q -s tests/system/autobahn

$(AUTOBAHN)/venv/bin/wstest: tests/system/autobahn/install.sh tests/system/autobahn/requirements.txt
	@sh tests/system/autobahn/install.sh $(AUTOBAHN)
	@touch $@

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

bench: $(VENV)/test.done
	$(BIN)/python -m benchmarks

docs: $(VENV)/test.done
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist *.egg-info plugins/*/*.egg-info plugins/*/build
