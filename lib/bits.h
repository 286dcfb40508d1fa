/* Bit and alignment arithmetic. */
#ifndef KEEL_LIB_BITS_H
#define KEEL_LIB_BITS_H

#include "lib/types.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Bits high..low set, 63 >= high >= low >= 0. */
#define MASK(high, low) ((~UINT64_C(0) >> (63 - (high))) & (~UINT64_C(0) << (low)))

/* The field of value that mask (contiguous, not 0) selects, shifted down to bit 0. */
static inline uint64_t bits_get(uint64_t value, uint64_t mask)
{
    return (value & mask) / (mask & -mask);
}

/* align is a power of two. */
static inline uint64_t align_down(uint64_t value, uint64_t align)
{
    return value & ~(align - 1);
}

/* align is a power of two; wraps to 0 past the last multiple. */
static inline uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static inline bool is_aligned(uint64_t value, uint64_t align)
{
    return (value & (align - 1)) == 0;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Do [a, a + a_size) and [b, b + b_size) share a byte? Neither range may wrap. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

#endif
