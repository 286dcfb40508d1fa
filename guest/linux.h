/*
 * Loading Linux by its 64-bit boot protocol: into the guest's own memory, so that it needs
 * nothing of Keel's once it runs. Linux's Documentation/arch/x86/boot.rst, "64-bit Boot
 * Protocol"; Documentation/arch/x86/zero-page.rst.
 */
#ifndef KEEL_GUEST_LINUX_H
#define KEEL_GUEST_LINUX_H

#include "guest/screen.h"
#include "lib/status.h"
#include "mm/memmap.h"

/* What to load; the addresses are where the loader has put the files. */
struct linux_files {
    uint64_t kernel;
    uint64_t kernel_size;
    const char *command_line;
    uint64_t initrd; /* of size 0: none */
    uint64_t initrd_size;
};

/* The machine as Linux is to see it. */
struct linux_machine {
    const struct memmap *map;
    uint64_t reserved_start; /* Keel's: left alone; reserved in Linux's map unless reserve is off */
    uint64_t reserved_size;
    bool reserve;
    hpa_t rsdp; /* 0: not known */
    const struct screen *screen;
};

/* How to enter it: 64-bit mode, on page tables and a GDT in the guest's memory, RSI = params. */
struct linux_entry {
    uint64_t rip;
    uint64_t params; /* RSI */
    uint64_t cr3;
    uint64_t gdt_base;
    uint16_t gdt_limit;
    uint64_t spare_page; /* a page of RAM beside them, for the jump of a start without Keel */
};

#define LINUX_ERROR_SIZE 160

/*
 * Checks the kernel's header and finds a place for everything, then copies. Any status but
 * OK: nothing was written, and why (LINUX_ERROR_SIZE bytes) holds one clear line without newline.
 */
MUST_CHECK enum status linux_load(const struct linux_files *files,
                                  const struct linux_machine *machine, struct linux_entry *entry,
                                  char why[LINUX_ERROR_SIZE]);

#endif
