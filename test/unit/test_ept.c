/*
 * The guest's EPT on the memory maps of real machines: what is mapped, with which type and
 * which page size, what stays Keel's, and what the first touch of a hole does.
 */
#include "unit.h"

#include "fake.h"
#include "lib/bits.h"
#include "machines.h"
#include "mm/ept.h"

#define FRAMES    4096
#define POOL_BASE HPA(0x30000000)
#define HOME_SIZE (2 * MIB)

static uint8_t memory[FRAMES * PAGE_SIZE] __attribute__((aligned(4096)));
static struct frame_pool pool;
static struct memmap map;
static struct mtrrs mtrrs;
static struct ept_features features;
static struct ept ept;
static uint64_t home;

/* Where Keel would go: 2 MiB of RAM, aligned, as high as may be below 4 GiB. */
static void choose_home(void)
{
    CHECK_EQ(memmap_find_highest(&map, MIB, 4 * GIB, HOME_SIZE, SIZE_2M, NULL, 0, &home),
             STATUS_OK);
}

static void start_machine(const struct machine *machine, unsigned max_leaf, unsigned frames)
{
    machine_mtrrs(machine, &mtrrs);
    machine_map(machine, &map);
    choose_home();
    features = (struct ept_features){machine->physical_bits > 48 ? 5 : 4, max_leaf,
                                     machine->physical_bits};
    frame_pool_init(&pool, POOL_BASE, memory, frames * PAGE_SIZE);
}

static void init_with(const struct machine *machine, unsigned max_leaf)
{
    start_machine(machine, max_leaf, FRAMES);
    CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, HOME_SIZE), STATUS_OK);
    fake.stores = 0;
}

static uint64_t level_size(unsigned level)
{
    return PAGE_SIZE << (9 * (level - 1));
}

static bool in_home(uint64_t address)
{
    return address >= home && address < home + HOME_SIZE;
}

/* Is the address below 4 GiB, or in what the firmware calls memory and is a whole page? */
static bool is_eager(uint64_t address)
{
    const struct memmap_range *range = memmap_find(&map, address);
    if (address < 4 * GIB)
        return true;
    return range != NULL && range->type != MEMMAP_RESERVED && range->type != MEMMAP_UNUSABLE &&
           address >= align_up(range->start, PAGE_SIZE) &&
           address < align_down(range->end, PAGE_SIZE);
}

/*
 * Types change only where a range of an MTRR begins or ends (all masks here are contiguous):
 * those addresses, in which it is enough to look for a change.
 */
static uint64_t edges[256];
static unsigned edge_count;

static void collect_edges(void)
{
    edge_count = 0;
    for (unsigned i = 0; i < MTRR_FIXED_COUNT * 8; i++)
        edges[edge_count++] = machine_fixed_start(i / 8, i % 8);
    edges[edge_count++] = MIB;
    for (unsigned i = 0; i < (mtrrs.cap & 0xff); i++) {
        uint64_t mask = mtrrs.mask[i] & ~UINT64_C(0xfff);
        if ((mtrrs.mask[i] & MTRR_PHYSMASK_V) != 0) {
            edges[edge_count++] = mtrrs.base[i] & mask;
            edges[edge_count++] = (mtrrs.base[i] & mask) + (mask & -mask);
        }
    }
}

/* The one type of [start, start + size), or -1: more than one. */
static int uniform_type(uint64_t start, uint64_t size)
{
    int type = machine_type(&mtrrs, start);
    for (unsigned i = 0; i < edge_count; i++) {
        if (edges[i] > start && edges[i] < start + size && machine_type(&mtrrs, edges[i]) != type)
            return -1;
    }
    return type;
}

/* Does the EPT map the block at start as the machine has it? SDM Vol. 3C, "EPT Entry" formats. */
static void check_leaf(struct pt_leaf leaf)
{
    uint64_t size = level_size(leaf.level);
    uint64_t large = leaf.level > 1 ? EPT_LARGE : 0;
    int type = uniform_type(leaf.start, size);
    CHECK(leaf.present);
    CHECK(type >= 0);
    CHECK_EQ(leaf.entry, leaf.start | EPT_RWX | large | (uint64_t)type << 3);
}

