# SPDX-License-Identifier: Apache-2.0
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
PYTEST_ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
BUILD := build/dev
REQUIREMENTS := $(VENV)/requirements.txt
# The last command of a recipe makes its stamp: what fails half-way is done again. The names carry the
# setting, so that another one is another build.
READY := $(VENV)/.ready-$(FASTREG_WITH_TF)
LINT_READY := $(VENV)/.lint-ready
WHEEL_READY := $(VENV)/.wheel-ready
BUILT := $(BUILD)/.built-$(FASTREG_WITH_TF)
WHEEL := build/wheel
WHEEL_PY := $(WHEEL)/env/bin/python
WHEEL_PIP := $(WHEEL_PY) -m pip --disable-pip-version-check

# The peers live in an environment of their own, with a fastreg that is built and installed for it.
BENCH_VENV := .venv-bench
BENCH_PY := $(BENCH_VENV)/bin/python
BENCH_PIP := $(BENCH_PY) -m pip --disable-pip-version-check
BENCH_REQUIREMENTS := $(BENCH_VENV)/requirements.txt
BENCH_READY := $(BENCH_VENV)/.ready
BENCH_BUILT := $(BENCH_VENV)/.built
BENCH_ARGS ?=

# Environments in which fastreg, built here, must leave the computation to stock Keras.
FALLBACKS := build/fallbacks
FALLBACK_READY := $(FALLBACKS)/tensorflow-2.20/.ready $(FALLBACKS)/jax-and-torch/.ready

# Keras alone, to be imported in place of the one in .venv.
OLDEST_KERAS := build/oldest-keras
OLDEST_KERAS_READY := $(OLDEST_KERAS)/.ready
# A part that covers each layer, regularizers, accelerate, files and exports in two minutes.
OLDEST_KERAS_QUICK := $(patsubst %,tests/keras_door/test_%.py,batch_norm_layer dropout_layer regularizers \
  accelerate saving portable_graphs) tests/keras_door/test_self_check.py::test_nothing_else_is_printed

# Folders too: theirs is the time that changes when a file goes.
SOURCES := CMakeLists.txt pyproject.toml python/fastreg/__init__.py \
  $(shell find cmake cpp -name __pycache__ -prune -o -print 2>/dev/null)
CXX_FILES = $(shell find cpp -name '*.h' -o -name '*.cc')

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || echo 2)
export TF_CPP_MIN_LOG_LEVEL ?= 2

comma := ,
say = @printf '\n== %s\n' "$(1)"

.PHONY: help build test test-oldest-keras test-oldest-keras-quick test-fallbacks wheel wheel-with-tensorflow demo bench bench-quick lint format clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' Makefile | expand -t 25
	@echo 'Variables: PYTHON (makes .venv), PYTEST_ARGS, FASTREG_WITH_TF=0 (no TensorFlow), CMAKE_BUILD_PARALLEL_LEVEL'

build: $(BUILT) ## compile, and install into .venv so that edited Python files are live

test: build ## C++ tests, then Python tests
	$(call say,C++ tests)
	@ctest --test-dir $(BUILD) --output-on-failure --no-tests=error
	$(call say,Python tests)
	@$(PY) -m pytest $(PYTEST_ARGS)

test-oldest-keras: PATHS := tests/tensorflow_door tests/xla_door tests/keras_door
test-oldest-keras: ## run the TensorFlow and Keras tests with the oldest Keras that TensorFlow takes (downloads it)
test-oldest-keras-quick: PATHS := $(OLDEST_KERAS_QUICK)
test-oldest-keras-quick: ## the same with a part of the tests
test-oldest-keras test-oldest-keras-quick: build $(OLDEST_KERAS_READY)
	$(call say,Python tests with the oldest Keras)
	@$(PY) -m pytest --keras-from $(OLDEST_KERAS) $(PATHS) $(PYTEST_ARGS)

