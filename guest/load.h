/*
 * Loading what the guest starts with into its own memory: Linux, or a Multiboot 1 payload
 * (tiny test guests, other people's test kernels). Which one is told by the file itself.
 */
#ifndef KEEL_GUEST_LOAD_H
#define KEEL_GUEST_LOAD_H

#include "guest/screen.h"
#include "lib/status.h"
#include "mm/memmap.h"

/* The loader's modules, where it has put them; text is never NULL. */
struct guest_file {
    uint64_t start;
    uint64_t size; /* 0: there is none */
    const char *text;
};

struct guest_files {
    struct guest_file kernel; /* text: its command line */
    struct guest_file initrd;
};

/* The machine as the guest is to see it. */
struct guest_machine {
    const struct memmap *map;
    uint64_t
        reserved_start; /* Keel's: left alone; reserved in the guest's map unless reserve is off */
    uint64_t reserved_size;
    bool reserve;
    hpa_t rsdp; /* 0: not known */
    const struct screen *screen;
};

enum guest_mode {
    GUEST_64BIT, /* Linux: 64-bit mode, on page tables and a GDT in the guest's memory */
    GUEST_32BIT  /* Multiboot: flat protected mode without paging */
};

/* How to enter it. */
struct guest_entry {
    enum guest_mode mode;
    uint64_t rip;
    uint64_t rax, rbx, rsi;
    uint64_t cr3; /* 64-bit mode only */
    uint64_t gdt_base;
    uint16_t gdt_limit;
    uint64_t spare_page; /* a page of RAM beside them, for the jump of a start without Keel */
};

#define LOAD_ERROR_SIZE 160

/*
 * Checks the kernel file, finds a place for everything, then copies. Any status but OK:
 * nothing was written, and why (LOAD_ERROR_SIZE bytes) holds one clear line without newline.
 */
MUST_CHECK enum status guest_load(const struct guest_files *files,
                                  const struct guest_machine *machine, struct guest_entry *entry,
                                  char why[LOAD_ERROR_SIZE]);

/* The two kinds: linux.c, multiboot1.c. As guest_load(). */
MUST_CHECK enum status linux_load(const struct guest_files *files,
                                  const struct guest_machine *machine, struct guest_entry *entry,
                                  char why[LOAD_ERROR_SIZE]);
MUST_CHECK enum status multiboot1_load(const struct guest_files *files,
                                       const struct guest_machine *machine,
                                       struct guest_entry *entry, char why[LOAD_ERROR_SIZE]);

/* Is this the beginning of an ELF file? */
bool multiboot1_is_elf(const uint8_t head[4]);

/*
 * The machine's map with Keel's memory reserved, if it is to be: valid until the next call.
 * NULL: that has more ranges than struct memmap takes.
 */
const struct memmap *guest_memory_map(const struct guest_machine *machine);

#endif
