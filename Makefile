# Tokencache. `make help` lists what there is.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test acceptance bench build install dotnet-pack lint bless clean

PREFIX ?= /usr/local
RELEASE = $(or $(CARGO_TARGET_DIR),target)/release

help: ## this list
	@printf 'Tokencache: the token cache that every service can share.\n\n'
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: ## a narrated tour: two languages, one cache, an outage, the MFA night, figures measured as you watch
	@tools/prepare
	@$(MAKE) --no-print-directory build
	@python3 examples/demo/tour

test: ## every test against real parts; ends with "N passed, N failed, N skipped"
	@tools/prepare valgrind strace redis-server openssl gdb cmake pkg-config
	@tests/run

acceptance: ## the long lines: millions of operations, whole; with the figures
	@tools/prepare valgrind strace redis-server openssl gdb cmake pkg-config libhiredis-dev
	@tests/run --long
	@benches/run

bench: ## speed and memory beside the bars of the design, in one table
	@tools/prepare valgrind strace redis-server libhiredis-dev
	@benches/run

build: ## the library and the command line in target/release
	@$(CARGO) build --release --locked
	@ln -sf libtokencache.so $(RELEASE)/libtokencache.so.1

install: build ## library, headers, command line, man page below PREFIX (/usr/local); with DESTDIR for packages
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' tools/install $(RELEASE)

dotnet-pack: build ## the NuGet packages in target/dotnet/packages; NATIVE= names another library to pack
	@tools/dotnet-pack $(or $(NATIVE),$(RELEASE)/libtokencache.so)

lint: ## format, clippy
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bless: ## rewrite what is generated: header, bindings, schema, README table
	@$(CARGO) run --quiet --locked -p tokencache-generator -- --write
	@BLESS=1 $(CARGO) test --quiet --locked --test generated --test config_document

clean: ## everything that was built
	@$(CARGO) clean
