/*
 * Memory types from the MTRRs. SDM Vol. 3A, "Memory Type Range Registers (MTRRs)": its own
 * examples, then random registers and the layouts of real machines against the rules applied
 * to one page at a time.
 */
#include "unit.h"

#include "fake.h"
#include "lib/bits.h"
#include "machines.h"
#include "x86/cpuid.h"
#include "x86/msr.h"

#define ON (MTRR_DEF_TYPE_E | MTRR_DEF_TYPE_FE)

static const struct mtrrs none = {.cap = 10 | MTRRCAP_FIX | MTRRCAP_WC,
                                  .def_type = MTRR_DEF_TYPE_E};

static void set(struct mtrrs *mtrrs, unsigned index, uint64_t base, uint64_t mask)
{
    mtrrs->base[index] = base;
    mtrrs->mask[index] = mask;
}

static enum memory_type page_type(const struct mtrrs *mtrrs, uint64_t address)
{
    enum memory_type type = (enum memory_type)99;
    CHECK(mtrr_block_type(mtrrs, address & ~UINT64_C(0xfff), PAGE_SIZE, &type));
    return type;
}

static void expect(const struct mtrrs *mtrrs, uint64_t first, uint64_t last, enum memory_type type)
{
    CHECK_EQ(page_type(mtrrs, first), type);
    CHECK_EQ(page_type(mtrrs, first + (last - first) / 2), type);
    CHECK_EQ(page_type(mtrrs, last), type);
}

/* SDM Vol. 3A, "Example Base and Mask Calculations": 2 to 4 MByte and 4 to 8 MByte, 36 bits. */
TEST(sdm_example_base_and_mask)
{
    struct mtrrs mtrrs = none;
    set(&mtrrs, 3, 0x200000 | MEMORY_WB, 0xfffe00000 | MTRR_PHYSMASK_V);
    set(&mtrrs, 4, 0x400000 | MEMORY_WT, 0xfffc00000 | MTRR_PHYSMASK_V);
    expect(&mtrrs, 0x0, 0x1fffff, MEMORY_UC);
    expect(&mtrrs, 0x200000, 0x3fffff, MEMORY_WB);
    expect(&mtrrs, 0x400000, 0x7fffff, MEMORY_WT);
    expect(&mtrrs, 0x800000, 0xfffffffff, MEMORY_UC);
}

/* The same section's system of 96 MByte, with 36 and with 40 bits of physical address. */
TEST(sdm_example_96_mbyte_system)
{
    for (unsigned bits = 36; bits <= 40; bits += 4) {
        uint64_t high = MASK(bits - 1, 28);
        struct mtrrs mtrrs = none;
        NOTE("%u bits", bits);
        set(&mtrrs, 0, 0x00000006, high | 0xc000800);
        set(&mtrrs, 1, 0x04000006, high | 0xe000800);
        set(&mtrrs, 2, 0x06000006, high | 0xfc00800);
        set(&mtrrs, 3, 0x04000000, high | 0xfc00800);
        set(&mtrrs, 4, 0x00f00000, high | 0xff00800);
        set(&mtrrs, 5, 0xa0000001, high | 0xf800800);
        expect(&mtrrs, 0, 15 * MIB - 1, MEMORY_WB);
        expect(&mtrrs, 15 * MIB, 16 * MIB - 1, MEMORY_UC);
        expect(&mtrrs, 16 * MIB, 64 * MIB - 1, MEMORY_WB);
        expect(&mtrrs, 64 * MIB, 68 * MIB - 1, MEMORY_UC);
        expect(&mtrrs, 68 * MIB, 96 * MIB - 1, MEMORY_WB);
        expect(&mtrrs, 96 * MIB, 100 * MIB - 1, MEMORY_WB);
        expect(&mtrrs, 100 * MIB, 0x9fffffff, MEMORY_UC);
        expect(&mtrrs, 0xa0000000, 0xa07fffff, MEMORY_WC);
        expect(&mtrrs, 0xa0800000, 0xffffffff, MEMORY_UC);
        expect(&mtrrs, 4 * GIB, BIT(bits) - 1, MEMORY_UC);
    }
}