/* Could the block one level up have been one page? */
static bool could_be_larger(struct pt_leaf leaf)
{
    uint64_t size = level_size(leaf.level + 1);
    uint64_t start = align_down(leaf.start, size);
    if (leaf.level == features.max_leaf || ranges_overlap(start, size, home, HOME_SIZE) ||
        uniform_type(start, size) < 0)
        return false;
    if (start < 4 * GIB)
        return start + size <= 4 * GIB;
    const struct memmap_range *range = memmap_find(&map, leaf.start);
    return range != NULL && start >= align_up(range->start, PAGE_SIZE) &&
           start + size <= align_down(range->end, PAGE_SIZE);
}

static unsigned too_small; /* pages whose neighbours have the same type and room */

static void check_everything(void)
{
    collect_edges();
    too_small = 0;
    uint64_t end = map.range[map.count - 1].end + 2 * GIB;
    for (uint64_t address = 0; address < end;) {
        struct pt_leaf leaf = pt_lookup(&ept.pt, address);
        NOTE("0x%lx", address);
        if (in_home(address)) {
            CHECK(!leaf.present);
            CHECK_EQ(leaf.entry, (uint64_t)EPT_OWNER_KEEL_PRIVATE << 56);
            address += PAGE_SIZE;
            continue;
        }
        if (is_eager(address)) {
            check_leaf(leaf);
            too_small += could_be_larger(leaf);
        } else {
            CHECK(!leaf.present);
            CHECK_EQ(leaf.entry, 0);
        }
        /* One absent entry may cover Keel's home or RAM only if it is wrong: look in steps. */
        address = leaf.present ? leaf.start + level_size(leaf.level) : address + PAGE_SIZE;
    }
    NOTE(" ");
}

TEST(every_machine_is_mapped_as_it_is)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        for (unsigned max_leaf = 2; max_leaf <= 3; max_leaf++) {
            init_with(&machines[i], max_leaf);
            check_everything();
            NOTE("%s, leaves up to %u", machines[i].name, max_leaf);
            CHECK_EQ(too_small, 0);
        }
    }
}

TEST(tables_needed_is_a_close_upper_bound)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        for (unsigned max_leaf = 2; max_leaf <= 3; max_leaf++) {
            NOTE("%s, leaves up to %u", machines[i].name, max_leaf);
            init_with(&machines[i], max_leaf);
            uint64_t used = FRAMES - pool.free;
            uint64_t needed = ept_tables_needed(&features, &map, &mtrrs);
            CHECK(used <= needed);
            CHECK(needed <= used + 3);

            start_machine(&machines[i], max_leaf, (unsigned)needed);
            CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, HOME_SIZE), STATUS_OK);
            start_machine(&machines[i], max_leaf, (unsigned)used - 1);
            CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, HOME_SIZE),
                     STATUS_NO_MEMORY);
        }
    }
}

/* The bound must hold wherever the home is, and however large: at a 1 GiB boundary too. */
TEST(tables_needed_holds_for_any_home)
{
    const struct machine *machine = &machines[3];
    for (unsigned round = 0; round < 60; round++) {
        start_machine(machine, 3, FRAMES);
        uint64_t size = PAGE_SIZE * (1 + unit_random_below(1500));
        home = SIZE_2M * (1 + unit_random_below(800));
        if (round < 20)
            home = GIB - SIZE_2M * (1 + round % 2);
        NOTE("home 0x%lx + 0x%lx", home, size);
        CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, size), STATUS_OK);
        CHECK(FRAMES - pool.free <= ept_tables_needed(&features, &map, &mtrrs));
        for (uint64_t page = home; page < home + size; page += PAGE_SIZE)
            CHECK(!pt_lookup(&ept.pt, page).present);
        CHECK(pt_lookup(&ept.pt, home - 1).present);
        CHECK(pt_lookup(&ept.pt, home + size).present);
    }
}

