/*
 * Linux's bzImage: reading its setup header, which is foreign input. Linux's
 * Documentation/arch/x86/boot.rst, "The Linux/x86 Boot Protocol".
 */
#ifndef KEEL_GUEST_BZIMAGE_H
#define KEEL_GUEST_BZIMAGE_H

#include "lib/status.h"
#include "lib/types.h"

/* The setup header and what precedes it are in the first bytes of the file. */
#define BZIMAGE_HEAD_SIZE 1024

/* The setup header's place in the file, and in struct boot_params. */
#define SETUP_HEADER_START 0x1f1
#define SETUP_HEADER_LIMIT 0x290 /* the header never reaches beyond, in either */

struct bzimage {
    uint64_t setup_size;       /* bytes before the protected-mode kernel, which is the rest */
    uint64_t kernel_size;      /* bytes of the protected-mode kernel in the file */
    uint64_t init_size;        /* bytes that must be free where it is loaded */
    uint64_t preferred;        /* where it likes to be loaded */
    uint64_t alignment;        /* of where it is loaded otherwise; a power of two */
    bool relocatable;          /* may be loaded elsewhere than at preferred */
    uint64_t initrd_max;       /* the highest address that a byte of the initrd may have */
    uint32_t command_line_max; /* characters, the terminator not counted */
    uint32_t header_size;      /* bytes from SETUP_HEADER_START */
};

/*
 * Reads the header from head, the first BZIMAGE_HEAD_SIZE bytes of a file of file_size
 * bytes (the rest zero where the file is shorter). INVALID, NO_SUPPORT: *why says, as an
 * English clause, why this file cannot be started.
 */
MUST_CHECK enum status bzimage_parse(const uint8_t head[BZIMAGE_HEAD_SIZE], uint64_t file_size,
                                     struct bzimage *image, const char **why);

#endif
