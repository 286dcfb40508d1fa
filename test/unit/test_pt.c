/*
 * The page-table walker against a model: a list of the values that were set, the last one
 * that covers an address counts. The tables are read by a walk of the test's own, in the
 * formats of SDM Vol. 3A, "4-Level Paging and 5-Level Paging", and Vol. 3C, "EPT Translation
 * Mechanism".
 */
#include "unit.h"

#include "fake.h"
#include "lib/bits.h"
#include "mm/pt.h"

#define FRAMES 512
#define BASE   HPA(0x7f000000)

static uint8_t memory[FRAMES * PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t saved[FRAMES * PAGE_SIZE];
static struct frame_pool pool;
static struct pt pt;

/* EPT: any of R, W, X makes an entry present; bit 7 marks a large page. */
static const struct pt_format ept_format = {4, 3, 7, 7, BIT(7), MASK(51, 12)};
/* Ordinary paging: P, and a table entry is writable and user; XD may be in a leaf. */
static const struct pt_format host_format = {4, 3, 1, 3, BIT(7), MASK(51, 12)};

static struct pt_format with(struct pt_format format, unsigned levels, unsigned max_leaf)
{
    format.levels = levels;
    format.max_leaf = max_leaf;
    return format;
}

static void start_with(struct pt_format format, unsigned frames)
{
    memset(memory, 0xcc, sizeof(memory));
    frame_pool_init(&pool, BASE, memory, frames * PAGE_SIZE);
    CHECK_EQ(pt_init(&pt, &format, &pool), STATUS_OK);
    fake.stores = 0;
}

/* What an address translates to: a 4 KiB leaf that says the same, or the absent entry. */
struct translation {
    bool present;
    uint64_t hpa;
    uint64_t bits;
    unsigned level;
};

static struct translation walk(uint64_t address)
{
    uint64_t table = pt.root.value;
    for (unsigned level = pt.format.levels;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        CHECK(table >= BASE.value && table < BASE.value + sizeof(memory));
        CHECK_EQ(table % PAGE_SIZE, 0);
        const uint64_t *entries = (const uint64_t *)(memory + (table - BASE.value));
        uint64_t entry = entries[address >> shift & 511];
        if ((entry & pt.format.present_mask) == 0)
            return (struct translation){false, 0, entry, level};
        if (level == 1 || (entry & BIT(7)) != 0) {
            uint64_t inside = address & MASK(shift - 1, 12) & ~UINT64_C(0xfff);
            CHECK(level <= pt.format.max_leaf);
            if (level == 1) {
                inside = 0;
                CHECK_EQ(entry & BIT(7), 0);
            } else {
                CHECK_EQ(entry & MASK(51, 12) & (BIT(shift) - 1), 0); /* reserved bits */
            }
            return (struct translation){true, (entry & MASK(51, 12)) + inside,
                                        entry & ~(MASK(51, 12) | BIT(7)), level};
        }
        CHECK_EQ(entry & ~MASK(51, 12), pt.format.table_bits);
        table = entry & MASK(51, 12);
    }
}

static bool same(struct translation a, struct translation b)
{
    return a.present == b.present && a.bits == b.bits && (!a.present || a.hpa == b.hpa);
}

static const struct pt_value absent = {.present = false, .bits = 0};

static struct pt_value present(uint64_t hpa, uint64_t bits)
{
    return (struct pt_value){true, HPA(hpa), bits};
}

/* The model. */
static struct {
    uint64_t start, size;
    struct pt_value value;
} ops[4096];
static unsigned op_count;

static struct translation expected(uint64_t address)
{
    address &= ~UINT64_C(0xfff);
    for (unsigned i = op_count; i-- > 0;) {
        if (address >= ops[i].start && address - ops[i].start < ops[i].size) {
            const struct pt_value *value = &ops[i].value;
            return (struct translation){
                value->present, value->present ? value->hpa.value + address - ops[i].start : 0,
                value->bits, 0};
        }
    }
    return (struct translation){false, 0, 0, 0};
}

static void check_address(uint64_t address)
{
    struct translation found = walk(address);
    if (!same(found, expected(address)))
        unit_fail(__FILE__, __LINE__,
                  "0x%lx: present %d, hpa 0x%lx, bits 0x%lx; not %d, 0x%lx, 0x%lx", address,
                  found.present, found.hpa, found.bits, expected(address).present,
                  expected(address).hpa, expected(address).bits);
    struct pt_leaf leaf = pt_lookup(&pt, address);
    uint64_t size = PAGE_SIZE << (9 * (leaf.level - 1));
    CHECK_EQ(leaf.level, found.level);
    CHECK_EQ(leaf.present, found.present);
    CHECK_EQ(leaf.start, address / size * size);
    if (leaf.present)
        CHECK_EQ(leaf.hpa.value + (address - leaf.start) / PAGE_SIZE * PAGE_SIZE, found.hpa);
    else
        CHECK_EQ(leaf.entry, found.bits);
}

/* pt_set with all that its contract says about frames; returns whether it asked for a flush. */
static bool set(uint64_t start, uint64_t size, struct pt_value value)
{
    uint64_t needed = pt_tables_needed(&pt, start, size, &value);
    uint32_t free = pool.free;
    bool flush = false;
    CHECK_EQ(pt_set(&pt, start, size, &value, &flush), STATUS_OK);
    CHECK_EQ(free - pool.free, needed);
    CHECK(op_count < ARRAY_LENGTH(ops));
    ops[op_count].start = start;
    ops[op_count].size = size;
    ops[op_count++].value = value;
    return flush;
}

static void start_model(struct pt_format format)
{
    start_with(format, FRAMES);
    op_count = 0;
}

TEST(an_empty_tree_maps_nothing)
{
    start_model(ept_format);
    CHECK_EQ(pool.free, FRAMES - 1);
    check_address(0);
    check_address(GIB);
    check_address(BIT(48) - 1);
    CHECK_EQ(pt_reach(&ept_format), BIT(48));
    struct pt_format five = with(ept_format, 5, 3);
    CHECK_EQ(pt_reach(&five), BIT(57));
}

TEST(level_sizes)
{
    CHECK_EQ(pt_level_size(1), 4 * KIB);
    CHECK_EQ(pt_level_size(2), 2 * MIB);
    CHECK_EQ(pt_level_size(3), GIB);
    CHECK_EQ(pt_level_size(4), 512 * GIB);
    CHECK_EQ(pt_level_size(5), 256 * 1024 * GIB);
}

TEST(the_largest_pages_that_fit_are_used)
{
    static const struct {
        unsigned levels, max_leaf;
    } format[] = {{4, 1}, {4, 2}, {4, 3}, {5, 1}, {5, 2}, {5, 3}};
    for (unsigned i = 0; i < ARRAY_LENGTH(format); i++) {
        unsigned max = format[i].max_leaf;
        NOTE("%u levels, leaves up to %u", format[i].levels, max);
        start_model(with(ept_format, format[i].levels, max));
        if (max == 3)
            set(GIB, 2 * GIB, present(GIB, 0x37));
        set(8 * GIB - 3 * PAGE_SIZE - 4 * MIB, 4 * MIB + 5 * PAGE_SIZE,
            present(8 * GIB - 3 * PAGE_SIZE - 4 * MIB, 0x37));
        if (max == 3)
            CHECK_EQ(walk(2 * GIB).level, 3);
        CHECK_EQ(walk(8 * GIB - 3 * PAGE_SIZE - 4 * MIB).level, 1);
        CHECK_EQ(walk(8 * GIB - 4 * MIB).level, max < 2 ? max : 2);
        CHECK_EQ(walk(8 * GIB - 2 * MIB).level, max < 2 ? max : 2);
        CHECK_EQ(walk(8 * GIB).level, 1);
        check_address(8 * GIB + PAGE_SIZE);
        check_address(8 * GIB + 2 * PAGE_SIZE);
        check_address(8 * GIB - 2 * MIB + 7 * PAGE_SIZE);
    }
}

/* A large page's physical address must be aligned too: else smaller ones. */
TEST(a_shifted_target_uses_smaller_pages)
{
    start_model(ept_format);
    set(2 * GIB, GIB, present(GIB + 2 * MIB, 7));
    CHECK_EQ(walk(2 * GIB).level, 2);
    set(4 * GIB, 4 * MIB, present(GIB + PAGE_SIZE, 7));
    CHECK_EQ(walk(4 * GIB).level, 1);
    check_address(2 * GIB + 5 * MIB);
    check_address(4 * GIB + 4 * MIB - 1);
}

TEST(an_absent_value_uses_entries_of_any_level)
{
    uint64_t owner = BIT(56) * 5;
    start_model(ept_format);
    uint32_t free = pool.free;
    set(0, BIT(48), (struct pt_value){.bits = owner});
    CHECK_EQ(pool.free, free);
    CHECK_EQ(walk(3 * GIB).level, 4);
    set(5 * GIB, PAGE_SIZE, present(5 * GIB, 7));
    CHECK_EQ(walk(5 * GIB + PAGE_SIZE).bits, owner); /* the annotation is split with it */
    CHECK_EQ(walk(5 * GIB - 1).bits, owner);
    CHECK_EQ(walk(6 * GIB).bits, owner);
    check_address(5 * GIB);
}

TEST(a_split_keeps_the_rest)
{
    for (unsigned host = 0; host < 2; host++) {
        uint64_t bits = host ? BIT(63) | 3 : 0x37 | BIT(53);
        start_model(host ? host_format : ept_format);
        CHECK(!set(0, 4 * GIB, present(8 * GIB, bits)));
        CHECK_EQ(walk(GIB).level, 3);
        CHECK(set(GIB + 6 * MIB + 5 * PAGE_SIZE, PAGE_SIZE, absent));
        for (uint64_t address = GIB; address < 2 * GIB; address += 2 * MIB) {
            check_address(address);
            check_address(address + 5 * PAGE_SIZE);
            check_address(address + 2 * MIB - 1);
        }
        CHECK_EQ(walk(GIB).level, 2);
        CHECK_EQ(walk(GIB + 6 * MIB).level, 1);
        CHECK_EQ(walk(0).level, 3);
        CHECK_EQ(walk(2 * GIB).level, 3);
    }
}

TEST(range_ends)
{
    for (unsigned levels = 4; levels <= 5; levels++) {
        uint64_t reach = BIT(9 * levels + 12);
        start_model(with(ept_format, levels, 3));
        set(reach - PAGE_SIZE, PAGE_SIZE, present(0x5000, 7));
        check_address(reach - PAGE_SIZE - 1);
        check_address(reach - PAGE_SIZE);
        check_address(reach - 1);
        set(reach - 2 * GIB, 2 * GIB, present(GIB, 7));
        check_address(reach - 1);
        check_address(reach - 2 * GIB);
        check_address(reach - 2 * GIB - 1);
        set(0, PAGE_SIZE, present(0, 7));
        check_address(0);
        check_address(PAGE_SIZE);
        set(GIB - PAGE_SIZE, 2 * PAGE_SIZE, present(7 * GIB, 7));
        check_address(GIB - PAGE_SIZE - 1);
        check_address(GIB - PAGE_SIZE);
        check_address(GIB);
        check_address(GIB + PAGE_SIZE);
    }
}

TEST(bad_ranges_panic)
{
    static const uint64_t bad[][2] = {{1, PAGE_SIZE},
                                      {0, 1},
                                      {PAGE_SIZE, PAGE_SIZE / 2},
                                      {BIT(48), PAGE_SIZE},
                                      {BIT(48) - PAGE_SIZE, 2 * PAGE_SIZE},
                                      {PAGE_SIZE, UINT64_MAX - 0xfff},
                                      {UINT64_MAX - 0xfff, 2 * PAGE_SIZE}};
    struct pt_value value = present(0, 7);
    bool flush = false;
    start_model(ept_format);
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        NOTE("row %u", i);
        CHECK_PANICS(CHECK(pt_set(&pt, bad[i][0], bad[i][1], &value, &flush) == STATUS_OK));
        CHECK_PANICS((void)pt_tables_needed(&pt, bad[i][0], bad[i][1], &value));
    }
    CHECK_EQ(fake.stores, 0);
}