/* No page of the home is present at any instant while the tables are built. */
TEST(the_home_is_never_present)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        init_with(&machines[i], 2);
        start_machine(&machines[i], 2, FRAMES);
        fake.stores = 0;
        CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, HOME_SIZE), STATUS_OK);
        NOTE("%s", machines[i].name);
        CHECK(fake.stores < FAKE_LOG_MAX);
        for (unsigned s = 0; s < fake.stores; s++) {
            uint64_t new = fake.store[s].new;
            uint64_t target = new &EPT_ADDRESS;
            bool is_table = target >= POOL_BASE.value &&
                            target < POOL_BASE.value + sizeof(memory) &&
                            (new &(EPT_LARGE | EPT_MEMORY_TYPE)) == 0;
            if ((new &EPT_RWX) != 0 && !is_table)
                CHECK(!in_home(target) || (new &EPT_LARGE) == 0);
            CHECK((new &EPT_RWX) != 0 || (new & ~EPT_OWNER) == 0);
        }
    }
}

static enum status retype(bool *flush)
{
    ept_forget_holes(&ept, flush);
    return ept_retype(&ept, flush);
}

static enum ept_fault touch(uint64_t address, bool *flush)
{
    enum ept_fault fault = ept_touch(&ept, GPA(address));
    if (fault == EPT_FAULT_FULL) { /* as the header has its caller do */
        ept_forget_holes(&ept, flush);
        fault = ept_touch(&ept, GPA(address));
    }
    return fault;
}

TEST(a_touch_of_keels_home_is_named)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        bool flush = false;
        init_with(&machines[i], 3);
        for (uint64_t offset = 0; offset < HOME_SIZE; offset += 0x333)
            CHECK_EQ(touch(home + offset, &flush), EPT_FAULT_KEEL);
        CHECK_EQ(touch(home - 1, &flush), EPT_FAULT_MAPPED);
        CHECK_EQ(touch(home + HOME_SIZE, &flush), EPT_FAULT_MAPPED);
        CHECK(!flush);
        CHECK_EQ(fake.stores, 0);
    }
}

TEST(a_touch_beyond_the_physical_addresses_is_named)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        uint64_t end = BIT(machines[i].physical_bits);
        bool flush = false;
        init_with(&machines[i], 3);
        CHECK_EQ(touch(end, &flush), EPT_FAULT_BEYOND);
        CHECK_EQ(touch(end + GIB, &flush), EPT_FAULT_BEYOND);
        CHECK_EQ(touch(UINT64_MAX, &flush), EPT_FAULT_BEYOND);
        CHECK_EQ(touch(BIT(48), &flush), EPT_FAULT_BEYOND);
        CHECK_EQ(fake.stores, 0);
        CHECK_EQ(touch(end - 1, &flush), EPT_FAULT_MAPPED);
        check_leaf(pt_lookup(&ept.pt, end - 1));
    }
}

static bool block_is_hole(uint64_t start, uint64_t size)
{
    if (start < 4 * GIB)
        return false;
    for (uint32_t i = 0; i < map.count; i++) {
        const struct memmap_range *range = &map.range[i];
        if (range->type != MEMMAP_RESERVED && range->type != MEMMAP_UNUSABLE &&
            align_up(range->start, PAGE_SIZE) < align_down(range->end, PAGE_SIZE) &&
            ranges_overlap(start, size, align_up(range->start, PAGE_SIZE),
                           align_down(range->end, PAGE_SIZE) - align_up(range->start, PAGE_SIZE)))
            return false;
    }
    return true;
}

static void check_touched(uint64_t address)
{
    struct pt_leaf leaf = pt_lookup(&ept.pt, address);
    NOTE("0x%lx, level %u", address, leaf.level);
    check_leaf(leaf);
    if (is_eager(address) || leaf.level == features.max_leaf)
        return;
    uint64_t size = level_size(leaf.level + 1);
    uint64_t start = align_down(address, size);
    CHECK(!block_is_hole(start, size) || uniform_type(start, size) < 0);
}

TEST(holes_are_mapped_on_touch_with_the_largest_page)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        for (unsigned max_leaf = 2; max_leaf <= 3; max_leaf++) {
            bool flush = false;
            init_with(&machines[i], max_leaf);
            collect_edges();
            uint64_t top = max_u64(map.range[map.count - 1].end, 4 * GIB);
            uint64_t end = BIT(machines[i].physical_bits);
            const uint64_t places[] = {
                top,          top + PAGE_SIZE, top + 5 * MIB,
                top + GIB,    top + 3 * GIB,   512 * GIB - 1 < end ? 512 * GIB - 1 : top,
                end / 2 + 17, end - 1,         end - GIB};
            for (unsigned j = 0; j < ARRAY_LENGTH(places); j++) {
                NOTE("%s: 0x%lx", machines[i].name, places[j]);
                CHECK_EQ(touch(places[j], &flush), EPT_FAULT_MAPPED);
                check_touched(places[j]);
                unsigned stores = fake.stores;
                CHECK_EQ(touch(places[j], &flush), EPT_FAULT_MAPPED);
                CHECK_EQ(fake.stores, stores); /* the second CPU to fault finds it there */
            }
            CHECK(!flush);
        }
    }
}

