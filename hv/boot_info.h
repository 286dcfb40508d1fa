/*
 * What every boot path hands to hv_main(), whichever loader it was. Nothing here is trusted
 * beyond what the parser has checked; strings are terminated.
 */
#ifndef KEEL_HV_BOOT_INFO_H
#define KEEL_HV_BOOT_INFO_H

#include "guest/screen.h"
#include "lib/types.h"
#include "mm/memmap.h"

#define BOOT_OPTIONS_SIZE      1024
#define BOOT_COMMAND_LINE_SIZE 4096 /* Linux's COMMAND_LINE_SIZE is 2048 */
#define BOOT_MODULES           2    /* the kernel, the initrd */

struct boot_module {
    uint64_t start;
    uint64_t size;
    char command_line[BOOT_COMMAND_LINE_SIZE];
};

struct boot_info {
    char options[BOOT_OPTIONS_SIZE]; /* Keel's own */
    bool options_cut;                /* they were longer */
    struct memmap map;
    struct boot_module module[BOOT_MODULES];
    uint32_t module_count; /* of all that the loader gave; those past BOOT_MODULES are not kept */
    hpa_t rsdp;            /* 0: not known */
    struct screen screen;
};

#endif
