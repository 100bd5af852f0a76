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

export PYTHONDONTWRITEBYTECODE = 1

.PHONY: demo test check test-blender zip bench gui corpus clean

demo: $(READY)  ## a new person, six emotions: demo/dimple.blend, contact_sheet.png, dimple.mp4
	$(BIN)/python demo/demo.py

test: $(READY) check  ## checks and every test that needs no window
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

corpus: $(READY)  ## the Dimple head and the 4D corpus, from ICT-FaceKit
	$(BIN)/python -m models corpus template --ict $(ICT)
	$(BIN)/python -m models corpus build --ict $(ICT)

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	for spec in $(TORCH_SPECS); do $(PIP) $$spec && break; done
	$(BIN)/python -c '$(LIST); print("\n".join(p["dependencies"] + sum(p["optional-dependencies"].values(), [])))' > $(VENV)/requirements.txt
	$(PIP) --requirement $(VENV)/requirements.txt
	touch $@

clean:
	rm -rf .venv .venv-* build .pytest_cache .ruff_cache
