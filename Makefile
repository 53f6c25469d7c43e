# rematd. `make` builds bin/rematd and bin/rematctl; `make demo` and `make test` do everything on a fresh machine.
#   make run | demo | gpt2 | test [SUITE=name] [V=1] | check | check-full [SUITE=name] | house | bench [QUICK=1] | bench-check [KEEP=1] | bench-http | bench-load | bench-step | bench-ops | bench-optimal [MEASURE=1] | fuzz | fuzz-api [REQUESTS=] [SEED=] | torture [PARTS='kill_loop ...'] [MINUTES=] | torture-quick | test-page | swagger | fmt | man | deb | check-metrics | install [PREFIX=] | image | clean
# VARIANT=plain|asan|tsan picks a build; objects live in build/VARIANT.

VARIANT ?= plain
PREFIX  ?= /usr/local
ifeq ($(origin CC),default)
CC      := gcc
endif
Q       := $(if $(V),,@)
B       := build/$(VARIANT)
VERSION := 0.1.0

PACKAGES := libmicrohttpd jansson sqlite3 libpq gnutls inih zlib
WARN     := -Wall -Wextra -Wshadow -Wpointer-arith -Wvla -Walloca -Wstrict-prototypes -Wmissing-prototypes -Wno-missing-field-initializers -Werror
CFLAGS_plain := -O2 -g
CFLAGS_clang := -O2 -g
CFLAGS_asan  := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
CFLAGS_tsan  := -O1 -g -fno-builtin -fsanitize=thread -isystem tests/tsan
CFLAGS   := -std=c11 -D_GNU_SOURCE -I. -fPIC -ffp-contract=off -DREMATD_VERSION='"$(VERSION)"' $(WARN) $(CFLAGS_$(VARIANT)) $(EXTRA)
PKG_C     = $(shell pkg-config --cflags $(PACKAGES) libcurl)
LDFLAGS  := $(CFLAGS_$(VARIANT))
ENGINE_L := -lpthread -lm
SERVER_L  = $(shell pkg-config --libs $(PACKAGES))
CLIENT_L  = $(shell pkg-config --libs libcurl jansson)

