/*
 * The Multiboot2 boot information, as GRUB leaves it, to struct boot_info.
 * Multiboot2 Specification version 2.0, "Boot information format".
 */
#ifndef KEEL_BOOT_MULTIBOOT2_H
#define KEEL_BOOT_MULTIBOOT2_H

#define MULTIBOOT2_HEADER_MAGIC     0xe85250d6
#define MULTIBOOT2_BOOTLOADER_MAGIC 0x36d76289

#ifndef __ASSEMBLER__

#include "hv/boot_info.h"
#include "lib/status.h"

/* More than this no loader has; a larger total_size is taken for garbage. */
#define MULTIBOOT2_MAX_SIZE (1 * MIB)

/*
 * Parses the structure at tags, of which limit bytes may be read (its own total_size may say
 * less). Never reads beyond. INVALID: *why says, as an English clause, what is malformed.
 */
MUST_CHECK enum status multiboot2_parse(const void *tags, uint64_t limit, struct boot_info *info,
                                        const char **why);

#endif
#endif
