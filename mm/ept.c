/* See ept.h. */
#include "mm/ept.h"

/* SDM Vol. 3C, "Extended-Page-Table Pointer (EPTP)": bits 2:0 type, 5:3 walk length - 1. */
#define EPTP_WALK_SHIFT 3

static uint64_t leaf_bits(enum memory_type type)
{
    return EPT_RWX | (uint64_t)type << 3 | (uint64_t)EPT_STATE_OWNED << 52;
}

/*
 * The largest block at address that ends by end and has one memory type: its level, and its
 * type in *type. At 4 KiB every range of every MTRR begins and ends on a block's edge.
 */
static unsigned typed_block(const struct ept_features *features, const struct mtrrs *mtrrs,
                            uint64_t address, uint64_t end, enum memory_type *type)
{
    for (unsigned level = features->max_leaf; level > 1; level--) {
        uint64_t size = pt_level_size(level);
        if (is_aligned(address, size) && end - address >= size &&
            mtrr_block_type(mtrrs, address, size, type))
            return level;
    }
    if (!mtrr_block_type(mtrrs, address, PAGE_SIZE, type))
        *type = MEMORY_UC;
    return 1;
}

/*
 * The ranges that are mapped before the guest starts: number index of them, or false.
 * Below 4 GiB everything; above it what the firmware calls memory, whatever its use. A
 * partial page at an end of such a range is left to the first touch.
 */
static bool eager_range(const struct memmap *map, uint32_t index, uint64_t *start, uint64_t *end)
{
    uint32_t seen = 0;
    *start = 0;
    *end = 4 * GIB;
    for (uint32_t i = 0; i < map->count && seen < index; i++) {
        const struct memmap_range *range = &map->range[i];
        if (range->type == MEMMAP_RESERVED || range->type == MEMMAP_UNUSABLE)
            continue;
        uint64_t low = max_u64(align_up(range->start, PAGE_SIZE), 4 * GIB);
        uint64_t high = align_down(range->end, PAGE_SIZE);
        if (low < high) {
            *start = low;
            *end = high;
            seen++;
        }
    }
    return seen == index;
}

uint64_t ept_tables_needed(const struct ept_features *features, const struct memmap *map,
                           const struct mtrrs *mtrrs)
{
    uint64_t tables = 1;
    uint64_t last[6] = {0}; /* per level: the last block that got a table, plus one */
    uint64_t start, end;

    for (uint32_t i = 0; eager_range(map, i, &start, &end); i++) {
        while (start < end) {
            enum memory_type type;
            unsigned level = typed_block(features, mtrrs, start, end, &type);
            for (unsigned above = level + 1; above <= features->levels; above++) {
                uint64_t block = start / pt_level_size(above) + 1;
                if (last[above] != block)
                    tables++;
                last[above] = block;
            }
            start += pt_level_size(level);
        }
    }
    /* Cutting Keel's home out splits at most one 1 GiB and, at each end, one 2 MiB page. */
    return tables + 3;
}

/* pt_keep_fn: a block with anything in it that is mapped eagerly is no mere hole. */
static bool has_eager(const void *context, uint64_t start, uint64_t size)
{
    const struct memmap *map = context;
    uint64_t eager_start, eager_end;
    for (uint32_t i = 0; eager_range(map, i, &eager_start, &eager_end); i++) {
        if (ranges_overlap(start, size, eager_start, eager_end - eager_start))
            return true;
    }
    return false;
}