/* A hole that touches RAM inside a large page must not map that page over the RAM's types. */
TEST(holes_between_ram_are_mapped_up_to_it)
{
    bool flush = false;
    start_machine(&machines[3], 3, FRAMES);
    CHECK_EQ(memmap_add(&map, 0x3000000000, 3 * MIB + 5 * PAGE_SIZE + 123, MEMMAP_RAM), STATUS_OK);
    CHECK_EQ(memmap_add(&map, 0x3040000000 + 123, PAGE_SIZE, MEMMAP_RAM), STATUS_OK);
    CHECK_EQ(memmap_add(&map, 0x3080000000, GIB, MEMMAP_RESERVED), STATUS_OK);
    CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, HOME_SIZE), STATUS_OK);
    collect_edges();
    CHECK(pt_lookup(&ept.pt, 0x3000000000).present);
    CHECK(!pt_lookup(&ept.pt, 0x3000000000 + 3 * MIB + 5 * PAGE_SIZE).present);
    for (uint64_t offset = 0; offset < 4 * GIB; offset += 7 * MIB / 2 + PAGE_SIZE) {
        CHECK_EQ(touch(0x3000000000 + offset, &flush), EPT_FAULT_MAPPED);
        check_touched(0x3000000000 + offset);
    }
    CHECK_EQ(touch(0x3000000000 + 3 * MIB + 5 * PAGE_SIZE, &flush), EPT_FAULT_MAPPED);
    CHECK_EQ(pt_lookup(&ept.pt, 0x3000000000 + 3 * MIB + 5 * PAGE_SIZE).level, 1);
    CHECK_EQ(touch(0x3040000000, &flush), EPT_FAULT_MAPPED); /* no whole page of RAM is near */
    CHECK_EQ(pt_lookup(&ept.pt, 0x3040000000).level, 3);
    CHECK_EQ(touch(0x3080000000, &flush), EPT_FAULT_MAPPED);
    CHECK_EQ(pt_lookup(&ept.pt, 0x3080000000).level, 3);
    CHECK(!flush);
}

/* Touches one page in each block of step bytes; the pool holds what init took and 32 more. */
static void sweep(unsigned physical_bits, unsigned max_leaf, uint64_t first, uint64_t step,
                  uint64_t count)
{
    unsigned flushes = 0;
    start_machine(&machines[1], max_leaf, FRAMES);
    features.physical_bits = physical_bits;
    features.levels = physical_bits > 48 ? 5 : 4;
    uint64_t needed = ept_tables_needed(&features, &map, &mtrrs);
    frame_pool_init(&pool, POOL_BASE, memory, (needed + EPT_HOLE_TABLES) * PAGE_SIZE);
    CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, HOME_SIZE), STATUS_OK);
    uint32_t after_init = pool.free;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t address = first + i * step + (i * 0x1003 & (GIB - 1));
        bool flush = false;
        if (address >> physical_bits != 0)
            break;
        NOTE("0x%lx", address);
        CHECK_EQ(touch(address, &flush), EPT_FAULT_MAPPED);
        CHECK(pt_lookup(&ept.pt, address).present);
        CHECK(after_init - pool.free <= EPT_HOLE_TABLES);
        flushes += flush;
        if (flush) { /* what was there from the start must be there still */
            CHECK(pt_lookup(&ept.pt, 0).present);
            CHECK(pt_lookup(&ept.pt, 0x456ffffff).present);
            CHECK(!pt_lookup(&ept.pt, home).present);
            CHECK_EQ(touch(home, &flush), EPT_FAULT_KEEL);
        }
    }
    CHECK(flushes > 0);
    for (uint64_t page = home; page < home + HOME_SIZE; page += PAGE_SIZE)
        CHECK(!pt_lookup(&ept.pt, page).present);
}