TEST(setting_the_same_again_changes_nothing)
{
    start_model(ept_format);
    set(GIB, GIB, present(GIB, 0x37));
    set(4 * GIB, 2 * MIB, present(4 * GIB, 0x37));
    fake.stores = 0;
    CHECK(!set(GIB, GIB, present(GIB, 0x37)));
    CHECK(!set(GIB + 4 * MIB, 7 * PAGE_SIZE, present(GIB + 4 * MIB, 0x37)));
    CHECK(!set(4 * GIB + PAGE_SIZE, PAGE_SIZE, present(4 * GIB + PAGE_SIZE, 0x37)));
    CHECK(!set(20 * GIB, 3 * PAGE_SIZE, absent));
    CHECK_EQ(fake.stores, 0);
    CHECK_EQ(walk(GIB).level, 3);
}

TEST(flush_is_never_cleared)
{
    bool flush = true;
    struct pt_value value = present(0, 7);
    start_model(ept_format);
    CHECK_EQ(pt_set(&pt, 0, PAGE_SIZE, &value, &flush), STATUS_OK);
    CHECK(flush);
}

/* With every number of frames that is too small, not one byte of the tables changes. */
TEST(no_memory_changes_nothing)
{
    struct pt_value value = present(3 * GIB + PAGE_SIZE, 7);
    uint64_t start = 510 * GIB + PAGE_SIZE, size = 4 * GIB - 2 * PAGE_SIZE;
    struct pt_format format = with(ept_format, 5, 2);
    start_with(format, FRAMES);
    uint64_t needed = pt_tables_needed(&pt, start, size, &value);
    CHECK(needed > 4 && needed < FRAMES);
    value.hpa = HPA(start); /* fewer: 2 MiB pages */
    needed = pt_tables_needed(&pt, start, size, &value);
    for (unsigned frames = 0; frames <= needed; frames++) {
        bool flush = false;
        start_with(format, frames + 1);
        memcpy(saved, memory, sizeof(memory));
        enum status status = pt_set(&pt, start, size, &value, &flush);
        CHECK_EQ(status, frames < needed ? STATUS_NO_MEMORY : STATUS_OK);
        CHECK(!flush);
        if (frames < needed) {
            CHECK_EQ(fake.stores, 0);
            CHECK_EQ(pool.free, frames);
            CHECK(memcmp(saved, memory, sizeof(memory)) == 0);
        }
    }
    CHECK_EQ(pool.free, 0);
}

