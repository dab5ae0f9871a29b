# make sweep, make test: the two commands of the README. Everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
OUT ?= reports/sweep-$(shell date -u +%Y%m%dT%H%M%SZ)

.PHONY: help sweep check test test-slow test-kinds test-torch test-deep lint types budgets bench bench-measure soak zoo zoo-public profiles gpu gpu-table study study-compress study-gpu docs pictures wheel-check plotly release clean
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; say which: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@touch $@

.venv/.installed: .venv/.made pyproject.toml constraints.txt
	$(INSTALL) --editable .
	@touch $@

.venv/.dev: .venv/.installed
	$(INSTALL) --group dev
	@touch $@

sweep: .venv/.installed  ## build, count and measure every variant of the article's block configuration; write a report
	@$(BIN)/analyze sweep --blocks 2,4,3,2 --out $(OUT)

check: lint types budgets docs wheel-check test test-slow test-kinds  ## all that CI does, in its order

PYTEST := $(BIN)/python -m pytest --dist worksteal
test: .venv/.dev  ## the tests, on two processes; without the slow ones
	$(PYTEST) -n 2 -m 'not slow'

# On three processes: these wait more than they compute.
test-slow: .venv/.dev  ## the slow tests: real kills, clusters, browsers, many processes
	$(PYTEST) -n 3 -m slow

# Another processor, simulated: no AVX-512, no bfloat16 units, no vector kernels of torch's own; and on two threads.
test-kinds: .venv/.dev  ## the tests of measuring and memory as on an older processor
	OMP_NUM_THREADS=2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=default $(PYTEST) -n 2 tests/measure tests/cli/test_memory.py

# On the oldest torch that pyproject.toml takes, and on the newest: what peaks are proven on (reading/prediction.py).
TORCH_PYTHON ?= $(BIN)/python
test-torch:  ## the fast tests of counting, peaks and building on another torch: TORCH_PYTHON=PYTHON that has it and pytest
	PYTHONPATH=. $(TORCH_PYTHON) -m pytest -m 'not slow' tests/count tests/core/test_build.py tests/core/test_published.py

SEED ?= $(shell $(PYTHON) -c 'import secrets; print(secrets.randbelow(2**32))')
test-deep: .venv/.dev  ## the property tests with ten times the examples, under a fresh seed (what it finds: an @example)
	$(PYTEST) -n 2 -m hypothesis --hypothesis-profile deep --hypothesis-seed=$(SEED)

lint: .venv/.dev  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev  ## mypy, strict
	$(BIN)/mypy

budgets: .venv/.installed  ## what this repository's own models may cost, and that analyzer.lock says what they do
	$(BIN)/analyze check
	$(BIN)/analyze lock --check >/dev/null

bench: .venv/.dev  ## speed, one JSON line a figure
	@$(BIN)/python tests/bench/bench.py

bench-measure: .venv/.dev  ## whether the measuring protocol is honest: a model against itself, 20 times (minutes)
	@$(BIN)/python tests/bench/bench_measure.py

N ?= 25
SEED ?= 0
soak: .venv/.dev  ## kills, damages and fuzzing, N of each (minutes): one line a kind; ONLY=lock for some
	@$(BIN)/python tests/soak/soak.py $(N) $(SEED) $(ONLY)

zoo: .venv/.dev  ## every counter on the model zoo, as reports/reference/zoo.md
	$(BIN)/python tests/zoo/table.py

# Another environment, of about 6 GB: torch 2.14.1, torchvision 0.29.1, timm, transformers. Hours; it goes on where it ended.
PUBLIC_PYTHON ?= python3
zoo-public:  ## every public architecture counted, as reports/reference/zoo-public.md (PUBLIC_PYTHON has them; MINUTES)
	@$(PUBLIC_PYTHON) -c 'import torch, torchvision, timm, transformers, msgspec, psutil' || { echo "say which: make zoo-public PUBLIC_PYTHON=…, with torch, torchvision, timm, transformers, msgspec, psutil"; exit 1; }
	nice -n 19 $(PUBLIC_PYTHON) tests/zoo/public_zoo.py --minutes $(MINUTES)

# Another environment, because the tables' models are traced with the torch and timm that have them all.
PROFILES_PYTHON ?= python3
PROFILES_NEEDS := torch, torchvision, timm, numpy, click, rich, jinja2, msgspec, psutil
profiles: .venv/.dev  ## GPU profiles from the public tables, and their page (an hour; PROFILES_PYTHON has torch 2.14.1, timm 1.0.31)
	@$(PROFILES_PYTHON) -c 'import $(PROFILES_NEEDS)' || { echo "say which: make profiles PROFILES_PYTHON=…, with $(PROFILES_NEEDS)"; exit 1; }
	PYTHONPATH=".:tests/profiles" $(PROFILES_PYTHON) tests/profiles/trace_models.py
	$(BIN)/python tests/profiles/fit_profiles.py