ENGINE := $(wildcard engine/*.c engine/*/*.c)
SERVER := $(filter-out server/main.c,$(wildcard server/*.c))
RCTL   := $(wildcard clients/c/rematctl*.c)
RLIB   := $(wildcard clients/c/rematc.c clients/c/rematc_*.c)
LAWS   := $(wildcard tests/laws_*.c tests/dag_graphs.c)
TESTS  := $(wildcard tests/test_*.c tests/support*.c) $(LAWS) $(if $(filter tsan,$(VARIANT)),tests/tsan/main.c)
obj     = $(patsubst %.c,$(B)/%.o,$(1))

.PHONY: torture torture-quick swagger test-page fuzz-api man deb check-metrics all run demo gpt2 test check check-full house bench bench-check bench-http bench-load bench-step bench-ops bench-optimal bench-deps fuzz fmt install image clean deps units e2e record-truth record-minilm record-parameters record-training record-types

all: bin/rematd bin/rematctl

# ---- what is built ----

bin/rematd: $(call obj,server/main.c $(SERVER) $(ENGINE))
	@mkdir -p bin
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(SERVER_L) $(ENGINE_L)

bin/rematctl: $(call obj,$(RCTL) $(RLIB))
	@mkdir -p bin
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(CLIENT_L) -lpthread -lm

$(B)/libremat.a: $(call obj,$(ENGINE))
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(B)/libremat.so.0: $(call obj,$(ENGINE)) engine/remat.map
	$(Q)$(CC) -shared -Wl,-soname,libremat.so.0 -Wl,--version-script=engine/remat.map $(LDFLAGS) $(filter %.o,$^) -o $@ $(ENGINE_L)

$(B)/tests/all: $(call obj,$(TESTS) $(SERVER) $(ENGINE) $(RLIB))
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(TEST_L) $(SERVER_L) $(CLIENT_L) $(ENGINE_L)
TEST_L := $(if $(filter tsan,$(VARIANT)),,-lcriterion)

$(B)/engine/kernels/%.o: CFLAGS += -fno-math-errno -fno-trapping-math $(if $(filter plain,$(VARIANT)),-O3)
$(B)/server/api_service.o: docs/openapi.json
$(B)/server/api_page.o $(B)/server/api_docs.o: $(wildcard server/web/* build/swagger/*)

$(B)/%.o: %.c
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(CFLAGS) $(PKG_C) -MMD -MP -c $< -o $@

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- what is done with it ----

deps:
	@.ci/install

run: all
	bin/rematd serve

demo: deps
	@$(MAKE) -s -j2 all
	@clients/demo.sh

# GPT-2 small, trained for real under five strategies: the table of the README. Takes a minute or two and 4 GB.
gpt2: deps
	@$(MAKE) -s -j2 all
	@clients/gpt2.sh

# Every suite, then the daemon end to end. With SUITE, that suite alone.
test: deps
	@$(MAKE) -s -j2 all units
	@$(if $(SUITE),,$(MAKE) -s e2e)

units: $(B)/tests/all
	@tests/run.sh $(B)/tests/all $(VARIANT) '$(SUITE)' '$(V)'

e2e: all $(B)/libremat.a $(B)/libremat.so.0
	@tests/e2e/e2e.sh

# The long form of everything: sanitizers, long runs.
check: test house
	@$(MAKE) -s -j2 VARIANT=asan units
	@$(MAKE) -s -j2 VARIANT=tsan units
	@$(MAKE) -s check-full

# The suites in their long form: every combination of settings of a training step, deep models, many more plans.
check-full:
	@REMATD_TESTS_LONG=1 $(MAKE) -s -j2 units

house:
	@tests/house.sh

# Programs are bench_*.c; the other files are what they share. Kernels beside OpenBLAS, PyTorch and ONNX Runtime (in an
# environment of its own under build/peers), steps, planning: most of an hour; QUICK=1: some minutes. Docs: kernels.md.
BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/bench_*.c))
BENCH_PARTS := $(filter-out tests/bench/bench_%.c tests/bench/idle_http.c,$(wildcard tests/bench/*.c))
$(call obj,$(wildcard tests/bench/*.c)): PKG_C += $(shell pkg-config --cflags openblas)
$(call obj,$(wildcard tests/bench/*.c)): | bench-deps
bench-deps:
	@.ci/install bench
$(B)/bench/%: $(B)/tests/bench/%.o $(call obj,$(BENCH_PARTS) $(LAWS)) $(B)/libremat.a
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ -lopenblas $(ENGINE_L)
bench: $(BENCHES)
	@QUICK=$(QUICK) tests/bench/bench.sh $(B)/bench

# Has a kernel become slower than tests/bench/ratios.json says? KEEP=1 writes it, ROWS='flash backward': of names that begin so.
bench-check: $(B)/bench/bench_kernels
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE tests/bench/ratios.py $< $(if $(KEEP),--keep) $(if $(ROWS),'$(ROWS)')

# What a planning query costs beside a handler that does nothing. ROUNDS= and SECONDS_EACH= make it longer.
$(B)/bench/idle_http: $(B)/tests/bench/idle_http.o
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(SERVER_L)
bench-http: all $(B)/bench/idle_http
	@tests/bench/http.sh $(B)/bench/idle_http $(ROUNDS) $(SECONDS_EACH)

# The daemon under load: plans, durable jobs, pages of lists, what the queue adds to a job. SECONDS_EACH= of a row, STORED= jobs,
# PARTS='plans jobs pages drain' for some of it.
bench-load: all $(B)/bench/idle_http
	@tests/bench/load.sh $(B)/bench/idle_http "$(or $(SECONDS_EACH),5)" "$(or $(STORED),100000)" "$(or $(PARTS),plans jobs pages drain)"

# Training steps of GPT-2 small beside PyTorch's. STEP= narrows it: STEP='--seq 512'. bench-ops: op by op.
bench-step: $(B)/bench/bench_step
	@python3 tests/bench/step_table.py $(B)/bench/bench_step $(STEP)
bench-ops: $(B)/bench/bench_linear $(B)/bench/bench_ops
	@for t in 1 2; do $(B)/bench/bench_linear $$t; $(B)/bench/bench_ops $$t; \
	  OMP_NUM_THREADS=$$t OMP_WAIT_POLICY=PASSIVE tests/bench/peers.sh ops_torch.py || exit 1; done

# Optimal plans beside every named strategy, of Llama-3-8B; with MEASURE=1 of GPT-2 small, each run (some minutes).
bench-optimal: all
	@tests/bench/optimal_table.py $(if $(MEASURE),--measure)

fuzz:
	@tests/fuzz/run.sh $(SECONDS_EACH)

# Requests made from docs/openapi.json, each answer held against it; REQUESTS=, SEED=. Then schemathesis, where PyPI has it.
fuzz-api: all
	@tests/fuzz/api.sh $(or $(REQUESTS),20000) $(or $(SEED),1)

# The page in Debian's chromium, by playwright-core from npm; left out where either can't be had.
test-page: all
	@tests/page/page.sh

# Swagger UI for /docs, from npm; `make` afterwards builds it in.
swagger:
	@server/web/swagger.sh build/swagger

# The daemon under kills, failing disks and memory, raw and slow clients, for hours: one table. torture-quick: a minute.
# MINUTES=30 of soak, SEED= repeats a run; CONTAINER='podman' IMAGE=rematd for the flood of jobs in 256 MiB (make image).
torture: all
	@.ci/install torture
	@MINUTES=$(or $(MINUTES),30) tests/torture/torture.py --long $(PARTS)
torture-quick: all
	@tests/torture/torture.py $(PARTS)

fmt:
	clang-format -i $$(git ls-files '*.c' '*.h')

# ---- leaving the house ----

install: all man $(B)/libremat.a $(B)/libremat.so.0
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin bin/rematd bin/rematctl
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 build/man/rematd.1 build/man/rematctl.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include engine/remat.h clients/c/rematc.h
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib $(B)/libremat.a
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib $(B)/libremat.so.0
	ln -sf libremat.so.0 $(DESTDIR)$(PREFIX)/lib/libremat.so
	@mkdir -p $(DESTDIR)$(PREFIX)/lib/pkgconfig
	printf 'prefix=%s\nName: remat\nDescription: gradient checkpointing in exactly the planned bytes\nVersion: %s\nCflags: -I$${prefix}/include\nLibs: -L$${prefix}/lib -lremat\nLibs.private: $(ENGINE_L)\n' '$(PREFIX)' '$(VERSION)' > $(DESTDIR)$(PREFIX)/lib/pkgconfig/remat.pc

# Their flags are those that the programs list.
man: build/man/rematd.1 build/man/rematctl.1
build/man/%.1: deploy/man/%.1.in deploy/man/page.sh bin/%
	@mkdir -p build/man
	@deploy/man/page.sh $* bin/$* $(VERSION) >$@.new && mv $@.new $@

# A Debian package in build/, checked by lintian where that is installed.
deb: all man
	@deploy/deb/build.sh $(VERSION)

# What /metrics answers, the rules and the dashboard, held against Prometheus's own tool (fetched from Debian where it is not there).
check-metrics: all
	@tests/promtool.sh

image:
	@set -e; for tool in docker podman buildah; do command -v $$tool >/dev/null || continue; \
	  if [ $$tool = buildah ]; then exec buildah bud -t rematd -f docker/Dockerfile .; fi; \
	  exec $$tool build -t rematd -f docker/Dockerfile .; done; echo "image: needs docker, podman or buildah" >&2; exit 1

clean:
	rm -rf build bin

# These need PyPI packages; what they record is committed.
record-truth:
	tests/data/record.sh record_attention.py
record-minilm:
	tests/data/record.sh record_minilm.py
record-parameters:
	tests/data/record.sh record_parameters.py
record-training:
	tests/data/record.sh record_training.py
record-types:
	tests/data/record.sh record_types.py
