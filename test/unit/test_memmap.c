/*
 * The memory map against a model: one type a byte over a few hundred bytes, in which the more
 * restrictive type of an overlap stays (memmap.h).
 */
#include "unit.h"

#include "lib/bits.h"
#include "mm/memmap.h"

#define SPACE 320

static struct memmap map, before;

static const enum memmap_type all_types[] = {MEMMAP_RAM, MEMMAP_ACPI, MEMMAP_NVS, MEMMAP_RESERVED,
                                             MEMMAP_UNUSABLE};

/* all_types stands in the order of how much each forbids; a hole forbids nothing. */
static unsigned restriction(unsigned type)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(all_types); i++) {
        if (all_types[i] == type)
            return i + 1;
    }
    return 0;
}

static void add(uint64_t start, uint64_t size, uint32_t type)
{
    CHECK_EQ(memmap_add(&map, start, size, type), STATUS_OK);
}

static void expect_range(uint32_t index, uint64_t start, uint64_t end, enum memmap_type type)
{
    CHECK(index < map.count);
    CHECK_EQ(map.range[index].start, start);
    CHECK_EQ(map.range[index].end, end);
    CHECK_EQ(map.range[index].type, type);
}

static void expect_well_formed(void)
{
    for (uint32_t i = 0; i < map.count; i++) {
        CHECK(map.range[i].start < map.range[i].end);
        if (i + 1 < map.count) {
            CHECK(map.range[i].end <= map.range[i + 1].start);
            CHECK(map.range[i].end < map.range[i + 1].start ||
                  map.range[i].type != map.range[i + 1].type);
        }
    }
}

TEST(the_more_restrictive_type_wins_in_either_order)
{
    for (unsigned a = 0; a < ARRAY_LENGTH(all_types); a++) {
        for (unsigned b = 0; b < ARRAY_LENGTH(all_types); b++) {
            unsigned winner = a > b ? a : b;
            map.count = 0;
            add(0x1000, 0x2000, all_types[a]);
            add(0x2000, 0x2000, all_types[b]);
            CHECK_EQ(memmap_find(&map, 0x1fff)->type, all_types[a]);
            CHECK_EQ(memmap_find(&map, 0x2000)->type, all_types[winner]);
            CHECK_EQ(memmap_find(&map, 0x2fff)->type, all_types[winner]);
            CHECK_EQ(memmap_find(&map, 0x3000)->type, all_types[b]);
            expect_well_formed();
        }
    }
}

TEST(a_reserved_island_splits_ram)
{
    map.count = 0;
    add(0, 0x100000, MEMMAP_RAM);
    add(0x40000, 0x1000, MEMMAP_RESERVED);
    CHECK_EQ(map.count, 3);
    expect_range(0, 0, 0x40000, MEMMAP_RAM);
    expect_range(1, 0x40000, 0x41000, MEMMAP_RESERVED);
    expect_range(2, 0x41000, 0x100000, MEMMAP_RAM);
}

TEST(ram_over_a_reserved_island_leaves_it)
{
    map.count = 0;
    add(0x40000, 0x1000, MEMMAP_RESERVED);
    add(0, 0x100000, MEMMAP_RAM);
    CHECK_EQ(map.count, 3);
    expect_range(1, 0x40000, 0x41000, MEMMAP_RESERVED);
}

TEST(one_range_over_many_and_their_gaps)
{
    map.count = 0;
    add(0x1000, 0x1000, MEMMAP_RAM);
    add(0x3000, 0x1000, MEMMAP_UNUSABLE);
    add(0x5000, 0x1000, MEMMAP_ACPI);
    add(0, 0x8000, MEMMAP_RESERVED);
    CHECK_EQ(map.count, 3);
    expect_range(0, 0, 0x3000, MEMMAP_RESERVED);
    expect_range(1, 0x3000, 0x4000, MEMMAP_UNUSABLE);
    expect_range(2, 0x4000, 0x8000, MEMMAP_RESERVED);
}

TEST(neighbours_of_one_type_join)
{
    map.count = 0;
    add(0x1000, 0x1000, MEMMAP_RAM);
    add(0x3000, 0x1000, MEMMAP_RAM);
    CHECK_EQ(map.count, 2);
    add(0x2000, 0x1000, MEMMAP_RAM);
    CHECK_EQ(map.count, 1);
    expect_range(0, 0x1000, 0x4000, MEMMAP_RAM);
}

TEST(neighbours_of_two_types_do_not_join)
{
    map.count = 0;
    add(0x1000, 0x1000, MEMMAP_RAM);
    add(0x2000, 0x1000, MEMMAP_NVS);
    CHECK_EQ(map.count, 2);
}

TEST(an_unknown_type_is_reserved)
{
    static const uint32_t unknown[] = {0, 6, 7, 12, 20, 0x7fffffff, 0x80000001, UINT32_MAX};
    for (unsigned i = 0; i < ARRAY_LENGTH(unknown); i++) {
        map.count = 0;
        add(0x1000, 0x1000, unknown[i]);
        CHECK_EQ(memmap_find(&map, 0x1000)->type, MEMMAP_RESERVED);
    }
}

