# Weir. One Makefile, no recursion; everything it makes lies under build/.
#
#   make            libweir, the programs                 make check      all tests (root: all; else what needs none)
#   make demo       two FRR routers with Weir between     make lint       format, include order, clang-tidy, shellcheck
#   make bench      side by side with the kernel          make fuzz       each fuzz target for FUZZ_S=60 seconds
#   make install    DESTDIR= PREFIX=/usr                  make format     clang-format in place
#   make check-kernels KERNELS="6.1 6.12 newest"          the router on Debian's kernels, in QEMU; root, half an hour
#
# CC=gcc|clang   SAN=address|thread   V=1 shows commands   DEPS=0 never installs packages

CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PREFIX ?= /usr
SAN ?=
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $(1) $(2))

# Each kind of build has its own directory; the plain one is build/ itself.
variant := $(strip $(if $(SAN),$(SAN)) $(if $(findstring clang,$(CC)),clang))
B := build$(if $(variant),/$(subst $() $(),-,$(variant)))

PKGS := libxdp libbpf libnl-3.0 liburcu-qsbr jansson libpcap
VERSION := $(shell sed -n 's/^\#define WEIR_VERSION "\(.*\)"/\1/p' cnet/version.h)
WARN := -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wwrite-strings -Wcast-qual -Wpointer-arith \
	-Wmissing-prototypes -Wstrict-prototypes -Wimplicit-fallthrough -Wnull-dereference \
	-Wframe-larger-than=4096
comma := ,
san_flags := $(if $(filter address,$(SAN)),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined) \
	$(if $(filter thread,$(SAN)),-fsanitize=thread)
# The sanitizers' own frames are large, and gcc's flow analysis is misled by them.
san_warn := $(if $(SAN),-Wno-frame-larger-than -Wno-null-dereference)

# A failed assertion of cmocka's does not return, which gcc's flow analysis does not know.
test_warn := -Wno-null-dereference

