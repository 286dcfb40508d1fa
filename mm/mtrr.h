/*
 * Memory types by physical address, from the MTRRs. SDM Vol. 3A, "Memory Type Range
 * Registers (MTRRs)", "MTRR Precedences".
 */
#ifndef KEEL_MM_MTRR_H
#define KEEL_MM_MTRR_H

#include "lib/types.h"
#include "x86/regs.h"

#define MTRR_VARIABLE_MAX 32 /* IA32_MTRRCAP.VCNT has 8 bits; no processor has more than 10 */
#define MTRR_FIXED_COUNT  11

struct mtrrs {
    uint64_t cap;                     /* IA32_MTRRCAP; 0: there are no MTRRs, and all is uncached */
    uint64_t def_type;                /* IA32_MTRR_DEF_TYPE */
    uint64_t fixed[MTRR_FIXED_COUNT]; /* in the order of their MSR numbers */
    uint64_t base[MTRR_VARIABLE_MAX]; /* IA32_MTRR_PHYSBASEn */
    uint64_t mask[MTRR_VARIABLE_MAX]; /* IA32_MTRR_PHYSMASKn */
};

#define MTRRCAP_VCNT MASK(7, 0)
#define MTRRCAP_FIX  BIT(8)
#define MTRRCAP_WC   BIT(10)

#define MTRR_DEF_TYPE_TYPE MASK(7, 0)
#define MTRR_DEF_TYPE_FE   BIT(10) /* fixed ranges enabled */
#define MTRR_DEF_TYPE_E    BIT(11) /* MTRRs enabled */
#define MTRR_PHYSMASK_V    BIT(11)

/* Reads this processor's registers. All CPUs of a machine hold the same values. */
void mtrr_read(struct mtrrs *mtrrs);

/* The number of variable ranges that are used: VCNT, at most MTRR_VARIABLE_MAX. */
unsigned mtrr_variable_count(const struct mtrrs *mtrrs);

/*
 * Where the register msr is kept in *mtrrs, or NULL where the processor has no such MTRR
 * (IA32_MTRRCAP is none of them). The fixed, variable and default-type registers alike.
 */
uint64_t *mtrr_register(struct mtrrs *mtrrs, uint32_t msr);

/* Would the processor take a WRMSR of value to this MTRR, rather than raise #GP? */
bool mtrr_value_valid(const struct mtrrs *mtrrs, uint32_t msr, uint64_t value,
                      unsigned physical_bits);

/*
 * The type of the aligned block of size bytes (a power of two, from 4 KiB) at start. True:
 * one type holds in the whole block. False: types differ, or may; *type is not set.
 */
bool mtrr_block_type(const struct mtrrs *mtrrs, uint64_t start, uint64_t size,
                     enum memory_type *type);

#endif
