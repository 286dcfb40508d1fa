/* See mtrr.h. */
#include "mm/mtrr.h"

#include "lib/bits.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/ops.h"

/* The fixed registers: eight ranges each, of this size. SDM Vol. 3A, "Fixed Range MTRRs". */
static const struct {
    uint32_t msr;
    uint32_t start;
    uint32_t range_size;
} fixed_register[MTRR_FIXED_COUNT] = {
    {IA32_MTRR_FIX64K_00000, 0x00000, 0x10000},   {IA32_MTRR_FIX16K_80000, 0x80000, 0x4000},
    {IA32_MTRR_FIX16K_A0000, 0xa0000, 0x4000},    {IA32_MTRR_FIX4K_C0000, 0xc0000, 0x1000},
    {IA32_MTRR_FIX4K_C0000 + 1, 0xc8000, 0x1000}, {IA32_MTRR_FIX4K_C0000 + 2, 0xd0000, 0x1000},
    {IA32_MTRR_FIX4K_C0000 + 3, 0xd8000, 0x1000}, {IA32_MTRR_FIX4K_C0000 + 4, 0xe0000, 0x1000},
    {IA32_MTRR_FIX4K_C0000 + 5, 0xe8000, 0x1000}, {IA32_MTRR_FIX4K_C0000 + 6, 0xf0000, 0x1000},
    {IA32_MTRR_FIX4K_F8000, 0xf8000, 0x1000},
};

unsigned mtrr_variable_count(const struct mtrrs *mtrrs)
{
    return (unsigned)min_u64(bits_get(mtrrs->cap, MTRRCAP_VCNT), MTRR_VARIABLE_MAX);
}

void mtrr_read(struct mtrrs *mtrrs)
{
    *mtrrs = (struct mtrrs){0};
    if ((ops_cpuid(1, 0).edx & CPUID_1_EDX_MTRR) == 0)
        return;
    mtrrs->cap = ops_rdmsr(IA32_MTRRCAP);
    mtrrs->def_type = ops_rdmsr(IA32_MTRR_DEF_TYPE);
    for (unsigned i = 0; (mtrrs->cap & MTRRCAP_FIX) != 0 && i < MTRR_FIXED_COUNT; i++)
        mtrrs->fixed[i] = ops_rdmsr(fixed_register[i].msr);
    for (unsigned i = 0; i < mtrr_variable_count(mtrrs); i++) {
        mtrrs->base[i] = ops_rdmsr(IA32_MTRR_PHYSBASE0 + 2 * i);
        mtrrs->mask[i] = ops_rdmsr(IA32_MTRR_PHYSBASE0 + 2 * i + 1);
    }
}

uint64_t *mtrr_register(struct mtrrs *mtrrs, uint32_t msr)
{
    if (mtrrs->cap == 0)
        return NULL;
    if (msr == IA32_MTRR_DEF_TYPE)
        return &mtrrs->def_type;
    if (msr >= IA32_MTRR_PHYSBASE0 && msr < IA32_MTRR_PHYSBASE0 + 2 * mtrr_variable_count(mtrrs)) {
        unsigned i = (msr - IA32_MTRR_PHYSBASE0) / 2;
        return msr % 2 == 0 ? &mtrrs->base[i] : &mtrrs->mask[i];
    }
    for (unsigned i = 0; (mtrrs->cap & MTRRCAP_FIX) != 0 && i < MTRR_FIXED_COUNT; i++) {
        if (msr == fixed_register[i].msr)
            return &mtrrs->fixed[i];
    }
    return NULL;
}

static bool type_valid(const struct mtrrs *mtrrs, uint64_t type)
{
    return type == MEMORY_UC || (type == MEMORY_WC && (mtrrs->cap & MTRRCAP_WC) != 0) ||
           type == MEMORY_WT || type == MEMORY_WP || type == MEMORY_WB;
}

