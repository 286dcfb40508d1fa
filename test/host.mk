# Host-side checks: unit tests under ASan and UBSan, fuzzing, lint. Included by the Makefile;
# BUILD is the build folder. The hardware seam is chosen by include path: test/fake first.

HOST_CC ?= clang
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 10

HOST_INCLUDES := -Itest/fake -I.
HOST_WARNINGS := -Wall -Wextra -Wshadow -Wundef -Wstrict-prototypes -Wpointer-arith
HOST_CFLAGS := -std=gnu17 -include test/fake/pause.h -g -O1 -fno-omit-frame-pointer \
               -fno-strict-aliasing -fwrapv $(HOST_WARNINGS) $(HOST_INCLUDES) -MMD -MP
TSAN_CFLAGS := -fsanitize=thread
UNIT_CFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_CFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

HOST_FOLDERS := boot hv guest vmx mm drivers x86 lib
# What executes instructions or uses symbols that only the machine has.
HOST_EXCLUDE :=
HOST_SOURCES := $(filter-out $(HOST_EXCLUDE),$(wildcard $(HOST_FOLDERS:%=%/*.c)))

UNIT_TESTS := $(patsubst test/unit/%.c,$(BUILD)/unit/%,$(wildcard test/unit/test_*.c))
# Programs whose CPUs are threads are built twice: NMIs as signals, under the sanitizers of
# the others; and under ThreadSanitizer, where NMIs are polled for.
THREAD_TESTS := $(patsubst test/unit/%.c,$(BUILD)/unit/%,$(wildcard test/unit/tsan_*.c))
TSAN_TESTS := $(patsubst test/unit/%.c,$(BUILD)/tsan/%,$(wildcard test/unit/tsan_*.c))
FUZZERS := $(patsubst test/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))

$(BUILD)/unit/obj/%.o: %.c test/host.mk
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(UNIT_CFLAGS) -c -o $@ $<

$(BUILD)/unit/libkeel.a: $(HOST_SOURCES:%.c=$(BUILD)/unit/obj/%.o)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/unit/test_%: $(BUILD)/unit/obj/test/unit/test_%.o $(BUILD)/unit/obj/test/unit/unit.o \
                      $(BUILD)/unit/obj/test/fake/fake.o $(BUILD)/unit/obj/test/fake/phys.o \
                      $(BUILD)/unit/obj/test/fake/entry.o $(BUILD)/unit/obj/test/fake/registers.o \
                      $(BUILD)/unit/obj/test/fake/entry_check.o $(BUILD)/unit/libkeel.a
	$(HOST_CC) $(UNIT_CFLAGS) -o $@ $^

$(BUILD)/unit/tsan_%: $(BUILD)/unit/obj/test/unit/tsan_%.o $(BUILD)/unit/obj/test/unit/unit.o \
                      $(BUILD)/unit/obj/test/fake/threads.o \
                      $(BUILD)/unit/obj/test/fake/nmi_signal.o $(BUILD)/unit/obj/test/fake/phys.o \
                      $(BUILD)/unit/libkeel.a
	$(HOST_CC) $(UNIT_CFLAGS) -pthread -o $@ $^

$(BUILD)/tsan/obj/%.o: %.c test/host.mk
	@mkdir -p $(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(TSAN_CFLAGS) -c -o $@ $<

$(BUILD)/tsan/libkeel.a: $(HOST_SOURCES:%.c=$(BUILD)/tsan/obj/%.o)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/tsan/tsan_%: $(BUILD)/tsan/obj/test/unit/tsan_%.o $(BUILD)/tsan/obj/test/unit/unit.o \
                      $(BUILD)/tsan/obj/test/fake/threads.o $(BUILD)/tsan/obj/test/fake/nmi_poll.o \
                      $(BUILD)/tsan/obj/test/fake/phys.o $(BUILD)/tsan/libkeel.a
	$(HOST_CC) $(TSAN_CFLAGS) -pthread -o $@ $^

# Objects are kept: they are not mere steps on the way.
.SECONDARY:

# Every program runs, even when one before it has failed.
.PHONY: unit
unit: $(UNIT_TESTS) $(THREAD_TESTS) $(TSAN_TESTS)
	@status=0; for test in $^; do $$test || status=1; done; exit $$status

# Those of ThreadSanitizer alone.
.PHONY: unit-tsan
unit-tsan: $(TSAN_TESTS)
	@status=0; for test in $^; do $$test || status=1; done; exit $$status

$(BUILD)/fuzz/obj/%.o: %.c test/host.mk
	@mkdir -p $(@D)
	$(FUZZ_CC) $(HOST_CFLAGS) $(FUZZ_CFLAGS) -c -o $@ $<

$(BUILD)/fuzz/libkeel.a: $(HOST_SOURCES:%.c=$(BUILD)/fuzz/obj/%.o)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/test/fuzz/fuzz_%.o $(BUILD)/fuzz/obj/test/fake/fake.o \
                      $(BUILD)/fuzz/obj/test/fake/phys.o $(BUILD)/fuzz/obj/test/fake/entry.o \
                      $(BUILD)/fuzz/obj/test/fuzz/fuzz.o \
                      $(BUILD)/fuzz/libkeel.a
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^

# New inputs go to the build folder; the seeds in test/fuzz/corpus are only read.
.PHONY: fuzz
fuzz: $(FUZZERS)
	@for fuzzer in $^; do \
	    name=$${fuzzer##*/fuzz_}; log=$(BUILD)/fuzz/$$name.log; \
	    mkdir -p $(BUILD)/fuzz/corpus/$$name $(BUILD)/fuzz/artifacts/$$name; \
	    $$fuzzer -max_total_time=$(FUZZ_SECONDS) -timeout=5 -print_final_stats=1 \
	        -artifact_prefix=$(BUILD)/fuzz/artifacts/$$name/ \
	        $(BUILD)/fuzz/corpus/$$name test/fuzz/corpus/$$name >$$log 2>&1 || \
	        { tail -n 60 $$log; echo "fuzz $$name: failed"; exit 1; }; \
	    echo "fuzz $$name: $$(sed -n 's/^stat::number_of_executed_units: *//p' $$log) runs"; \
	done

LINT_SOURCES := $(wildcard $(HOST_FOLDERS:%=%/*.c))
LINT_FORMATTED := $(LINT_SOURCES) $(wildcard $(HOST_FOLDERS:%=%/*.h) test/unit/*.[ch] \
                  test/fake/*.[ch] test/fake/x86/*.h test/fuzz/*.[ch] test/payload/*.c test/payload/lib/*.[ch])
LINT_FLAGS := -std=gnu17 -ffreestanding -mgeneral-regs-only -mno-red-zone -mcmodel=kernel \
              -fno-pic -Wall -Wextra -Wshadow -Wundef -Wconversion -Wstrict-prototypes -Werror

.PHONY: lint lint-format lint-layers lint-headers lint-comments lint-seam lint-segments \
        lint-undefined lint-tidy lint-cppcheck
lint: lint-format lint-layers lint-headers lint-comments lint-seam lint-segments lint-undefined \
      lint-tidy lint-cppcheck

# Each version of clang-format formats differently: the tree is as Debian 12's (14) wants it.
lint-format:
	@if clang-format --version | grep -q 'version 14\.'; then \
	    clang-format --dry-run -Werror $(LINT_FORMATTED); \
	else \
	    echo "lint-format: left out: $$(clang-format --version) is not version 14"; \
	fi

lint-layers:
	test/lint/layers

lint-headers:
	test/lint/headers gcc $(LINT_FLAGS)

lint-comments:
	test/lint/comments

lint-seam:
	test/lint/seam

lint-segments: $(BUILD)/keel.elf
	test/lint/segments $<

lint-undefined: $(BUILD)/keel.elf
	test/lint/undefined $<

# One process a file: make runs them side by side, and only for what has changed.
lint-tidy: $(LINT_SOURCES:%.c=$(BUILD)/tidy/%.ok)

$(BUILD)/tidy/%.ok: %.c .clang-tidy $(wildcard $(HOST_FOLDERS:%=%/*.h))
	@mkdir -p $(@D)
	clang-tidy --quiet $< -- $(filter-out -Werror -Wconversion,$(LINT_FLAGS)) -I. 2>/dev/null
	@touch $@

lint-cppcheck:
	cppcheck --quiet --enable=warning,performance,portability --std=c11 --error-exitcode=1 -I. \
	    --suppressions-list=test/lint/cppcheck.txt $(HOST_FOLDERS)

-include $(shell find $(BUILD)/unit/obj $(BUILD)/tsan/obj $(BUILD)/fuzz/obj -name '*.d' 2>/dev/null)