# Where the study's runs are kept: gigabytes of checkpoints, with which it goes on.
STUDY ?= reports/study
MINUTES ?= 240
study: .venv/.dev  ## the article's claim against DenseNet121, by training (resumable; MINUTES of CPU time, then its page)
	$(BIN)/python tests/study/study.py train $(STUDY) --minutes $(MINUTES)
	$(BIN)/python tests/study/study.py page $(STUDY)

study-compress: .venv/.dev  ## from which side to compress, from what the study trained (resumable; MINUTES of CPU time in all, then its page)
	$(BIN)/python tests/study/compress_study.py race $(STUDY) $(STUDY)-compress --minutes $(MINUTES)
	$(BIN)/python tests/study/compress_study.py page $(STUDY)-compress

# The system's Python, because a GPU machine has its own torch with CUDA: nothing is installed.
GPU_PYTHON ?= python3
GPU_NEEDS := torch, numpy, click, rich, jinja2, msgspec, psutil, pytest
GPU_RUN := PYTHONPATH=".$${PYTHONPATH:+:$$PYTHONPATH}" $(GPU_PYTHON)
# DATA is TrashNet's original images (512 x 384): what ships is too small for 150 px.
study-gpu:  ## the study on a GPU: 10 pairs at 150 px, the article's own network too; DATA=FOLDER
	@$(GPU_PYTHON) -c 'import $(GPU_NEEDS), PIL, safetensors, scipy' || { echo "needs on $(GPU_PYTHON): $(GPU_NEEDS), PIL, safetensors, scipy"; exit 1; }
	@test -n "$(DATA)" || { echo "say where TrashNet's original images are: make study-gpu DATA=dataset-resized"; exit 1; }
	$(GPU_RUN) tests/study/study.py train $(STUDY)-gpu --minutes inf --jobs 1 --pairs 10 --data $(DATA) --image 150 --device cuda
	$(GPU_RUN) tests/study/study.py page $(STUDY)-gpu --to reports/reference/generalisation-gpu

docs: .venv/.dev  ## the documentation as a site, build/site; a broken link fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

pictures: .venv/.dev  ## the README's pictures anew (needs Chromium and a font with emoji)
	$(BIN)/python tests/docs/take_pictures.py

# Nothing else needs npm: what this makes is committed.
PLOTLY := 4.1.1
BUNDLE := analyzer/reporting/bundle
plotly:  ## the page's plotly.js and its licence anew from npm, at PLOTLY (needs npm, once)
	mkdir -p build/plotly
	cd build/plotly && npm pack --silent plotly.js-basic-dist-min@$(PLOTLY) && tar -xzf plotly.js-basic-dist-min-$(PLOTLY).tgz
	cp build/plotly/package/LICENSE $(BUNDLE)/LICENSE
	gzip -9nc build/plotly/package/plotly-basic.min.js > $(BUNDLE)/plotly-basic.min.js.gz

wheel-check: .venv/.dev  ## the built wheel and sdist in a clean environment, outside the checkout
	BIN=$(CURDIR)/$(BIN) sh tests/wheel_check.sh

gpu:  ## on a machine with CUDA: the CUDA tests, and the reference measurements in reports/reference/
	@$(GPU_PYTHON) -c 'import $(GPU_NEEDS)' || { echo "make gpu runs on $(GPU_PYTHON), which must have: $(GPU_NEEDS)"; exit 1; }
	@$(GPU_PYTHON) -c 'import torch, sys; sys.exit(None if torch.cuda.is_available() else "no CUDA device: nothing was measured and nothing is written")'
	$(GPU_RUN) -m pytest -m cuda tests/gpu
	$(GPU_RUN) tests/gpu/reference.py

# DEVICE is what the profile will be called, such as h100; `make profiles` then fits one to the table.
gpu-table:  ## on a machine with CUDA and timm: a table of public architectures' times, beside the published ones; DEVICE
	@$(GPU_PYTHON) -c 'import $(GPU_NEEDS), scipy, timm' || { echo "needs on $(GPU_PYTHON): $(GPU_NEEDS), scipy, timm"; exit 1; }
	@test -n "$(DEVICE)" || { echo "say what the device is called: make gpu-table DEVICE=h100"; exit 1; }
	$(GPU_RUN) tests/profiles/time_models.py --device $(DEVICE)

VERSION = $(shell $(BIN)/python -c 'from analyzer.distribution import VERSION; print(VERSION)')
release: wheel-check docs  ## builds, checks and tags the version; uploads nothing
	@test -z "$$(git status --porcelain)" || { echo "a release is of a commit: commit or stash first"; exit 1; }
	@grep -q "^## $(VERSION) (20" CHANGELOG.md || { echo "CHANGELOG.md has no section '## $(VERSION) (YYYY-MM-DD)': write it"; exit 1; }
	@grep -q "^version: $(VERSION)$$" CITATION.cff || { echo "CITATION.cff says another version than $(VERSION)"; exit 1; }
	rm -rf dist && $(BIN)/python -m build --outdir dist
	git tag --annotate v$(VERSION) --message "$(VERSION)"
	@echo "tagged v$(VERSION); dist/ has what to upload, by hand"

clean:  ## what make made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