/* Maps [start, end) but Keel's home with the MTRRs' types; keep frames must stay free. */
static enum status map_typed(struct ept *ept, uint64_t start, uint64_t end, uint64_t keep,
                             bool *flush)
{
    while (start < end) {
        enum memory_type type;
        unsigned level = typed_block(&ept->features, ept->mtrrs, start, end, &type);
        uint64_t size = pt_level_size(level);
        while (level > 1 && ranges_overlap(start, size, ept->home_start, ept->home_size))
            size = pt_level_size(--level);
        if (!ranges_overlap(start, size, ept->home_start, ept->home_size)) {
            struct pt_value value = {true, HPA(start), leaf_bits(type)};
            if (pt_tables_needed(&ept->pt, start, size, &value) + keep > ept->pt.pool->free)
                return STATUS_NO_MEMORY;
            enum status status = pt_set(&ept->pt, start, size, &value, flush);
            if (status != STATUS_OK)
                return status;
        }
        start += size;
    }
    return STATUS_OK;
}

void ept_forget_holes(struct ept *ept, bool *flush)
{
    pt_prune(&ept->pt, has_eager, ept->map, flush);
    ept->hole_tables = 0;
}

static enum status map_eager(struct ept *ept, uint64_t keep, bool *flush)
{
    uint64_t start, end;
    for (uint32_t i = 0; eager_range(ept->map, i, &start, &end); i++) {
        enum status status = map_typed(ept, start, end, keep, flush);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status ept_retype(struct ept *ept, bool *flush)
{
    return map_eager(ept, EPT_HOLE_TABLES, flush);
}

enum status ept_init(struct ept *ept, const struct ept_features *features, const struct memmap *map,
                     const struct mtrrs *mtrrs, struct frame_pool *pool, uint64_t home_start,
                     uint64_t home_size)
{
    const struct pt_format format = {
        .levels = features->levels,
        .max_leaf = features->max_leaf,
        .present_mask = EPT_RWX,
        .table_bits = EPT_RWX,
        .large_bit = EPT_LARGE,
        .address_mask = EPT_ADDRESS,
    };
    const struct pt_value private = {.present = false,
                                     .bits = (uint64_t)EPT_OWNER_KEEL_PRIVATE << 56};
    bool flush = false; /* nobody uses it yet */

    ept->features = *features;
    ept->map = map;
    ept->mtrrs = mtrrs;
    ept->home_start = home_start;
    ept->home_size = home_size;
    ept->hole_tables = 0;
    enum status status = pt_init(&ept->pt, &format, pool);
    if (status == STATUS_OK)
        status = pt_set(&ept->pt, home_start, home_size, &private, &flush);
    if (status == STATUS_OK)
        status = map_eager(ept, 0, &flush);
    return status;
}

enum ept_fault ept_touch(struct ept *ept, gpa_t address)
{
    const struct ept_features *features = &ept->features;

    if (address.value >> features->physical_bits != 0)
        return EPT_FAULT_BEYOND;
    struct pt_leaf leaf = pt_lookup(&ept->pt, address.value);
    if (leaf.present)
        return EPT_FAULT_MAPPED; /* another CPU was first, or the right has come back */
    if (bits_get(leaf.entry, EPT_OWNER) != EPT_OWNER_NONE)
        return EPT_FAULT_KEEL;

    unsigned level = features->max_leaf;
    uint64_t start, size;
    enum memory_type type = MEMORY_UC;
    for (;; level--) {
        size = pt_level_size(level);
        start = align_down(address.value, size);
        bool typed = mtrr_block_type(ept->mtrrs, start, size, &type);
        if (level == 1 || (typed && !has_eager(ept->map, start, size)))
            break;
    }

    struct pt_value value = {true, HPA(start), leaf_bits(type)};
    uint64_t tables = pt_tables_needed(&ept->pt, start, size, &value);
    bool flush = false;
    if (ept->hole_tables + tables > EPT_HOLE_TABLES ||
        pt_set(&ept->pt, start, size, &value, &flush) != STATUS_OK)
        return EPT_FAULT_FULL;
    ept->hole_tables += tables;
    return EPT_FAULT_MAPPED;
}

uint64_t ept_pointer(const struct ept *ept)
{
    return ept->pt.root.value | (uint64_t)(ept->features.levels - 1) << EPTP_WALK_SHIFT | MEMORY_WB;
}