/* "MTRR Precedences" 2b to 2d; the order of the registers must not matter. */
TEST(overlaps_follow_the_precedences)
{
    static const enum memory_type types[] = {MEMORY_UC, MEMORY_WC, MEMORY_WT, MEMORY_WP, MEMORY_WB};
    for (unsigned a = 0; a < 5; a++) {
        for (unsigned b = 0; b < 5; b++) {
            struct mtrrs mtrrs = none;
            mtrrs.def_type |= MEMORY_WP;
            set(&mtrrs, 1, types[a], 0xff0000000 | MTRR_PHYSMASK_V);
            set(&mtrrs, 7, 0x1000000 | types[b], 0xfff000000 | MTRR_PHYSMASK_V);
            int type = machine_type(&mtrrs, 0x1000000);
            NOTE("%d and %d", types[a], types[b]);
            expect(&mtrrs, 0, 0xffffff, types[a]);
            if (type >= 0)
                expect(&mtrrs, 0x1000000, 0x1ffffff, (enum memory_type)type);
            expect(&mtrrs, 0x2000000, 0xfffffff, types[a]);
            expect(&mtrrs, 0x10000000, 0x20000000, MEMORY_WP);
        }
    }
}

TEST(an_invalid_pair_is_no_range)
{
    struct mtrrs mtrrs = none;
    set(&mtrrs, 0, MEMORY_WB, 0xff0000000);
    expect(&mtrrs, 0, 0xfffffff, MEMORY_UC);
    mtrrs.cap = 1 | MTRRCAP_FIX; /* and one beyond VCNT neither */
    set(&mtrrs, 1, MEMORY_WB, 0xff0000000 | MTRR_PHYSMASK_V);
    expect(&mtrrs, 0, 0xfffffff, MEMORY_UC);
}

/* "IA32_MTRR_DEF_TYPE MSR": with E clear all of memory is UC, whatever else is set. */
TEST(disabled_mtrrs_mean_uc)
{
    struct mtrrs mtrrs;
    machine_mtrrs(&machines[1], &mtrrs);
    mtrrs.def_type = MTRR_DEF_TYPE_FE | MEMORY_WB;
    expect(&mtrrs, 0, 8 * GIB, MEMORY_UC);
    enum memory_type type = MEMORY_WB;
    CHECK(mtrr_block_type(&mtrrs, 0, GIB, &type));
    CHECK_EQ(type, MEMORY_UC);
}

TEST(fixed_ranges_come_before_variable_ones_below_1_mib)
{
    struct mtrrs mtrrs = none;
    mtrrs.def_type = ON | MEMORY_WP;
    for (unsigned i = 0; i < MTRR_FIXED_COUNT * 8; i++)
        mtrrs.fixed[i / 8] |= (uint64_t)(i % 2 ? MEMORY_WT : MEMORY_WC) << (i % 8 * 8);
    set(&mtrrs, 0, MEMORY_UC, 0xfffe00000 | MTRR_PHYSMASK_V);
    for (unsigned i = 0; i < MTRR_FIXED_COUNT * 8; i++) {
        uint64_t start = machine_fixed_start(i / 8, i % 8);
        uint64_t end = i + 1 < MTRR_FIXED_COUNT * 8 ? machine_fixed_start((i + 1) / 8, (i + 1) % 8)
                                                    : MIB;
        expect(&mtrrs, start, end - 1, i % 2 ? MEMORY_WT : MEMORY_WC);
    }
    expect(&mtrrs, MIB, 2 * MIB - 1, MEMORY_UC);
    expect(&mtrrs, 2 * MIB, GIB, MEMORY_WP);
}

TEST(fixed_ranges_that_are_off_or_absent_do_not_count)
{
    struct mtrrs mtrrs = none;
    memset(mtrrs.fixed, MEMORY_WT, sizeof(mtrrs.fixed));
    mtrrs.def_type = MTRR_DEF_TYPE_E | MEMORY_WB;
    expect(&mtrrs, 0, MIB - 1, MEMORY_WB);
    mtrrs.def_type = ON | MEMORY_WB;
    expect(&mtrrs, 0, MIB - 1, MEMORY_WT);
    mtrrs.cap &= ~MTRRCAP_FIX;
    expect(&mtrrs, 0, MIB - 1, MEMORY_WB);
}

