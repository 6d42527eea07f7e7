# Every target prepares what it needs, says what it is doing, and does nothing twice.
# PYTHON=/path/to/python picks the interpreter; ARGS="..." is handed to the app or to pytest.

VENV = .venv/bin/python
SETUP = python=$$(sh scripts/find_python.sh) && "$$python" scripts/setup.py

.PHONY: help app test check format docs
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

app: ## prepare the environment and serve the app on http://127.0.0.1:7860
	@$(SETUP) runtime
	@$(VENV) -m app $(ARGS)

test: ## prepare the environment and a browser, then run every test
	@$(SETUP) dev browser axe
	@echo "tempo: running the tests"
	@OMP_NUM_THREADS=1 $(VENV) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

check: ## format, lint, types and the direction of imports
	@$(SETUP) dev
	@echo "tempo: checking the format"
	@$(VENV) -m ruff format --check .
	@echo "tempo: checking for lint"
	@$(VENV) -m ruff check .
	@# Gradio writes stubs beside its components, and leaves old imports in them.
	@rm -f app/*/*.pyi
	@echo "tempo: checking the types"
	@$(VENV) -m mypy
	@echo "tempo: checking the direction of imports"
	@$(VENV) -m pytest -q tests/test_imports.py

format: ## rewrite the sources in the agreed format
	@$(SETUP) dev
	@$(VENV) -m ruff format .
	@$(VENV) -m ruff check --fix .

docs: ## refresh the help texts in docs/commands.md
	@$(SETUP) dev
	@$(VENV) -m scripts.commands docs/commands.md