TEST(an_empty_range_is_ignored)
{
    map.count = 0;
    add(0x1000, 0, MEMMAP_RAM);
    CHECK_EQ(map.count, 0);
    add(0x1000, 0x1000, MEMMAP_RAM);
    add(0x1800, 0, MEMMAP_RESERVED);
    add(0x2000, 0, MEMMAP_RESERVED);
    add(UINT64_MAX, 0, MEMMAP_RESERVED);
    CHECK_EQ(map.count, 1);
    expect_range(0, 0x1000, 0x2000, MEMMAP_RAM);
}

TEST(a_range_that_wraps_is_invalid_and_changes_nothing)
{
    map.count = 0;
    add(0x1000, 0x1000, MEMMAP_RAM);
    before = map;
    CHECK_EQ(memmap_add(&map, UINT64_MAX - 0xfff, 0x2000, MEMMAP_RAM), STATUS_INVALID);
    CHECK_EQ(memmap_add(&map, 0x1000, UINT64_MAX, MEMMAP_RAM), STATUS_INVALID);
    CHECK(memcmp(&before, &map, sizeof(map)) == 0);
    add(UINT64_MAX - 0xfff, 0xfff, MEMMAP_RESERVED);
    expect_range(1, UINT64_MAX - 0xfff, UINT64_MAX, MEMMAP_RESERVED);
}

static void fill(void)
{
    map.count = 0;
    for (uint64_t i = 0; i < MEMMAP_MAX; i++)
        add(i * 0x10000, 0x8000, MEMMAP_RAM);
    CHECK_EQ(map.count, MEMMAP_MAX);
}

TEST(a_full_table_refuses_and_is_unchanged)
{
    fill();
    before = map;
    CHECK_EQ(memmap_add(&map, MEMMAP_MAX * 0x10000, 0x1000, MEMMAP_RAM), STATUS_NO_MEMORY);
    CHECK_EQ(memmap_add(&map, 0x9000, 0x1000, MEMMAP_RAM), STATUS_NO_MEMORY);
    CHECK_EQ(memmap_add(&map, 0x1000, 0x1000, MEMMAP_RESERVED), STATUS_NO_MEMORY);
    CHECK_EQ(memmap_add(&map, 0x0, 0x20000, MEMMAP_RESERVED), STATUS_OK); /* joins two */
    map = before;
    CHECK(memcmp(&before, &map, sizeof(map)) == 0);
}

TEST(a_full_table_takes_what_needs_no_room)
{
    fill();
    add(0x1000, 0x1000, MEMMAP_RAM);
    CHECK_EQ(map.count, MEMMAP_MAX);
    add(0x8000, 0x8000, MEMMAP_RAM);
    CHECK_EQ(map.count, MEMMAP_MAX - 1);
    add(0, MEMMAP_MAX * 0x10000, MEMMAP_UNUSABLE);
    CHECK_EQ(map.count, 1);
}

static void check_against(const unsigned model[SPACE])
{
    uint64_t total[6] = {0};
    expect_well_formed();
    for (unsigned i = 0; i < SPACE; i++) {
        const struct memmap_range *range = memmap_find(&map, i);
        CHECK_EQ(range != NULL ? range->type : 0, model[i]);
        CHECK(range == NULL || (range->start <= i && i < range->end));
        total[model[i]]++;
    }
    CHECK(memmap_find(&map, SPACE) == NULL);
    CHECK(memmap_find(&map, UINT64_MAX) == NULL);
    for (unsigned i = 0; i < ARRAY_LENGTH(all_types); i++)
        CHECK_EQ(memmap_total(&map, all_types[i]), total[all_types[i]]);

    for (unsigned i = 0; i < 50; i++) {
        uint64_t start = unit_random_below(SPACE), size = 1 + unit_random_below(40);
        enum memmap_type type = all_types[unit_random_below(5)];
        bool all = true;
        for (uint64_t j = start; j < start + size; j++)
            all = all && j < SPACE && model[j] == type;
        CHECK_EQ(memmap_all(&map, start, size, type), all);
    }
    CHECK(!memmap_all(&map, 0, UINT64_MAX, MEMMAP_RAM));
}

static void random_map(unsigned model[SPACE], unsigned ranges)
{
    memset(model, 0, SPACE * sizeof(model[0]));
    map.count = 0;
    for (unsigned i = 0; i < ranges; i++) {
        uint64_t start = unit_random_below(SPACE);
        uint64_t size = unit_random_below(min_u64(SPACE - start, 60) + 1);
        unsigned type = all_types[unit_random_below(2) ? 0 : unit_random_below(5)];
        add(start, size, type);
        for (uint64_t j = start; j < start + size; j++) {
            if (restriction(type) > restriction(model[j]))
                model[j] = type;
        }
    }
}