#define REGION_START (GIB - 4 * MIB)
#define REGION_PAGES 2048

static struct translation region_before[REGION_PAGES];

static void snapshot(struct translation *into)
{
    for (unsigned i = 0; i < REGION_PAGES; i++)
        into[i] = walk(REGION_START + i * PAGE_SIZE);
}

static struct pt_value random_value(uint64_t start)
{
    static const uint64_t shift[] = {0, 0, 0, GIB, 2 * MIB, PAGE_SIZE};
    uint64_t bits = unit_random_below(2) ? 0x37 : 0x05;
    if (pt.format.present_mask == 1)
        bits = unit_random_below(2) ? 3 : BIT(63) | 1;
    switch (unit_random_below(6)) {
    case 0:
        return absent;
    case 1:
        return (struct pt_value){.bits = BIT(56) * (1 + unit_random_below(3))};
    default:
        return present(start + shift[unit_random_below(ARRAY_LENGTH(shift))], bits);
    }
}

static void random_range(uint64_t *start, uint64_t *size)
{
    unsigned first = (unsigned)unit_random_below(REGION_PAGES);
    unsigned pages = 1 + (unsigned)unit_random_below(unit_random_below(2) ? 8 : REGION_PAGES);
    if (unit_random_below(4) == 0) {
        first = first / 512 * 512;
        pages = 512 * (1 + pages / 512);
    }
    if (pages > REGION_PAGES - first)
        pages = REGION_PAGES - first;
    *start = REGION_START + first * PAGE_SIZE;
    *size = pages * PAGE_SIZE;
}