TEST(a_block_over_the_first_mib_needs_its_fixed_types_to_agree)
{
    struct mtrrs mtrrs = none;
    enum memory_type type = MEMORY_UC;
    memset(mtrrs.fixed, MEMORY_WB, sizeof(mtrrs.fixed));
    mtrrs.def_type = ON | MEMORY_WB;
    CHECK(mtrr_block_type(&mtrrs, 0, 2 * MIB, &type));
    CHECK_EQ(type, MEMORY_WB);
    CHECK(mtrr_block_type(&mtrrs, 0, GIB, &type));
    mtrrs.fixed[MTRR_FIXED_COUNT - 1] = 0x0006060606060606;
    CHECK(!mtrr_block_type(&mtrrs, 0, 2 * MIB, &type));
    CHECK(!mtrr_block_type(&mtrrs, 0, GIB, &type));
    CHECK(!mtrr_block_type(&mtrrs, 0xfe000, 2 * PAGE_SIZE, &type));
    CHECK(mtrr_block_type(&mtrrs, 2 * MIB, 2 * MIB, &type));
    mtrrs.def_type = ON | MEMORY_UC; /* the other half differs now */
    mtrrs.fixed[MTRR_FIXED_COUNT - 1] = 0x0606060606060606;
    CHECK(!mtrr_block_type(&mtrrs, 0, 2 * MIB, &type));
}

/* "Range Size and Alignment Requirement" allows masks that are not contiguous. */
TEST(discontiguous_masks)
{
    struct mtrrs mtrrs = none;
    enum memory_type type;
    set(&mtrrs, 0, 0x1000 | MEMORY_WB, 0x1000 | MTRR_PHYSMASK_V); /* every second page */
    for (uint64_t page = 0; page < 64; page++)
        CHECK_EQ(page_type(&mtrrs, page * PAGE_SIZE), page % 2 ? MEMORY_WB : MEMORY_UC);
    CHECK(!mtrr_block_type(&mtrrs, 0, 2 * PAGE_SIZE, &type));
    CHECK(!mtrr_block_type(&mtrrs, GIB, GIB, &type));
    set(&mtrrs, 0, 0x40000000 | MEMORY_WB, 0x40000000 | MTRR_PHYSMASK_V); /* every second GiB */
    CHECK(mtrr_block_type(&mtrrs, 3 * GIB, GIB, &type));
    CHECK_EQ(type, MEMORY_WB);
    CHECK(mtrr_block_type(&mtrrs, 4 * GIB, GIB, &type));
    CHECK_EQ(type, MEMORY_UC);
}

/* What every page says; -2: they differ; -1: undefined somewhere. */
static int type_of_pages(const struct mtrrs *mtrrs, uint64_t start, uint64_t size)
{
    int type = machine_type(mtrrs, start);
    for (uint64_t page = start; page < start + size; page += PAGE_SIZE) {
        int other = machine_type(mtrrs, page);
        if (other == -1)
            return -1;
        if (other != type)
            return -2;
    }
    return type;
}

static void random_mtrrs(struct mtrrs *mtrrs)
{
    static const uint8_t types[] = {MEMORY_UC, MEMORY_WT, MEMORY_WB, MEMORY_WB,
                                    MEMORY_UC, MEMORY_WC, MEMORY_WP};
    unsigned kinds = unit_random_below(4) == 0 ? 7 : 5; /* mostly overlaps that are defined */
    *mtrrs = (struct mtrrs){.cap = (1 + unit_random_below(8)) | MTRRCAP_FIX | MTRRCAP_WC};
    mtrrs->def_type = types[unit_random_below(kinds)] |
                      (unit_random_below(8) ? MTRR_DEF_TYPE_E : 0) |
                      (unit_random_below(2) ? MTRR_DEF_TYPE_FE : 0);
    for (unsigned i = 0; i < MTRR_FIXED_COUNT * 8; i++) {
        uint8_t type = types[unit_random_below(10) ? 2 : unit_random_below(kinds)];
        mtrrs->fixed[i / 8] |= (uint64_t)type << (i % 8 * 8);
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned size_bit = 12 + (unsigned)unit_random_below(12);
        uint64_t mask = MASK(35, size_bit);
        if (unit_random_below(6) == 0)
            mask &= ~BIT(12 + unit_random_below(24)); /* not contiguous */
        mtrrs->mask[i] = mask | (unit_random_below(5) ? MTRR_PHYSMASK_V : 0);
        mtrrs->base[i] = (unit_random() & MASK(23, 12) & mask) | types[unit_random_below(kinds)];
    }
}

