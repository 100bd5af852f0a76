# The only place that knows how an environment is made. On a fresh machine: `make demo`, `make test`.
#   TORCH=cuda make ...   CUDA build of torch instead of the CPU one
PYTHON ?= python3.11
TORCH ?= cpu
VERSION ?= 4.2
ICT ?= ../shared/data/ict-facekit

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready-$(TORCH)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LIST := import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]
TORCH_VERSION := 2.13.0
# A CPU build carries the local version +cpu where it is offered under that name; elsewhere the plain one serves.
TORCH_SPECS := $(if $(filter cpu,$(TORCH)),torch==$(TORCH_VERSION)+cpu torch==$(TORCH_VERSION),torch==$(TORCH_VERSION))

BLENDER_EXT = $(firstword $(wildcard $(VENV)/lib/python3.*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py))
BPY_4.2 := 4.2.23
BPY_5.0 := 5.0.1
BLENDER_TEST_NEEDS := numpy==1.26.4 pytest==9.2.0 pytest-timeout==2.4.0 hypothesis==6.170.15

export PYTHONDONTWRITEBYTECODE = 1

.PHONY: demo test check test-blender zip bench gui corpus clean

demo: $(READY)  ## a new person with skin, six emotions: demo/dimple.blend, contact_sheet.png, lookdev_sheet.png, dimple.mp4
	$(BIN)/python demo/demo.py

test: $(READY) check  ## checks and every test that needs no window
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test-blender: $(READY) .venv-$(VERSION)/ready  ## the Blender tests on another Blender: VERSION=4.2 or 5.0
	timeout 1800 .venv-$(VERSION)/bin/python -m pytest tests/blender

zip: $(READY)  ## build/dimple.zip, built and validated by Blender's own tool
	mkdir -p build
	$(BIN)/python $(BLENDER_EXT) build --source-dir . --output-filepath build/dimple.zip
	$(BIN)/python $(BLENDER_EXT) validate build/dimple.zip

gui: zip  ## drive a real Blender window (BLENDER=path, or none: a virtual screen) and photograph it
	bash tests/window/run.sh build/dimple.zip build/window

bench: $(READY)  ## measure speed, as ratios in one run: bench.json
	$(BIN)/python -m models bench --json bench.json
	$(BIN)/python -m tests.bench_blender bench.json

corpus: $(READY)  ## the Dimple head and the 4D corpus, from ICT-FaceKit
	$(BIN)/python -m models corpus template --ict $(ICT)
	$(BIN)/python -m models corpus build --ict $(ICT)

.venv-%/ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check bpy==$(BPY_$*) $(BLENDER_TEST_NEEDS)
	touch $@

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	for spec in $(TORCH_SPECS); do $(PIP) $$spec && break; done
	$(BIN)/python -c '$(LIST); print("\n".join(p["dependencies"] + sum(p["optional-dependencies"].values(), [])))' > $(VENV)/requirements.txt
	$(PIP) --requirement $(VENV)/requirements.txt
	touch $@

clean:
	rm -rf .venv .venv-* build .pytest_cache .ruff_cache
