/*
 * The page-table walker: one for every radix tree of 512-entry tables. A format says which
 * bits make an entry; the callers say what a leaf means.
 *
 * Invariants: an update first proves that enough frames are free, so it either changes
 * nothing or completes; a live entry changes by one 64-bit store of a complete value; a new
 * table is filled aside, the update already in it, and published by that one store. So at
 * any instant each address translates as before or as after the update.
 */
#ifndef KEEL_MM_PT_H
#define KEEL_MM_PT_H

#include "lib/status.h"
#include "lib/types.h"
#include "mm/frame.h"

/* Level 1 entries cover 4 KiB, level 2 2 MiB, level 3 1 GiB, level 4 512 GiB, ... */
static inline uint64_t pt_level_size(unsigned level)
{
    return PAGE_SIZE << (9 * (level - 1));
}

struct pt_format {
    unsigned levels;       /* 4 or 5 */
    unsigned max_leaf;     /* the highest level that may hold a leaf: 1, 2 or 3 */
    uint64_t present_mask; /* an entry with none of these bits is not present */
    uint64_t table_bits;   /* what an entry that points to a table holds beside its address */
    uint64_t large_bit;    /* marks a leaf above level 1 */
    uint64_t address_mask;
};

struct pt {
    struct pt_format format;
    struct frame_pool *pool; /* where its tables come from */
    hpa_t root;
};

/* What pt_set() makes of a range. */
struct pt_value {
    bool present;
    hpa_t hpa;     /* present: what the range's first byte maps to, a multiple of PAGE_SIZE */
    uint64_t bits; /* present: the leaf's bits beside address and size; else the whole entry */
};

/* What a lookup found: the entry that decides, and the aligned block that it covers. */
struct pt_leaf {
    uint64_t entry;
    unsigned level;
    bool present;
    uint64_t start; /* of the block */
    hpa_t hpa;      /* present: what the block's first byte maps to */
};

MUST_CHECK enum status pt_init(struct pt *pt, const struct pt_format *format,
                               struct frame_pool *pool);

/* Frames that pt_set() of the same arguments would take from the pool. */
uint64_t pt_tables_needed(const struct pt *pt, uint64_t start, uint64_t size,
                          const struct pt_value *value);

/*
 * Gives [start, start + size), multiples of PAGE_SIZE and inside the tree's reach, one
 * value, in the largest entries that fit. Larger leaves are split; existing tables stay.
 * NO_MEMORY: nothing has changed. *flush is set (never cleared) when a present entry has
 * changed: the caller must then drop the processor's cached translations.
 */
MUST_CHECK enum status pt_set(struct pt *pt, uint64_t start, uint64_t size,
                              const struct pt_value *value, bool *flush);

/*
 * Cuts out every present entry whose block [start, start + size) keep() does not want, and
 * frees the tables below it; its addresses become not present, with an entry of 0. *flush as
 * in pt_set(). The frames may be taken again at once, so the flush must come before any
 * other CPU walks the tree.
 */
typedef bool (*pt_keep_fn)(const void *context, uint64_t start, uint64_t size);
void pt_prune(struct pt *pt, pt_keep_fn keep, const void *context, bool *flush);

/* address is inside the tree's reach. */
struct pt_leaf pt_lookup(const struct pt *pt, uint64_t address);

/* Bytes that the tree can address: 2^48 or 2^57. */
uint64_t pt_reach(const struct pt_format *format);

#endif