TEST(random_registers_agree_with_every_page)
{
    unsigned uniform = 0, answered = 0;
    for (unsigned round = 0; round < 1500; round++) {
        struct mtrrs mtrrs;
        random_mtrrs(&mtrrs);
        for (unsigned i = 0; i < 12; i++) {
            uint64_t size = PAGE_SIZE << unit_random_below(10);
            uint64_t start = align_down(unit_random_below(16 * MIB), size);
            enum memory_type type = MEMORY_UC;
            int truth = type_of_pages(&mtrrs, start, size);
            bool one_type = mtrr_block_type(&mtrrs, start, size, &type);
            NOTE("round %u: 0x%lx + 0x%lx", round, start, size);
            CHECK(one_type || size > PAGE_SIZE);
            if (truth == -1)
                continue;
            if (one_type)
                CHECK_EQ(type, truth); /* the case -2 fails here too */
            uniform += truth >= 0;
            answered += truth >= 0 && one_type;
        }
    }
    CHECK(answered * 10 > uniform * 9); /* it may say "differs" where it does not, but rarely */
}

TEST(real_machines_agree_with_every_page)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        struct mtrrs mtrrs;
        machine_mtrrs(&machines[i], &mtrrs);
        for (uint64_t start = 0; start < 20 * GIB; start += 2 * MIB) {
            enum memory_type type = MEMORY_UC;
            int truth = type_of_pages(&mtrrs, start, start < 2 * MIB ? 2 * MIB : 64 * KIB);
            NOTE("%s: 0x%lx", machines[i].name, start);
            bool one_type = mtrr_block_type(&mtrrs, start, 2 * MIB, &type);
            CHECK_EQ(one_type, truth >= 0);
            if (one_type)
                CHECK_EQ(type, truth);
        }
        for (uint64_t start = 0; start < 2 * MIB; start += PAGE_SIZE)
            CHECK_EQ(page_type(&mtrrs, start), machine_type(&mtrrs, start));
    }
}

TEST(real_machines_have_wb_ram_and_uc_devices)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        static struct memmap map;
        struct mtrrs mtrrs;
        machine_mtrrs(&machines[i], &mtrrs);
        machine_map(&machines[i], &map);
        for (uint32_t j = 0; j < map.count; j++) {
            NOTE("%s: range %u", machines[i].name, j);
            if (map.range[j].type == MEMMAP_RAM)
                expect(&mtrrs, map.range[j].start, map.range[j].end - 1, MEMORY_WB);
        }
        CHECK_EQ(page_type(&mtrrs, 0xfee00000), MEMORY_UC); /* local APIC */
        CHECK_EQ(page_type(&mtrrs, 0xfec00000), MEMORY_UC); /* I/O APIC */
        CHECK_EQ(page_type(&mtrrs, 0xa0000), MEMORY_UC);    /* VGA */
    }
}

static bool type_allowed(const struct mtrrs *mtrrs, unsigned type)
{
    return type == 0 || (type == 1 && (mtrrs->cap & MTRRCAP_WC) != 0) || (type >= 4 && type <= 6);
}

/* "Variable Range MTRRs", "IA32_MTRR_DEF_TYPE MSR": each reserved bit raises #GP. */
TEST(reserved_bits_one_by_one)
{
    for (unsigned bits = 36; bits <= 52; bits += 4) {
        for (unsigned bit = 0; bit < 64; bit++) {
            NOTE("MAXPHYADDR %u, bit %u", bits, bit);
            bool address = bit >= 12 && bit < bits;
            CHECK_EQ(mtrr_value_valid(&none, IA32_MTRR_PHYSBASE0 + 2, BIT(bit), bits),
                     address || bit == 0 || bit == 2);
            CHECK_EQ(mtrr_value_valid(&none, IA32_MTRR_PHYSBASE0 + 3, BIT(bit), bits),
                     address || bit == 11);
            CHECK_EQ(mtrr_value_valid(&none, IA32_MTRR_DEF_TYPE, BIT(bit), bits),
                     bit == 0 || bit == 2 || bit == 10 || bit == 11);
        }
    }
}

