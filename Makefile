# The things one does with a checkout. `run` and `test` set everything up by themselves (.ci/setup); nothing else is needed first.
.DEFAULT_GOAL := help
.PHONY: help run test check screenshots clean
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
# Two processes, whole files each, in the order of collection: fixtures of a file are made once, browser tests come last.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Set up what is missing and start PrefRoute (PYTHON=/path/to/python3 chooses the Python)
	@bash .ci/setup run
	@$(BIN)/python cli.py run

test: ## Set up what is missing and run every test (PYTEST_ARGS="-k rating -x" is passed on)
	@bash .ci/setup test
	@$(BIN)/python -m pytest $(TWO) $(PYTEST_ARGS)

check: ## Lint, format check, types, Dockerfile
	@bash .ci/setup test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

screenshots: ## Every page as a picture, in tests/browser/screenshots
	@bash .ci/setup test
	@$(BIN)/python -m tests.browser.screenshots

# Renamed before it is removed: a clean that is interrupted must not leave a .venv that looks whole.
clean: ## Remove .venv and caches, never data/
	@if [ -e .venv ]; then mv -T .venv .venv.old.$$$$; fi
	@rm -rf .venv.old.* .venv-install.log .pytest_cache .mypy_cache .ruff_cache .hypothesis .screenshots-failed
	@find . -path ./data -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
