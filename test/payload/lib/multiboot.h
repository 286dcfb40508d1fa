/* What GRUB tells a Multiboot 1 kernel. Multiboot Specification 0.6.96, "Boot information
 * format". */
#ifndef PAYLOAD_MULTIBOOT_H
#define PAYLOAD_MULTIBOOT_H

#include <stdint.h>

#define MULTIBOOT_LOADED       0x2badb002
#define MULTIBOOT_COMMAND_LINE 0x4
#define MULTIBOOT_MEMORY_MAP   0x40

struct multiboot_info {
    uint32_t flags;
    uint32_t memory_low, memory_high;
    uint32_t boot_device;
    uint32_t command_line;
    uint32_t module_count, modules;
    uint32_t symbols[4];
    uint32_t map_size, map_address;
};

struct multiboot_range {
    uint32_t size; /* of what follows */
    uint64_t start;
    uint64_t length;
    uint32_t type;
} __attribute__((packed));

#endif