static const struct {
    const char *name;
    const struct pt_format *format;
    unsigned levels, max_leaf;
} variants[] = {{"EPT, 4 levels", &ept_format, 4, 3},   {"EPT, 5 levels", &ept_format, 5, 3},
                {"EPT, 2 MiB", &ept_format, 4, 2},      {"host, 4 levels", &host_format, 4, 3},
                {"host, 5 levels", &host_format, 5, 2}, {"host, 4 KiB", &host_format, 4, 1}};

TEST(random_updates_equal_the_model)
{
    static struct translation after[REGION_PAGES];
    for (unsigned v = 0; v < ARRAY_LENGTH(variants); v++) {
        for (unsigned round = 0; round < 6; round++) {
            start_model(with(*variants[v].format, variants[v].levels, variants[v].max_leaf));
            if (round % 2 == 0) /* begin with the largest pages, so that they are split */
                set(0, 4 * GIB,
                    variants[v].max_leaf == 3 ? present(0, variants[v].format->present_mask)
                                              : absent);
            for (unsigned i = 0; i < 30; i++) {
                uint64_t start, size;
                bool must_flush = false;
                NOTE("%s, round %u, update %u", variants[v].name, round, i);
                random_range(&start, &size);
                snapshot(region_before);
                bool flush = set(start, size, random_value(start));
                snapshot(after);
                for (unsigned page = 0; page < REGION_PAGES; page++) {
                    CHECK(same(after[page], expected(REGION_START + page * PAGE_SIZE)));
                    must_flush = must_flush || (region_before[page].present &&
                                                !same(region_before[page], after[page]));
                }
                CHECK_EQ(flush, must_flush);
                check_address(start);
                check_address(start + size - 1);
                check_address(start - 1);
                check_address(start + size);
                check_address(3 * GIB + 5);
            }
        }
    }
}

