# SPDX-License-Identifier: Apache-2.0
# The short ways; meson does the building. `make help` lists them.
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
BENCH_ARGUMENTS ?=
ENDTOEND_ARGUMENTS ?=
COMPARE_ARGUMENTS ?=
LATENCY_ARGUMENTS ?=
REST_ARGUMENTS ?=
CURVES_ARGUMENTS ?=
TROUBLE_ARGUMENTS ?=
DESTINATIONS_ARGUMENTS ?=
CONFIG ?=

meson = /usr/bin/meson
python = /usr/bin/python3
pytest = $(python) -m pytest -p no:cacheprovider
measured = endtoend compare latency curves trouble rest destinations
room_files = $(wildcard meson.build meson_options.txt engine/*/meson.build)

export PYTHONDONTWRITEBYTECODE = 1

.PHONY: help setup setup-needed build run test check tidy format bench fuzz soak torture
.PHONY: endtoend compare latency rest curves trouble destinations tables install clean test-aarch64
.DEFAULT_GOAL = build

help:
	@echo 'make setup    install what is missing to build and test (Debian; as root or through sudo)'
	@echo 'make build    compile into build/'
	@echo 'make run      setup, build, and run the daemon in the foreground (CONFIG=FILE)'
	@echo 'make test     everything that must hold; the last line says how much passed'
	@echo 'make check    the quick part of it: unit tests, corpora, tidy'
	@echo 'make test-aarch64  libyarder cross-built, its unit tests under qemu'
	@echo 'make tidy     the rules of the source alone; make format: clang-format over all of it'
	@echo 'make bench    each leaf of the path of a record, alone (BENCH_ARGUMENTS=...)'
	@echo 'make endtoend from a producer to the landing: rates, CPU, losses (ENDTOEND_ARGUMENTS=...)'
	@echo 'make compare  the same beside other log shippers (COMPARE_ARGUMENTS=...)'
	@echo 'make latency  what one call costs the program that logs (LATENCY_ARGUMENTS=...)'
	@echo 'make rest     what the daemon costs while nothing is logged (REST_ARGUMENTS=...)'
	@echo 'make curves   how the cost grows: sizes, senders, patterns, outputs (CURVES_ARGUMENTS=...)'
	@echo 'make trouble  a good file beside a hanging and a slow one (TROUBLE_ARGUMENTS=...; as root)'
	@echo 'make destinations  redis, ZeroMQ, GELF ... beside a bare loop (DESTINATIONS_ARGUMENTS=...)'
	@echo 'make tables   what these found, put into docs/performance.md'
	@echo 'make fuzz     each fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make soak     the long scenes; make torture: kill and fault at random'
	@echo 'make install  into PREFIX=$(PREFIX), below DESTDIR'
	@echo 'make clean    remove build/ and its siblings'

setup:
	@packaging/setup.sh needed backends test

setup-needed:
	@packaging/setup.sh needed backends

# meson is asked again when a room came or went; what changed inside one ninja sees by itself.
build/build.ninja: $(room_files)
	$(meson) setup $(if $(wildcard build/build.ninja),--reconfigure) build
	@touch $@

build: build/build.ninja
	ninja -C build

run: setup-needed
	@$(MAKE) --no-print-directory build
	build/yarder run $(CONFIG)

test: setup
	@bench/peers.sh --rsyslog || true
	@$(python) tests/run.py

check:
	@$(python) tests/run.py --quick

test-aarch64:
	@tests/aarch64/run.sh

tidy:
	@$(python) tests/tidy.py

format:
	git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format-14 -i

bench: setup
	@$(MAKE) --no-print-directory build
	@mkdir -p build/reports
	$(python) bench/leaves.py --json build/reports/leaves.json $(BENCH_ARGUMENTS)

endtoend: setup
	@$(MAKE) --no-print-directory build
	@mkdir -p build/reports
	$(python) bench/endtoend.py --json build/reports/endtoend.json $(ENDTOEND_ARGUMENTS)

compare: setup
	@bench/peers.sh || true
	@$(MAKE) --no-print-directory build
	@mkdir -p build/reports
	$(python) bench/compare.py --json build/reports/compare.json --svg build/reports \
	    $(COMPARE_ARGUMENTS)

latency: setup
	@bench/peers.sh || true
	@$(MAKE) --no-print-directory build
	@mkdir -p build/reports
	$(python) bench/latency.py --json build/reports/latency.json $(LATENCY_ARGUMENTS)

rest: setup
	@$(MAKE) --no-print-directory build
	@mkdir -p build/reports
	$(python) bench/rest.py --json build/reports/rest.json $(REST_ARGUMENTS)

curves: setup
	@$(MAKE) --no-print-directory build
	@mkdir -p build/reports
	$(python) bench/curves.py --json build/reports/curves.json --svg build/reports \
	    $(CURVES_ARGUMENTS)

trouble: setup
	@$(MAKE) --no-print-directory build
	@mkdir -p build/reports
	$(python) bench/trouble.py --json build/reports/trouble.json $(TROUBLE_ARGUMENTS)

destinations: setup
	@$(MAKE) --no-print-directory build
	@mkdir -p build/reports
	$(python) bench/destinations.py --json build/reports/destinations.json $(DESTINATIONS_ARGUMENTS)

tables:
	$(python) bench/tables.py $(wildcard $(measured:%=build/reports/%.json))

# What a target finds stays in build-fuzz/found/, what it learned in build-fuzz/learned/.
fuzz: setup
	[ -f build-fuzz/build.ninja ] || CC=clang-14 $(meson) setup build-fuzz -Dfuzz=true \
	    -Dtests=disabled -Dbench=disabled -Db_sanitize=address,undefined -Db_lundef=false
	ninja -C build-fuzz fuzzers
	@mkdir -p build-fuzz/found
	@for target in build-fuzz/fuzz/fuzz-*; do \
	    [ -f "$$target" ] || continue; \
	    name=$${target##*/fuzz-}; \
	    learned="build-fuzz/learned/$$name"; \
	    mkdir -p "$$learned"; \
	    echo "== $$name, $(FUZZ_SECONDS) s"; \
	    "$$target" -max_total_time=$(FUZZ_SECONDS) -timeout=5 -print_final_stats=1 -verbosity=0 \
	        -artifact_prefix="build-fuzz/found/$$name-" "$$learned" "fuzz/corpus/$$name" || exit 1; \
	done

soak torture: setup
	@$(MAKE) --no-print-directory build
	$(pytest) tests/scenes -m long -k $@ -v

install:
	[ -f build-install/build.ninja ] || $(meson) setup build-install -Dtests=disabled -Dbench=disabled
	$(meson) configure build-install --prefix=$(PREFIX)
	ninja -C build-install
	DESTDIR=$(DESTDIR) $(meson) install -C build-install --no-rebuild

clean:
	rm -rf build build-asan build-tsan build-epoll build-fuzz build-install build-aarch64
