/*
 * The MSR and I/O bitmaps: a set bit makes the access exit. SDM Vol. 3C, "MSR-Bitmap
 * Address", "I/O-Bitmap Addresses". MSRs outside the two ranges always exit.
 */
#ifndef KEEL_VMX_BITMAPS_H
#define KEEL_VMX_BITMAPS_H

#include "lib/bits.h"

#define MSR_LOW_LAST   0x1fffu
#define MSR_HIGH_FIRST 0xc0000000u
#define MSR_HIGH_LAST  0xc0001fffu

struct msr_bitmap {
    uint8_t read_low[1024];
    uint8_t read_high[1024];
    uint8_t write_low[1024];
    uint8_t write_high[1024];
};

_Static_assert(sizeof(struct msr_bitmap) == PAGE_SIZE, "the MSR bitmap is one page");

/* Every MSR exits, for reads and for writes. */
void msr_bitmap_init(struct msr_bitmap *bitmap);

/* The MSR no longer exits when read, or when written. Outside the ranges: no effect. */
void msr_bitmap_pass_read(struct msr_bitmap *bitmap, uint32_t msr);
void msr_bitmap_pass_write(struct msr_bitmap *bitmap, uint32_t msr);

/* Ports 0 to 0x7fff in a, the others in b; nothing exits until it is set. */
struct io_bitmap {
    uint8_t port[2 * PAGE_SIZE];
};

static inline void io_bitmap_intercept(struct io_bitmap *bitmap, uint16_t port)
{
    bitmap->port[port / 8] |= (uint8_t)BIT(port % 8);
}

#endif