TEST(random_maps_equal_the_model)
{
    unsigned model[SPACE];
    for (unsigned round = 0; round < 1000; round++) {
        NOTE("round %u", round);
        random_map(model, 1 + (unsigned)unit_random_below(20));
        check_against(model);
    }
}

TEST(the_order_of_adding_does_not_matter)
{
    struct {
        uint64_t start, size;
        uint32_t type;
    } range[12];
    for (unsigned round = 0; round < 500; round++) {
        NOTE("round %u", round);
        for (unsigned i = 0; i < ARRAY_LENGTH(range); i++) {
            range[i].start = unit_random_below(1000);
            range[i].size = unit_random_below(300);
            range[i].type = all_types[unit_random_below(5)];
        }
        map.count = 0;
        for (unsigned i = 0; i < ARRAY_LENGTH(range); i++)
            add(range[i].start, range[i].size, range[i].type);
        before = map;
        map.count = 0;
        for (unsigned i = ARRAY_LENGTH(range); i-- > 0;)
            add(range[i].start, range[i].size, range[i].type);
        CHECK_EQ(map.count, before.count);
        for (uint32_t i = 0; i < map.count; i++)
            expect_range(i, before.range[i].start, before.range[i].end, before.range[i].type);
    }
}

static bool place_fits(const unsigned model[SPACE], const struct memmap_busy *busy, unsigned count,
                       uint64_t start, uint64_t size)
{
    for (uint64_t i = start; i < start + size; i++) {
        if (i >= SPACE || model[i] != MEMMAP_RAM)
            return false;
        for (unsigned j = 0; j < count; j++) {
            if (i >= busy[j].start && i < busy[j].start + busy[j].size)
                return false;
        }
    }
    return true;
}

TEST(places_are_found_as_by_trying_each)
{
    unsigned model[SPACE];
    unsigned found = 0;
    for (unsigned round = 0; round < 4000; round++) {
        struct memmap_busy busy[4];
        unsigned busy_count = (unsigned)unit_random_below(5);
        uint64_t low = unit_random_below(SPACE), high = low + unit_random_below(SPACE + 1 - low);
        uint64_t size = 1 + unit_random_below(24), align = 1u << unit_random_below(6);
        uint64_t lowest = UINT64_MAX, highest = UINT64_MAX, start = 0;

        NOTE("round %u", round);
        random_map(model, 1 + (unsigned)unit_random_below(12));
        for (unsigned i = 0; i < busy_count; i++)
            busy[i] = (struct memmap_busy){unit_random_below(SPACE), unit_random_below(30)};
        for (uint64_t place = 0; place + size <= SPACE; place += align) {
            if (place < low || place + size > high ||
                !place_fits(model, busy, busy_count, place, size))
                continue;
            lowest = min_u64(lowest, place);
            highest = place;
        }
        enum status expected = highest == UINT64_MAX ? STATUS_NO_MEMORY : STATUS_OK;
        CHECK_EQ(memmap_find_highest(&map, low, high, size, align, busy, busy_count, &start),
                 expected);
        if (expected == STATUS_OK)
            CHECK_EQ(start, highest);
        CHECK_EQ(memmap_find_lowest(&map, low, high, size, align, busy, busy_count, &start),
                 expected);
        if (expected == STATUS_OK) {
            CHECK_EQ(start, lowest);
            found++;
        }
    }
    CHECK(found > 1000 && found < 3500); /* the rounds are neither trivial nor hopeless */
}

TEST(places_at_the_ends_of_the_address_space)
{
    uint64_t start;
    map.count = 0;
    add(0, 0x3000, MEMMAP_RAM);
    add(UINT64_MAX - 0x2fff, 0x2fff, MEMMAP_RAM);
    CHECK_EQ(memmap_find_lowest(&map, 0, UINT64_MAX, 0x1000, 0x1000, NULL, 0, &start), STATUS_OK);
    CHECK_EQ(start, 0);
    CHECK_EQ(memmap_find_highest(&map, 0, UINT64_MAX, 0x1000, 0x1000, NULL, 0, &start), STATUS_OK);
    CHECK_EQ(start, UINT64_MAX - 0x1fff);
    /* Rounding up would wrap: there is no place, and no loop without end. */
    CHECK_EQ(memmap_find_lowest(&map, UINT64_MAX - 0x2fff, UINT64_MAX, 0x1000, UINT64_C(1) << 63,
                                NULL, 0, &start),
             STATUS_NO_MEMORY);
    CHECK_EQ(memmap_find_highest(&map, 0x1000, UINT64_MAX, 0x4000, 0x1000, NULL, 0, &start),
             STATUS_NO_MEMORY);
    CHECK_EQ(memmap_find_lowest(&map, 0x2000, 0x1000, 0x1000, 0x1000, NULL, 0, &start),
             STATUS_NO_MEMORY);
}