TEST(types_one_by_one)
{
    struct mtrrs without_wc = none;
    without_wc.cap &= ~MTRRCAP_WC;
    for (unsigned type = 0; type < 256; type++) {
        for (unsigned wc = 0; wc < 2; wc++) {
            const struct mtrrs *mtrrs = wc ? &none : &without_wc;
            bool allowed = type_allowed(mtrrs, type);
            NOTE("type %u", type);
            CHECK_EQ(mtrr_value_valid(mtrrs, IA32_MTRR_PHYSBASE0, 0x1000 | type, 36), allowed);
            CHECK_EQ(mtrr_value_valid(mtrrs, IA32_MTRR_DEF_TYPE, ON | type, 36), allowed);
            for (unsigned i = 0; i < 8; i++) {
                uint64_t value = (UINT64_C(0x0605040006050400) & ~(UINT64_C(0xff) << (8 * i))) |
                                 (uint64_t)type << (8 * i);
                CHECK_EQ(mtrr_value_valid(mtrrs, IA32_MTRR_FIX4K_C0000 + 3, value, 36), allowed);
            }
        }
    }
}

static bool is_fixed_msr(uint32_t msr)
{
    return msr == 0x250 || msr == 0x258 || msr == 0x259 || (msr >= 0x268 && msr <= 0x26f);
}

TEST(every_register_is_kept_once)
{
    for (unsigned vcnt = 0; vcnt <= 10; vcnt += 5) {
        struct mtrrs mtrrs = {.cap = vcnt | MTRRCAP_FIX};
        uint64_t count = 0;
        for (uint32_t msr = 0; msr < 0x1000; msr++) {
            uint64_t *kept = mtrr_register(&mtrrs, msr);
            bool variable = msr >= 0x200 && msr < 0x200 + 2 * vcnt;
            NOTE("MSR 0x%x", msr);
            CHECK_EQ(kept != NULL, msr == 0x2ff || variable || is_fixed_msr(msr));
            if (kept != NULL) {
                CHECK_EQ(*kept, 0);
                *kept = msr;
                count++;
            }
        }
        CHECK_EQ(count, 1 + MTRR_FIXED_COUNT + 2 * vcnt);
        CHECK_EQ(mtrrs.def_type, 0x2ff);
        CHECK_EQ(mtrrs.fixed[0], 0x250);
        CHECK_EQ(mtrrs.fixed[MTRR_FIXED_COUNT - 1], 0x26f);
        mtrrs.cap &= ~MTRRCAP_FIX;
        CHECK(mtrr_register(&mtrrs, IA32_MTRR_FIX64K_00000) == NULL);
        mtrrs.cap = 0;
        CHECK(mtrr_register(&mtrrs, IA32_MTRR_DEF_TYPE) == NULL);
    }
}

TEST(the_processors_registers_are_read)
{
    struct mtrrs expected, mtrrs;
    machine_mtrrs(&machines[0], &expected);
    fake_set_cpuid(1, 0, 0, 0, 0, CPUID_1_EDX_MTRR);
    fake_set_msr_read_only(IA32_MTRRCAP, expected.cap);
    for (uint32_t msr = 0x200; msr <= 0x2ff; msr++) {
        if (mtrr_register(&expected, msr) != NULL)
            fake_set_msr(msr, *mtrr_register(&expected, msr));
    }
    mtrr_read(&mtrrs);
    CHECK(memcmp(&mtrrs, &expected, sizeof(mtrrs)) == 0);
}

TEST(a_processor_without_mtrrs_is_not_read)
{
    struct mtrrs mtrrs;
    memset(&mtrrs, 0xff, sizeof(mtrrs));
    mtrr_read(&mtrrs); /* the fake has no MSR at all: reading one would panic */
    CHECK_EQ(mtrrs.cap, 0);
}

TEST(more_ranges_than_there_is_room_for)
{
    struct mtrrs mtrrs = {.cap = 255};
    CHECK_EQ(mtrr_variable_count(&mtrrs), MTRR_VARIABLE_MAX);
    CHECK(mtrr_register(&mtrrs, 0x200 + 2 * MTRR_VARIABLE_MAX - 1) != NULL);
    CHECK(mtrr_register(&mtrrs, 0x200 + 2 * MTRR_VARIABLE_MAX) == NULL);
}