/* Each page, at each instant of the update, is as before or as after, and changes once. */
static void check_all_states(unsigned first_store)
{
    static struct translation after[REGION_PAGES];
    static bool done[REGION_PAGES];
    snapshot(after);
    CHECK(fake.stores < FAKE_LOG_MAX);
    for (unsigned i = fake.stores; i-- > first_store;)
        fake_undo_store(i);
    for (unsigned page = 0; page < REGION_PAGES; page++) {
        done[page] = false;
        CHECK(same(walk(REGION_START + page * PAGE_SIZE), region_before[page]));
    }
    for (unsigned i = first_store; i < fake.stores; i++) {
        fake_redo_store(i);
        for (unsigned page = 0; page < REGION_PAGES; page++) {
            struct translation now = walk(REGION_START + page * PAGE_SIZE);
            if (same(now, after[page])) {
                done[page] = true;
            } else {
                CHECK(same(now, region_before[page]));
                CHECK(!done[page]);
            }
        }
    }
}

TEST(every_state_of_an_update_is_old_or_new)
{
    for (unsigned v = 0; v < ARRAY_LENGTH(variants); v++) {
        start_model(with(*variants[v].format, variants[v].levels, variants[v].max_leaf));
        if (variants[v].max_leaf == 3)
            set(0, 4 * GIB, present(0, variants[v].format->present_mask));
        for (unsigned i = 0; i < 6; i++) {
            uint64_t start, size;
            NOTE("%s, update %u", variants[v].name, i);
            random_range(&start, &size);
            if (i == 0)
                size = PAGE_SIZE; /* the deepest split */
            snapshot(region_before);
            fake.stores = 0;
            set(start, size, random_value(start));
            if (fake.stores < 1200)
                check_all_states(0);
        }
    }
}

/* Only whole, aligned 64-bit stores through the seam touch the tables. */
TEST(tables_change_by_logged_stores_only)
{
    start_model(ept_format);
    set(0, 4 * GIB, present(0, 7));
    memcpy(saved, memory, sizeof(memory));
    fake.stores = 0;
    set(GIB + 4 * PAGE_SIZE, 3 * MIB, present(7 * GIB + 4 * PAGE_SIZE, 7));
    set(3 * GIB, 8 * PAGE_SIZE, absent);
    for (unsigned i = fake.stores; i-- > 0;)
        fake_undo_store(i);
    uint64_t used = FRAMES - pool.free;
    for (uint64_t i = 0; i < sizeof(memory); i++) {
        bool fresh_zero = memory[i] == 0 && saved[i] == 0xcc; /* frame_alloc() cleared it */
        CHECK(memory[i] == saved[i] || (fresh_zero && i / PAGE_SIZE < used));
    }
}