CPPFLAGS += -I. -I$(B) -Ibuild/gen -Ibuild/include -D_GNU_SOURCE
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(WARN) $(if $(WERROR),-Werror) $(san_warn) $(CFLAGS) $(san_flags) -fno-strict-aliasing \
	$(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -lpthread
LDFLAGS += $(san_flags)

LIB_SRC := $(wildcard lib/*/*.c cnet/*.c cnet/*/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o)
# Programs as a user of the library writes them: one file, the installed headers.
EXAMPLES := l2fwd
PUBLIC_HEADERS := $(addprefix build/include/weir/,port.h)
ROUTER_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard apps/router/*.c))
WEIR_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tools/weir/*.c))
GEN_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tools/weir-gen/*.c))
BPF_SRC := $(wildcard bpf/*.bpf.c)
SKELS := $(BPF_SRC:bpf/%.bpf.c=build/gen/%.skel.h)
UNIT_SRC := $(shell find tests/unit tests/sim -name '*.c' 2>/dev/null)
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)
NETTOOL_SRC := $(wildcard tests/net/*.c)
NETTOOL_BIN := $(NETTOOL_SRC:%.c=$(B)/%)
BENCH_SRC := $(filter-out %.bpf.c,$(wildcard tests/bench/*.c))
BENCH_BIN := $(BENCH_SRC:%.c=$(B)/%)
BENCH_SKELS := $(patsubst tests/bench/%.bpf.c,build/gen/%.skel.h,$(wildcard tests/bench/*.bpf.c))
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=build/fuzz/%)

.PHONY: all check check-kernels demo bench fuzz fuzz-targets lint format install deps clean tests net-tools bench-tools
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/bin/weir-router $(B)/bin/weir $(B)/bin/weir-gen $(EXAMPLES:%=$(B)/bin/%)

# --- packages: asked for by what must work on a fresh machine, never by plain `make` --------------------------

deps:
	$(Q)tools/deps.sh

# --- the library and the programs -----------------------------------------------------------------------------

$(B)/libweir.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/bin/weir-router: $(ROUTER_OBJ) $(B)/libweir.a
$(B)/bin/weir: $(WEIR_OBJ) $(B)/libweir.a
$(B)/bin/weir-gen: $(GEN_OBJ) $(B)/libweir.a
$(EXAMPLES:%=$(B)/bin/%): $(B)/bin/%: $(B)/obj/apps/%/main.o $(B)/libweir.a
$(EXAMPLES:%=$(B)/obj/apps/%/main.o): $(PUBLIC_HEADERS)
$(B)/bin/%:
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

build/include/weir/%.h: cnet/%.h
	$(Q)mkdir -p $(@D) && cp $< $@

$(B)/obj/%.o: %.c $(SKELS) Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# --- the XDP program ------------------------------------------------------------------------------------------

bpf_cc = $(CLANG) -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -I. -I/usr/include/$(shell uname -m)-linux-gnu

build/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) Makefile
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D) && $(bpf_cc) -c -o $@ $<

build/gen/%.bpf.o: tests/bench/%.bpf.c $(wildcard tests/bench/*.h) Makefile
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D) && $(bpf_cc) -c -o $@ $<

build/gen/%.skel.h: build/gen/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

# --- tests ----------------------------------------------------------------------------------------------------

tests: $(UNIT_BIN) net-tools
net-tools: $(NETTOOL_BIN)
bench-tools: $(BENCH_BIN)
# The skeletons are generated code: it casts a const away.
$(BENCH_BIN): test_warn += -Wno-cast-qual
$(BENCH_BIN): $(BENCH_SKELS)

# A unit test includes the .c that it tests; the archive gives the rest.
$(B)/tests/%: tests/%.c $(B)/libweir.a $(SKELS) Makefile
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(test_warn) -MMD -MP -MF $@.d -o $@ $< $(B)/libweir.a $(LDFLAGS) $(LDLIBS) -lcmocka

fuzz_cc = $(CLANG) $(CPPFLAGS) -std=gnu11 -O1 -g -fno-strict-aliasing -fno-sanitize-recover=undefined \
	$(shell pkg-config --cflags $(PKGS) 2>/dev/null) -MMD -MP

fuzz-targets: $(FUZZ_BIN)

build/fuzz/obj/%.o: %.c $(SKELS) Makefile
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(fuzz_cc) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

build/fuzz/libweir.a: $(LIB_SRC:%.c=build/fuzz/obj/%.o)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

build/fuzz/%: tests/fuzz/%.c build/fuzz/libweir.a Makefile
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D) && $(fuzz_cc) -MF $@.d -fsanitize=fuzzer,address,undefined -o $@ $< build/fuzz/libweir.a $(LDLIBS) -lcmocka

check: deps
	$(Q)$(MAKE) --no-print-directory all tests WERROR=1
	$(Q)BUILD=$(B) tests/run

# Not a part of check: virtual machines without KVM are slow.
KERNELS ?= 6.1 6.12 newest
check-kernels:
	$(Q)tools/deps.sh kernels
	$(Q)$(MAKE) --no-print-directory all net-tools WERROR=1
	$(Q)tests/kernels/run $(KERNELS)

demo: deps
	$(Q)$(MAKE) --no-print-directory all net-tools
	$(Q)tools/demo.sh

bench: deps
	$(Q)$(MAKE) --no-print-directory all net-tools bench-tools
	$(Q)BUILD=$(B) QUICK=$(QUICK) tests/bench/run

FUZZ_S ?= 60
fuzz: deps
	$(Q)$(MAKE) --no-print-directory fuzz-targets
	$(Q)tests/fuzz/run $(FUZZ_S)

lint:
	$(Q)tools/lint.sh

format:
	$(Q)clang-format -i $(shell git ls-files '*.c' '*.h')

install: all
	install -D -m 755 $(B)/bin/weir-router $(DESTDIR)$(PREFIX)/sbin/weir-router
	install -D -m 755 $(B)/bin/weir $(DESTDIR)$(PREFIX)/bin/weir
	install -D -m 755 $(B)/bin/weir-gen $(DESTDIR)$(PREFIX)/bin/weir-gen
	install -D -m 644 $(B)/libweir.a $(DESTDIR)$(PREFIX)/lib/libweir.a
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include/weir $(PUBLIC_HEADERS)
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@VERSION@,$(VERSION),' -e 's,@PKGS@,$(PKGS),' deploy/weir.pc.in \
		>$(DESTDIR)$(PREFIX)/lib/pkgconfig/weir.pc
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system deploy/systemd/weir-router@.service
	deploy/man/make.sh $(B)/bin $(B)/man
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $(B)/man/weir.8 $(B)/man/weir-router.8 \
		$(B)/man/weir-gen.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man7 $(B)/man/weir-ports.7
	install -D -m 644 deploy/completion/weir.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/weir
	install -D -m 644 deploy/completion/weir-gen.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/weir-gen

clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