TEST(every_gib_of_46_bits_can_be_touched)
{
    sweep(46, 3, 4 * GIB, GIB, 65532);
    sweep(46, 2, 4 * GIB, 64 * GIB, 1024); /* a table for each */
}

TEST(every_gib_of_52_bits_can_be_touched)
{
    sweep(52, 3, 4 * GIB, 4 * GIB, BIT(20));
    sweep(52, 2, BIT(52) - 1024 * GIB, GIB, 1024);
    sweep(52, 2, BIT(47), BIT(40), 4096);
}

/* SDM Vol. 3A, "MTRR Maintenance Programming Interface": a frame buffer becomes WC. */
TEST(a_changed_mtrr_is_followed)
{
    unsigned changed = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(machines); i++) {
        bool flush = false;
        init_with(&machines[i], 3);
        mtrrs.base[9] = 0xd0000000 | MEMORY_WC;
        mtrrs.mask[9] = (MASK(machines[i].physical_bits - 1, 12) & ~MASK(23, 12)) | MTRR_PHYSMASK_V;
        NOTE("%s", machines[i].name);
        int before = pt_lookup(&ept.pt, 0xd0000000).entry >> 3 & 7;
        CHECK_EQ(retype(&flush), STATUS_OK);
        CHECK_EQ(flush, before != machine_type(&mtrrs, 0xd0000000)); /* UC beside WC stays UC */
        changed += flush;
        check_everything();

        mtrrs.def_type = 0; /* as the SDM's sequence does on the way: all is UC */
        flush = false;
        CHECK_EQ(retype(&flush), STATUS_OK);
        CHECK(flush);
        check_everything();

        machine_mtrrs(&machines[i], &mtrrs);
        mtrrs.fixed[4] = 0x0101010101010101;
        CHECK_EQ(retype(&flush), STATUS_OK);
        check_everything();

        flush = false;
        fake.stores = 0;
        CHECK_EQ(retype(&flush), STATUS_OK);
        CHECK(!flush); /* nothing has changed */
        CHECK_EQ(fake.stores, 0);
    }
    CHECK(changed > 0);
}

/* Holes that the guest has touched already follow too: a 64-bit BAR's WC range. */
TEST(a_changed_mtrr_reaches_touched_holes)
{
    uint64_t bar = 0x3800000000;
    bool flush = false;
    init_with(&machines[1], 3);
    collect_edges();
    CHECK_EQ(touch(bar, &flush), EPT_FAULT_MAPPED);
    check_touched(bar);
    mtrrs.base[9] = bar | MEMORY_WC;
    mtrrs.mask[9] = (MASK(38, 12) & ~MASK(27, 12)) | MTRR_PHYSMASK_V;
    CHECK_EQ(retype(&flush), STATUS_OK);
    collect_edges();
    CHECK_EQ(touch(bar, &flush), EPT_FAULT_MAPPED);
    check_touched(bar);
}

TEST(retyping_without_frames_is_reported)
{
    bool flush = false;
    init_with(&machines[3], 3);
    start_machine(&machines[3], 3, FRAMES - pool.free);
    CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, HOME_SIZE), STATUS_OK);
    CHECK_EQ(pool.free, 0);
    mtrrs.base[9] = 0x100000000 | MEMORY_WC;
    mtrrs.mask[9] = (MASK(45, 12) & ~MASK(23, 12)) | MTRR_PHYSMASK_V;
    CHECK_EQ(retype(&flush), STATUS_NO_MEMORY);
    for (uint64_t page = home; page < home + HOME_SIZE; page += PAGE_SIZE)
        CHECK(!pt_lookup(&ept.pt, page).present);
}

/* SDM Vol. 3C, "Extended-Page-Table Pointer (EPTP)": WB, walk length less 1, no A/D flags. */
TEST(the_ept_pointer)
{
    init_with(&machines[0], 3);
    CHECK_EQ(ept_pointer(&ept), ept.pt.root.value | 3 << 3 | 6);
    start_machine(&machines[0], 3, FRAMES);
    features.levels = 5;
    features.physical_bits = 52;
    CHECK_EQ(ept_init(&ept, &features, &map, &mtrrs, &pool, home, HOME_SIZE), STATUS_OK);
    CHECK_EQ(ept_pointer(&ept), ept.pt.root.value | 4 << 3 | 6);
}
