/*
 * A made-up bzImage for tests: only the fields of the setup header are real. Linux's
 * Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
 */
#ifndef KEEL_TEST_UNIT_KERNEL_IMAGE_H
#define KEEL_TEST_UNIT_KERNEL_IMAGE_H

#include <string.h>

#include "lib/types.h"

static inline void kernel_put(uint8_t *file, unsigned offset, uint64_t value, unsigned size)
{
    memcpy(file + offset, &value, size);
}

#define KERNEL_SETUP_SECTORS 2
#define KERNEL_SETUP_SIZE    ((KERNEL_SETUP_SECTORS + 1) * 512)

/* Fills file, of file_size bytes, like Debian 12's kernel; its body is a byte pattern. */
static inline void kernel_make(uint8_t *file, uint64_t file_size)
{
    for (uint64_t i = 0; i < file_size; i++)
        file[i] = i < KERNEL_SETUP_SIZE ? 0 : (uint8_t)(i * 7 + i / 251);
    kernel_put(file, 0x1f1, KERNEL_SETUP_SECTORS, 1);
    kernel_put(file, 0x1fe, 0xaa55, 2);
    kernel_put(file, 0x200, 0x6aeb, 2);     /* jmp over the header: it ends at 0x26c */
    kernel_put(file, 0x202, 0x53726448, 4); /* HdrS */
    kernel_put(file, 0x206, 0x020f, 2);     /* protocol 2.15 */
    kernel_put(file, 0x211, 0x01, 1);       /* LOADED_HIGH */
    kernel_put(file, 0x214, 0x100000, 4);   /* code32_start */
    kernel_put(file, 0x22c, 0x7fffffff, 4); /* initrd_addr_max */
    kernel_put(file, 0x230, 0x200000, 4);   /* kernel_alignment */
    kernel_put(file, 0x234, 1, 1);          /* relocatable_kernel */
    kernel_put(file, 0x235, 21, 1);         /* min_alignment */
    kernel_put(file, 0x236, 0x007f, 2);     /* xloadflags */
    kernel_put(file, 0x238, 2047, 4);       /* cmdline_size */
    kernel_put(file, 0x258, 0x1000000, 8);  /* pref_address */
    kernel_put(file, 0x260, 0x2000000, 4);  /* init_size */
}

#endif
