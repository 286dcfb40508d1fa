# The payloads: tiny guests, each a Multiboot 1 image in $(BUILD)/payload/NAME.elf.
# Included by the Makefile, or alone: make -f test/payload/payload.mk BUILD=build
BUILD ?= build

PAYLOADS := $(patsubst test/payload/%.c,%,$(wildcard test/payload/*.c))
PAYLOAD_LIB := $(wildcard test/payload/lib/*.c test/payload/lib/*.S)
PAYLOAD_CFLAGS := -std=gnu17 -O2 -g0 -ffreestanding -mgeneral-regs-only -mno-red-zone -fno-pic \
                  -fno-stack-protector -fcf-protection=none -fno-strict-aliasing \
                  -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
                  -Wall -Wextra -Wshadow -I.
PAYLOAD_OBJ := $(BUILD)/payload/obj

.PHONY: payloads
payloads: $(PAYLOADS:%=$(BUILD)/payload/%.elf)

$(PAYLOAD_OBJ)/%.o: test/payload/%
	@mkdir -p $(@D)
	gcc $(PAYLOAD_CFLAGS) -MMD -MP -c -o $@ $<

# GRUB takes 64-bit code in a 32-bit ELF only.
$(BUILD)/payload/%.elf: $(PAYLOAD_OBJ)/%.c.o $(PAYLOAD_LIB:test/payload/%=$(PAYLOAD_OBJ)/%.o) \
                        test/payload/lib/payload.ld
	ld -m elf_x86_64 -static -nostdlib -z noexecstack -z max-page-size=4096 --build-id=none \
	    --no-warn-rwx-segments -T test/payload/lib/payload.ld -o $@.64 $(filter %.o,$^)
	objcopy -O elf32-i386 $@.64 $@

.SECONDARY:
-include $(wildcard $(PAYLOAD_OBJ)/*.d $(PAYLOAD_OBJ)/lib/*.d)
