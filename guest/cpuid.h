/*
 * CPUID for the guest: a table of this CPU's own answers, made at start, with what the
 * guest must not see taken out; what varies while it runs is filled in at the exit.
 * SDM Vol. 2A, "CPUID—CPU Identification".
 */
#ifndef KEEL_GUEST_CPUID_H
#define KEEL_GUEST_CPUID_H

#include "lib/types.h"
#include "x86/ops.h"

#define CPUID_BASIC_MAX    0x24 /* the highest basic leaf that Keel knows; more are hidden */
#define CPUID_EXTENDED_MAX 0x08 /* likewise, from 0x80000000 */
#define CPUID_ENTRIES      224  /* what all known leaves can have at most */

#define CPUID_KEEL_FIRST 0x40000000u /* signature; +1: version; +2: the info page (none yet) */
#define CPUID_KEEL_COUNT 3

/* Where a leaf's answers begin and how many subleaves it has. */
struct cpuid_leaf {
    uint8_t first;
    uint8_t count;
    uint8_t flags; /* enum cpuid_flag */
};

enum cpuid_flag {
    CPUID_VARIES = 1,  /* a part of the answer is filled in at the exit */
    CPUID_SUBLEAF = 2, /* ECX selects; one past count reads as zeros */
    CPUID_TOPOLOGY = 4 /* past count, ECX[7:0] and EDX are still answered */
};

struct cpuid_table {
    uint32_t basic_last;
    uint32_t extended_last; /* less 0x80000000 */
    struct cpuid_leaf basic[CPUID_BASIC_MAX + 1];
    struct cpuid_leaf extended[CPUID_EXTENDED_MAX + 1];
    uint8_t entries;
    struct cpuid_regs entry[CPUID_ENTRIES];
};

_Static_assert(sizeof(struct cpuid_table) <= PAGE_SIZE, "the CPUID table is kept in one page");

/*
 * Reads this CPU's leaves into *table and edits them. secondary is the word of the
 * secondary processor-based controls: a feature whose instruction a control would block is shown
 * only where that control is on.
 */
void cpuid_table_init(struct cpuid_table *table, uint32_t secondary);

/*
 * What the guest's CPUID answers, but for what varies (see handle_cpuid()): the table's
 * answer as it was made.
 */
struct cpuid_regs cpuid_lookup(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf);

/* The bits of the guest's CR4 that it may set, of those that IA32_VMX_CR4_FIXED1 has. */
uint64_t cpuid_cr4_allowed(uint64_t cr4_fixed1);

#endif