/* SDM Vol. 3A, "IA32_MTRR_DEF_TYPE MSR", "Variable Range MTRRs": reserved bits raise #GP. */
bool mtrr_value_valid(const struct mtrrs *mtrrs, uint32_t msr, uint64_t value,
                      unsigned physical_bits)
{
    uint64_t address = MASK(physical_bits - 1, PAGE_SHIFT);

    if (msr == IA32_MTRR_DEF_TYPE)
        return (value & ~(MTRR_DEF_TYPE_TYPE | MTRR_DEF_TYPE_FE | MTRR_DEF_TYPE_E)) == 0 &&
               type_valid(mtrrs, value & MTRR_DEF_TYPE_TYPE);
    if (msr >= IA32_MTRR_FIX64K_00000 && msr <= IA32_MTRR_FIX4K_F8000) {
        for (unsigned i = 0; i < 8; i++) {
            if (!type_valid(mtrrs, value >> (8 * i) & 0xff))
                return false;
        }
        return true;
    }
    if (msr % 2 != 0)
        return (value & ~(address | MTRR_PHYSMASK_V)) == 0;
    return (value & ~(address | 0xff)) == 0 && type_valid(mtrrs, value & 0xff);
}

/*
 * Two ranges on one address: equal types stay, UC wins, WT wins over WB; anything else is
 * undefined, and UC is the answer that cannot harm.
 */
static enum memory_type combine(enum memory_type a, enum memory_type b)
{
    if (a == b)
        return a;
    if ((a == MEMORY_WT && b == MEMORY_WB) || (a == MEMORY_WB && b == MEMORY_WT))
        return MEMORY_WT;
    return MEMORY_UC;
}

static bool fixed_block_type(const struct mtrrs *mtrrs, uint64_t start, uint64_t size,
                             enum memory_type *type)
{
    bool found = false;
    for (unsigned i = 0; i < MTRR_FIXED_COUNT; i++) {
        for (unsigned j = 0; j < 8; j++) {
            uint64_t range_size = fixed_register[i].range_size;
            uint64_t range = fixed_register[i].start + j * range_size;
            enum memory_type range_type = (enum memory_type)(mtrrs->fixed[i] >> (8 * j) & 0xff);
            if (!ranges_overlap(start, size, range, range_size))
                continue;
            if (found && *type != range_type)
                return false;
            *type = range_type;
            found = true;
        }
    }
    return found;
}

static bool variable_block_type(const struct mtrrs *mtrrs, uint64_t start, uint64_t size,
                                enum memory_type *type)
{
    enum memory_type default_type = (enum memory_type)(mtrrs->def_type & MTRR_DEF_TYPE_TYPE);
    enum memory_type whole = default_type; /* by the ranges that hold the whole block */
    bool any_whole = false;

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < mtrr_variable_count(mtrrs); i++) {
            uint64_t mask = mtrrs->mask[i] & ~MASK(PAGE_SHIFT - 1, 0);
            enum memory_type range_type = (enum memory_type)(mtrrs->base[i] & 0xff);
            uint64_t outside = mask & ~(size - 1); /* the mask's bits that the block shares */
            if ((mtrrs->mask[i] & MTRR_PHYSMASK_V) == 0 ||
                ((start ^ mtrrs->base[i]) & outside) != 0)
                continue;
            bool holds_block = outside == mask;
            if (pass == 0 && holds_block) {
                whole = any_whole ? combine(whole, range_type) : range_type;
                any_whole = true;
            }
            /* A range that holds a part of the block must not change that part's type. */
            if (pass == 1 && !holds_block) {
                enum memory_type part = any_whole ? combine(whole, range_type) : range_type;
                if (part != whole)
                    return false;
            }
        }
    }
    *type = whole;
    return true;
}

bool mtrr_block_type(const struct mtrrs *mtrrs, uint64_t start, uint64_t size,
                     enum memory_type *type)
{
    bool fixed = (mtrrs->cap & MTRRCAP_FIX) != 0 && (mtrrs->def_type & MTRR_DEF_TYPE_FE) != 0;

    if ((mtrrs->def_type & MTRR_DEF_TYPE_E) == 0) {
        *type = MEMORY_UC; /* SDM Vol. 3A, "IA32_MTRR_DEF_TYPE MSR": E = 0 */
        return true;
    }
    if (fixed && start < MIB) {
        enum memory_type above;
        if (size <= MIB)
            return fixed_block_type(mtrrs, start, size, type);
        return fixed_block_type(mtrrs, 0, MIB, type) &&
               variable_block_type(mtrrs, start, size, &above) && above == *type;
    }
    return variable_block_type(mtrrs, start, size, type);
}