static bool keep_nothing(const void *context, uint64_t start, uint64_t size)
{
    (void)context, (void)start, (void)size;
    return false;
}

static bool keep_below(const void *context, uint64_t start, uint64_t size)
{
    (void)size;
    return start < *(const uint64_t *)context;
}

TEST(pruning_gives_every_table_back)
{
    bool flush = false;
    start_model(with(ept_format, 5, 3));
    set(GIB + PAGE_SIZE, 600 * GIB, present(GIB + PAGE_SIZE, 7));
    CHECK(pool.free < FRAMES - 4);
    pt_prune(&pt, keep_nothing, NULL, &flush);
    CHECK(flush);
    CHECK_EQ(pool.free, FRAMES - 1);
    op_count = 0;
    check_address(GIB + PAGE_SIZE);
    check_address(600 * GIB);
    flush = false;
    pt_prune(&pt, keep_nothing, NULL, &flush);
    CHECK(!flush);
}

TEST(pruning_keeps_what_is_wanted)
{
    uint64_t limit = 512 * GIB;
    bool flush = false;
    start_model(ept_format);
    set(GIB + PAGE_SIZE, PAGE_SIZE, present(GIB, 7));
    set(4 * GIB, 2 * MIB, present(4 * GIB, 7));
    uint32_t before = pool.free;
    CHECK_EQ(FRAMES - before, 5);
    set(512 * GIB + PAGE_SIZE, PAGE_SIZE, present(GIB, 7));
    CHECK_EQ(before - pool.free, 3);
    pt_prune(&pt, keep_below, &limit, &flush);
    CHECK(flush);
    CHECK_EQ(pool.free, before);
    ops[op_count - 1].value = absent;
    check_address(512 * GIB + PAGE_SIZE);
    check_address(GIB + PAGE_SIZE);
    check_address(4 * GIB);
    limit = 2 * GIB; /* now the table under 4 GiB goes, the one that holds it stays */
    flush = false;
    pt_prune(&pt, keep_below, &limit, &flush);
    CHECK(flush);
    CHECK_EQ(pool.free, before + 1);
    CHECK_EQ(walk(4 * GIB).level, 3);
    CHECK(!walk(4 * GIB).present);
    check_address(GIB + PAGE_SIZE);
}

TEST(a_large_leaf_is_pruned_too)
{
    bool flush = false;
    uint64_t limit = 1;
    start_model(ept_format);
    set(GIB, GIB, present(GIB, 7));
    pt_prune(&pt, keep_below, &limit, &flush);
    CHECK(flush);
    CHECK(!walk(GIB).present);
}

/* An annotation is no mapping: it stays where its table stays. */
TEST(pruning_keeps_annotations)
{
    bool flush = false;
    uint64_t limit = GIB;
    start_model(ept_format);
    set(2 * GIB, GIB, (struct pt_value){.bits = BIT(56)});
    pt_prune(&pt, keep_below, &limit, &flush);
    CHECK(!flush);
    CHECK_EQ(walk(2 * GIB).bits, BIT(56));
}

TEST(every_state_of_pruning_is_old_or_absent)
{
    bool flush = false;
    uint64_t limit = 1;
    start_model(ept_format);
    set(REGION_START + PAGE_SIZE, 7 * MIB, present(REGION_START + PAGE_SIZE, 7));
    snapshot(region_before);
    fake.stores = 0;
    pt_prune(&pt, keep_below, &limit, &flush);
    CHECK(flush);
    check_all_states(0);
}

TEST(pt_init_reports_an_empty_pool)
{
    frame_pool_init(&pool, BASE, memory, 0);
    CHECK_EQ(pt_init(&pt, &ept_format, &pool), STATUS_NO_MEMORY);
}
