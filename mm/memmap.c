/* See memmap.h. */
#include "mm/memmap.h"

#include "lib/bits.h"
#include "lib/string.h"

/* How much a type forbids: of two ranges that overlap, the one that forbids more is right. */
static unsigned rank(enum memmap_type type)
{
    switch (type) {
    case MEMMAP_RAM:
        return 0;
    case MEMMAP_ACPI:
        return 1;
    case MEMMAP_NVS:
        return 2;
    case MEMMAP_RESERVED:
        return 3;
    case MEMMAP_UNUSABLE:
        return 4;
    }
    return 3;
}

static enum memmap_type known_type(uint32_t type)
{
    return type >= MEMMAP_RAM && type <= MEMMAP_UNUSABLE ? (enum memmap_type)type : MEMMAP_RESERVED;
}

/* Appends a range behind the others; joins it with the last one where it can. */
static bool append(struct memmap *map, uint64_t start, uint64_t end, enum memmap_type type)
{
    if (start == end)
        return true;
    if (map->count > 0) {
        struct memmap_range *last = &map->range[map->count - 1];
        if (last->end == start && last->type == type) {
            last->end = end;
            return true;
        }
    }
    if (map->count == MEMMAP_MAX)
        return false;
    map->range[map->count++] = (struct memmap_range){start, end, type};
    return true;
}

enum status memmap_add(struct memmap *map, uint64_t start, uint64_t size, uint32_t raw_type)
{
    static struct memmap merged; /* too big for a stack; only ever used while one CPU runs */
    enum memmap_type type = known_type(raw_type);
    uint64_t end = start + size;
    uint64_t next = start; /* what of the new range has not been placed yet */
    bool fits = true;

    if (end == 0 && size > 0) /* up to the very last byte: all but the last page counts */
        end = align_down(UINT64_MAX, PAGE_SIZE);
    if (end < start)
        return STATUS_INVALID;
    merged.count = 0;
    for (uint32_t i = 0; i < map->count; i++) {
        const struct memmap_range *old = &map->range[i];
        uint64_t gap_end = min_u64(end, old->start);
        if (next < gap_end) { /* the part of the new range before this old one */
            fits = fits && append(&merged, next, gap_end, type);
            next = gap_end;
        }
        uint64_t shared_start = max_u64(next, old->start);
        uint64_t shared_end = min_u64(end, old->end);
        if (shared_start < shared_end) {
            enum memmap_type shared = rank(type) > rank(old->type) ? type : old->type;
            fits = fits && append(&merged, old->start, shared_start, old->type) &&
                   append(&merged, shared_start, shared_end, shared) &&
                   append(&merged, shared_end, old->end, old->type);
            next = shared_end;
        } else {
            fits = fits && append(&merged, old->start, old->end, old->type);
        }
    }
    if (next < end)
        fits = fits && append(&merged, next, end, type);
    if (!fits)
        return STATUS_NO_MEMORY;
    map->count = merged.count;
    memcpy(map->range, merged.range, merged.count * sizeof(merged.range[0]));
    return STATUS_OK;
}

const struct memmap_range *memmap_find(const struct memmap *map, uint64_t address)
{
    for (uint32_t i = 0; i < map->count; i++) {
        if (address >= map->range[i].start && address < map->range[i].end)
            return &map->range[i];
    }
    return NULL;
}

bool memmap_all(const struct memmap *map, uint64_t start, uint64_t size, enum memmap_type type)
{
    const struct memmap_range *range = memmap_find(map, start);
    return range != NULL && range->type == type && range->end - start >= size;
}

uint64_t memmap_total(const struct memmap *map, enum memmap_type type)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < map->count; i++) {
        if (map->range[i].type == type)
            total += map->range[i].end - map->range[i].start;
    }
    return total;
}

static const struct memmap_busy *find_busy(const struct memmap_busy *busy, uint32_t count,
                                           uint64_t start, uint64_t size)
{
    for (uint32_t i = 0; i < count; i++) {
        if (busy[i].size > 0 && ranges_overlap(start, size, busy[i].start, busy[i].size))
            return &busy[i];
    }
    return NULL;
}

enum status memmap_find_highest(const struct memmap *map, uint64_t low, uint64_t high,
                                uint64_t size, uint64_t align, const struct memmap_busy *busy,
                                uint32_t busy_count, uint64_t *start)
{
    for (uint32_t i = map->count; i-- > 0;) {
        const struct memmap_range *range = &map->range[i];
        uint64_t bottom = max_u64(range->start, low);
        uint64_t top = min_u64(range->end, high);
        if (range->type != MEMMAP_RAM)
            continue;
        while (top >= bottom && top - bottom >= size) {
            uint64_t candidate = align_down(top - size, align);
            if (candidate < bottom)
                break;
            const struct memmap_busy *hit = find_busy(busy, busy_count, candidate, size);
            if (hit == NULL) {
                *start = candidate;
                return STATUS_OK;
            }
            top = hit->start;
        }
    }
    return STATUS_NO_MEMORY;
}

enum status memmap_find_lowest(const struct memmap *map, uint64_t low, uint64_t high, uint64_t size,
                               uint64_t align, const struct memmap_busy *busy, uint32_t busy_count,
                               uint64_t *start)
{
    for (uint32_t i = 0; i < map->count; i++) {
        const struct memmap_range *range = &map->range[i];
        uint64_t bottom = max_u64(range->start, low);
        uint64_t top = min_u64(range->end, high);
        if (range->type != MEMMAP_RAM)
            continue;
        for (;;) {
            uint64_t candidate = align_up(bottom, align);
            if (candidate < bottom || candidate >= top || top - candidate < size)
                break;
            const struct memmap_busy *hit = find_busy(busy, busy_count, candidate, size);
            if (hit == NULL) {
                *start = candidate;
                return STATUS_OK;
            }
            bottom = hit->start + hit->size;
        }
    }
    return STATUS_NO_MEMORY;
}
