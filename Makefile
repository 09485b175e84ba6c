# What people run, and what the CI runs: the same.

.PHONY: help demo demo-kubernetes release release-profiled test fire bench-audit bench-decide bench-proxy bench-search bench-verify check supply
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

help: ## say what there is
	@echo "Bailiwick. Type make and one of:"
	@awk -F ':.*## ' '/^[a-z-]*:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

demo: ## install a Postgres if there is none, build, and run the demonstration
	@echo "==> demo: what it needs"
	@tests/install demo
	@echo "==> demo: build (some minutes the first time)"
	@cargo build --locked --bin bailiwick
	@echo "==> demo: run; Ctrl-C stops all that it starts"
	@exec target/debug/bailiwick demo $(ARGS)

demo-kubernetes: ## the demonstration with a real Kubernetes control plane behind it (needs Go 1.26, or Python to get it)
	@echo "==> demo-kubernetes: what it needs"
	@tests/install demo kubernetes
	@echo "==> demo-kubernetes: build (many minutes the first time)"
	@cargo build --locked --bin bailiwick
	@exec tests/demo-kubernetes $(ARGS)

release: ## build what runs for real, target/dist/bailiwick
	@echo "==> release: build (many minutes the first time)"
	@cargo build --locked --profile dist --bin bailiwick
	@echo "target/dist/bailiwick"

release-profiled: ## the same, fitted to what it was seen doing under load, target/profiled/bailiwick (takes more than twice as long)
	@echo "==> release-profiled: what it needs"
	@tests/install demo profile
	@exec tests/train

test: ## install what the tests need, and run all of them
	@echo "==> test: what the tests need"
	@tests/install demo browser provider evidence ocsf loki telegraf syslog kubernetes
	@echo "==> test: build and run"
	@cargo test --locked --quiet

fire: ## kill brokers and Postgres at random points under load, 200 rounds, and break the database in other ways (needs root)
	@tests/install demo
	@FIRE_ROUNDS=$${FIRE_ROUNDS:-200} cargo test --locked --quiet --test it fire:: -- --nocapture --include-ignored --test-threads=1 $(ARGS)

bench-audit: ## how fast the log makes entries durable, beside plain COPY into the same Postgres (ARGS="--rounds 5")
	@tests/install demo
	@echo "==> bench-audit: build (many minutes the first time)"
	@cargo bench --locked --profile dist --bench audit -- $(ARGS)

bench-decide: ## how long a decision takes with up to 10,000 rules, remembered and not (ARGS=5 rounds)
	@cargo bench --locked --bench decide -- $(ARGS)

bench-search: ## how long searching a made-up log takes; SIZE=10000000 for ten million entries (some 22 GB of disk)
	@tests/install demo
	@cargo bench --locked --bench history -- $(or $(SIZE),1000000) search

bench-verify: ## what checking a made-up log takes; SIZE as above, BINARY=another build, ARGS=search to search the same log as well
	@tests/install demo
	@echo "==> bench-verify: build (many minutes the first time)"
	@cargo bench --locked --profile dist --bench history -- $(or $(SIZE),1000000) verify $(addprefix binary=,$(BINARY)) $(ARGS)

check: ## formatting, lints, documentation, the rules of the house
	@.ci/check

supply: ## licences, bans, sources and advisories of every dependency; run it whenever Cargo.lock changes
	@.ci/supply

bench-proxy: ## what a request costs, beside nginx and Envoy; ROUNDS=5 rounds, about a minute each; BINARY=another build
	@echo "==> bench-proxy: what it needs"
	@tests/install demo bench
	@[ -n "$(BINARY)" ] || echo "==> bench-proxy: build (many minutes the first time)"
	@[ -n "$(BINARY)" ] || cargo build --locked --profile dist --bin bailiwick
	@exec python3 tests/bench/proxy.py $(or $(BINARY),target/dist/bailiwick) .cache/bench/bin/envoy
