# Tokencache. `make help` lists what there is.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test acceptance soak fuzz asan tsan bench bench-dotnet bench-gate bench-curves build install wheel dotnet-pack lint bless clean

PREFIX ?= /usr/local
MINUTES ?= 10
SECONDS ?= 60
RELEASE = $(or $(CARGO_TARGET_DIR),target)/release

help: ## this list
	@printf 'Tokencache: the token cache that every service can share.\n\n'
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-13s %s\n", $$1, $$2 }'

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

soak: build ## random faults over both L2s for MINUTES (10), histories checked, what is held sampled; one table
	@tools/prepare redis-server
	@TOKENCACHE_LIBRARY=$(abspath $(RELEASE))/libtokencache.so TOKENCACHE_SOAK_MINUTES=$(MINUTES) \
		$(CARGO) test --locked --test soak -- --nocapture

fuzz: ## each fuzz target for SECONDS (60), under AddressSanitizer; one table
	@tools/prepare
	@tools/fuzz --seconds $(SECONDS)

asan: ## the C and Rust suites under AddressSanitizer, leaks included
	@tools/prepare redis-server
	@tools/sanitize address

tsan: ## the concurrent suites under ThreadSanitizer
	@tools/prepare redis-server
	@tools/sanitize thread

bench: ## speed and memory beside the bars of the design, in one table; ROW=hit measures one alone
	@tools/prepare valgrind strace redis-server libhiredis-dev
	@benches/run $(if $(ROW),--only $(ROW))

bench-dotnet: ## the .NET binding beside its peers: ConcurrentDictionary, MemoryCache, FusionCache, HybridCache, the adapter
	@tools/prepare redis-server
	@benches/dotnet/run

bench-gate: ## instructions of each path beside the committed figures, with 3 % of room; BLESS=1 commits to those of now
	@tools/prepare valgrind
	@benches/gate $(if $(BLESS),--bless)

bench-curves: ## a hit as threads, values, entries and keys grow, drawn; BLESS=1 puts the plot into docs/
	@tools/prepare
	@benches/curves $(if $(BLESS),--bless)

build: ## the library and the command line in target/release
	@$(CARGO) build --release --locked
	@ln -sf libtokencache.so $(RELEASE)/libtokencache.so.1

install: build ## library, headers, command line, man page below PREFIX (/usr/local); with DESTDIR for packages
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' tools/install $(RELEASE)

wheel: ## the Python package in target/wheels, with a library for every Linux (x86_64) since glibc 2.28
	@tools/wheel

dotnet-pack: ## the NuGet packages in target/dotnet/packages, for every Linux (x86_64) since glibc 2.28
	@tools/dotnet-pack $(NATIVE)

lint: ## format, clippy
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bless: ## rewrite what is generated: header, bindings, schema, README table
	@$(CARGO) run --quiet --locked -p tokencache-generator -- --write
	@BLESS=1 $(CARGO) test --quiet --locked --test generated --test config_document

clean: ## everything that was built
	@$(CARGO) clean
