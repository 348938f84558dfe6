# Tokencache. `make help` lists what there is.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test acceptance bench lint bless clean

help: ## this list
	@printf 'Tokencache: the token cache that every service can share.\n\n'
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: ## a narrated tour: two languages, one cache, an outage, figures measured as you watch
	@tools/prepare
	@$(CARGO) build --release --locked
	@python3 examples/demo/tour

test: ## every test against real parts; ends with "N passed, N failed, N skipped"
	@tools/prepare valgrind strace
	@tests/run

acceptance: ## the long lines: millions of operations, whole; with the figures
	@tools/prepare valgrind strace
	@tests/run --long
	@benches/run

bench: ## speed and memory beside the bars of the design, in one table
	@tools/prepare valgrind strace
	@benches/run

lint: ## format, clippy
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bless: ## rewrite what is generated: header, bindings, schema, README table
	@$(CARGO) run --quiet --locked -p tokencache-generator -- --write
	@BLESS=1 $(CARGO) test --quiet --locked --test generated --test config_document

clean: ## everything that was built
	@$(CARGO) clean
