# Keel. `make` builds build/keel.elf; `make run` and `make test` do all their own set-up.
BUILD := build
ifeq ($(origin CC),default)
CC := gcc
endif
# An object folder for each compiler: changing CC rebuilds, and nothing is mixed.
OBJ := $(BUILD)/obj-$(notdir $(CC))

FOLDERS := boot hv guest vmx mm drivers x86 lib
SOURCES := $(foreach folder,$(FOLDERS),$(wildcard $(folder)/*.c $(folder)/*.S))
OBJECTS := $(patsubst %,$(OBJ)/%.o,$(SOURCES))

WARNINGS := -Wall -Wextra -Wshadow -Wundef -Wconversion -Wstrict-prototypes \
            -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wvla -Wformat=2 \
            -Wframe-larger-than=1024
# Warnings are errors in CI, whose compilers are known, and only a nuisance elsewhere.
ifneq ($(CI),)
WARNINGS += -Werror
endif
# No jump tables: an indirect jump costs more than it saves in a switch of five cases.
CFLAGS := -std=gnu17 -O2 -g -ffreestanding -mgeneral-regs-only -mno-red-zone -mcmodel=kernel \
          -fno-pic -fno-stack-protector -fcf-protection=none -fno-common -fno-strict-aliasing \
          -fwrapv -fno-asynchronous-unwind-tables -fno-jump-tables $(WARNINGS) -I.

.PHONY: all
all: $(BUILD)/keel.elf

.PHONY: force
$(BUILD)/keel.elf: $(OBJ)/keel.elf force
	@cmp -s $< $@ || cp $< $@

$(OBJ)/keel.elf: $(OBJECTS) linker.ld
	@echo "  LD  $@"
	@ld -m elf_x86_64 -static -nostdlib -z noexecstack -z max-page-size=4096 --build-id=none \
	    --fatal-warnings -T linker.ld -o $@ $(OBJECTS)

$(OBJ)/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OBJ)/%.S.o: %.S
	@mkdir -p $(@D)
	@echo "  AS  $<"
	@$(CC) -I. -MMD -MP -c -o $@ $<

-include $(OBJECTS:.o=.d)
include test/host.mk
include test/payload/payload.mk

# The main job: Linux under Keel in this terminal. KERNEL= INITRD= APPEND= KEEL= CPUS= MEM=
.PHONY: run
run:
	@tools/setup run
	@$(MAKE) --no-print-directory all
	@tools/run

# All that needs no emulator: both compilers, lint, unit tests.
.PHONY: check
check:
	@$(MAKE) --no-print-directory CI=1 CC=clang all
	@$(MAKE) --no-print-directory CI=1 CC=gcc all
	@$(MAKE) --no-print-directory lint unit

.PHONY: test
test:
	@tools/setup test
	@test/all

# The same with more CPUs and rounds, for which CI has no time.
.PHONY: test-full
test-full:
	@tools/setup test
	@KEEL_FULL=1 FUZZ_SECONDS=120 test/all

# The figures of docs/benchmarks.md.
.PHONY: bench
bench:
	@tools/setup bench
	@$(MAKE) --no-print-directory CC=gcc all
	@tools/bench

.PHONY: clean
clean:
	rm -rf $(BUILD)