test-fallbacks: build $(FALLBACK_READY) ## train beside stock Keras with TensorFlow 2.20, JAX and PyTorch (downloads them)
	$(call say,Building a wheel$(comma) and installing it beside other backends)
	@FASTREG_WITH_TF=ON $(PIP) wheel --quiet --no-build-isolation --no-deps --wheel-dir $(FALLBACKS) . -C build-dir=$(FALLBACKS)/build
	@for ready in $(FALLBACK_READY); do $${ready%.ready}bin/python -m pip --disable-pip-version-check install --quiet --no-deps \
	  --force-reinstall $(FALLBACKS)/fastreg-*.whl; done
	@FASTREG_FALLBACKS=$(FALLBACKS) $(PY) -m pytest tests/keras_door/test_fallbacks.py $(PYTEST_ARGS)

wheel: $(WHEEL_READY) ## sdist and wheel in dist: built, repaired, tested in an environment of their own
	@rm -rf dist $(WHEEL)
	$(call say,Building the sdist$(comma) and the wheel from it)
	@$(PY) -m build --no-isolation --outdir $(WHEEL)
	$(call say,Repairing the wheel)
	@mkdir dist
	@cp $(WHEEL)/*.tar.gz dist
	@$(PY) cmake/repair_wheel.py $(WHEEL)/*.whl dist
	$(call say,Testing the wheel with numpy alone)
	@$(PY) -m venv $(WHEEL)/env
	@$(PY) cmake/requirements.py wheel-test > $(WHEEL)/requirements.txt
	@$(WHEEL_PIP) install --quiet dist/*.whl -r $(WHEEL)/requirements.txt
	@$(WHEEL_PY) -m pytest tests/test_minimal.py tests/wheel --wheel dist/*.whl
	@if [ "$$($(WHEEL_PY) -c 'import fastreg; print(fastreg.build_info()["tensorflow"])')" != None ]; then \
	  $(MAKE) wheel-with-tensorflow; fi

wheel-with-tensorflow:
	$(call say,Testing the wheel with TensorFlow)
	@$(WHEEL_PIP) install --quiet "$$(echo dist/*.whl)[tf-cpu]"
	@$(WHEEL_PY) -m pytest tests/test_minimal.py tests/wheel --wheel dist/*.whl
	@$(WHEEL_PY) -m fastreg

demo: build ## train a small network with and without fastreg, and measure a larger one
	$(call say,The same training$(comma) with stock Keras and with fastreg)
	@$(PY) examples/digits.py --quiet
	$(call say,What it is worth)
	@$(PY) examples/digits_cnn.py --picture build/demo/digits_cnn.png

bench: $(BENCH_BUILT) ## measure fastreg beside its peers and the memory limit: a table, JSON, pictures
	@$(BENCH_PY) bench/run.py $(BENCH_ARGS)

bench-quick: $(BENCH_BUILT) ## the same with few sizes and rounds, written to build/bench-quick
	@$(BENCH_PY) bench/run.py --quick $(BENCH_ARGS)

lint: $(LINT_READY) ## check formatting, types and common mistakes
	@$(PY) -m ruff check
	@$(PY) -m mypy
	@$(PY) -m ruff format --check
	@$(VENV)/bin/clang-format --dry-run --Werror $(CXX_FILES)

format: $(LINT_READY) ## put right what lint can put right by itself
	@$(PY) -m ruff check --fix-only
	@$(PY) -m ruff format
	@$(VENV)/bin/clang-format -i $(CXX_FILES)

clean: ## remove what was built; .venv stays
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./$(VENV) -prune -o -name __pycache__ -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo 'fastreg needs Python 3.10 or newer, and $(PYTHON) is not; name another one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'The venv module of $(PYTHON) is missing; on Debian and Ubuntu it is in the package python3-venv.' >&2; exit 1; }
	$(call say,Making $(VENV))
	@$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml cmake/build_backend.py cmake/find_tensorflow.py cmake/requirements.py | $(PY)
	$(call say,Installing what the build and the tests need (TensorFlow takes a while))
	@$(PIP) --version >/dev/null 2>&1 || $(PY) -m ensurepip
	@$(PIP) install --quiet 'tomli; python_version < "3.11"'
	@$(PY) cmake/requirements.py build-system test > $(REQUIREMENTS)
	@$(PIP) install --quiet -r $(REQUIREMENTS)
	@$(PY) cmake/requirements.py backend > $(REQUIREMENTS)
	@$(PIP) install --quiet -r $(REQUIREMENTS)
	@touch $@

$(BENCH_PY):
	$(call say,Making $(BENCH_VENV))
	@$(PYTHON) -m venv $(BENCH_VENV)

$(BENCH_READY): pyproject.toml cmake/requirements.py | $(BENCH_PY)
	$(call say,Installing the peers: PyTorch$(comma) JAX$(comma) TensorFlow (this takes a while))
	@$(BENCH_PIP) install --quiet 'tomli; python_version < "3.11"'
	@$(BENCH_PY) cmake/requirements.py build-system bench > $(BENCH_REQUIREMENTS)
	@$(BENCH_PIP) install --quiet -r $(BENCH_REQUIREMENTS)
	@$(BENCH_PY) cmake/requirements.py backend > $(BENCH_REQUIREMENTS)
	@$(BENCH_PIP) install --quiet -r $(BENCH_REQUIREMENTS)
	@touch $@

$(BENCH_BUILT): $(BENCH_READY) $(SOURCES) $(shell find python/fastreg -name '*.py')
	$(call say,Building fastreg for the benchmarks (the first time takes minutes))
	@touch $(BENCH_VENV)/.started
	@PATH="$(CURDIR)/$(BENCH_VENV)/bin:$$PATH" FASTREG_WITH_TF=ON $(BENCH_PIP) install --quiet --no-build-isolation --no-deps --force-reinstall . \
	  -C build-dir=build/bench -C cmake.define.FASTREG_BUILD_BENCH=ON
	@mv $(BENCH_VENV)/.started $@

$(FALLBACKS)/tensorflow-2.20/.ready: REQUIRED := 'tensorflow-cpu~=2.20.0' keras
$(FALLBACKS)/jax-and-torch/.ready: REQUIRED := keras 'jax~=0.10.0' 'torch==2.13.0'
$(FALLBACK_READY):
	$(call say,Making $(@D))
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check install --quiet $(REQUIRED)
	@touch $@

$(OLDEST_KERAS_READY): $(READY) cmake/requirements.py
	$(call say,Installing the oldest Keras that TensorFlow takes in $(@D))
	@rm -rf $(@D)
	@$(PY) cmake/requirements.py oldest-keras > $(REQUIREMENTS)
	@$(PIP) install --quiet --no-deps --target $(@D) -r $(REQUIREMENTS)
	@touch $@

$(LINT_READY): pyproject.toml $(READY)
	@$(PY) cmake/requirements.py lint > $(REQUIREMENTS)
	@$(PIP) install --quiet -r $(REQUIREMENTS)
	@touch $@

$(WHEEL_READY): pyproject.toml $(READY)
	@$(PY) cmake/requirements.py wheel > $(REQUIREMENTS)
	@$(PIP) install --quiet -r $(REQUIREMENTS)
	@touch $@

$(BUILT): $(READY) $(SOURCES)
	$(call say,Building fastreg (the first time takes minutes))
	@rm -f $(BUILD)/.built-*
	@touch $(VENV)/.started  # its time becomes the stamp's: an edit made during the build counts as new
	@$(PIP) install --quiet --no-build-isolation --editable . \
	  -C build-dir=$(BUILD) -C cmake.define.FASTREG_BUILD_TESTS=ON
	@mv $(VENV)/.started $@
