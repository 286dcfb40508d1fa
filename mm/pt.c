/* See pt.h. */
#include "mm/pt.h"

#include "lib/bits.h"
#include "lib/panic.h"
#include "x86/ops.h"

#define ENTRIES 512

static bool is_present(const struct pt_format *format, uint64_t entry)
{
    return (entry & format->present_mask) != 0;
}

static bool is_table(const struct pt_format *format, uint64_t entry, unsigned level)
{
    return level > 1 && is_present(format, entry) && (entry & format->large_bit) == 0;
}

static uint64_t *table_pointer(const struct pt *pt, hpa_t table)
{
    return frame_pointer(pt->pool, table);
}

static uint64_t *child_table(const struct pt *pt, uint64_t entry)
{
    return table_pointer(pt, HPA(entry & pt->format.address_mask));
}

static unsigned index_at(uint64_t address, unsigned level)
{
    return (unsigned)(address / pt_level_size(level)) % ENTRIES;
}

/* Can one entry of this level, beginning at address, hold its part of value? */
static bool fits_entry(const struct pt *pt, unsigned level, uint64_t offset,
                       const struct pt_value *value)
{
    if (!value->present)
        return true;
    return level <= pt->format.max_leaf &&
           is_aligned(value->hpa.value + offset, pt_level_size(level));
}

/* The entry for the part of value that begins offset bytes into its range. */
static uint64_t make_entry(const struct pt *pt, unsigned level, uint64_t offset,
                           const struct pt_value *value)
{
    if (!value->present)
        return value->bits;
    return (value->hpa.value + offset) | value->bits | (level > 1 ? pt->format.large_bit : 0);
}

/* Does the entry, whatever larger block it may cover, already give address its value? */
static bool is_same(const struct pt *pt, uint64_t entry, unsigned level, uint64_t origin,
                    uint64_t address, const struct pt_value *value)
{
    uint64_t block = align_down(address, pt_level_size(level));
    return entry == make_entry(pt, level, block - origin, value);
}

/* What child number index of an entry that is split becomes. */
static uint64_t split_entry(const struct pt *pt, uint64_t entry, unsigned level, unsigned index)
{
    if (!is_present(&pt->format, entry))
        return entry;
    if (level - 1 == 1)
        entry &= ~pt->format.large_bit;
    return entry + index * pt_level_size(level - 1);
}

/*
 * The part of [start, end) that the entry covering address holds. Entries of the root of
 * a tree are walked from address, so the sums below never pass pt_reach().
 */
struct span {
    uint64_t low;
    uint64_t high;
    bool whole; /* the entry's block lies wholly inside */
};

static struct span entry_span(uint64_t address, uint64_t end, unsigned level)
{
    uint64_t size = pt_level_size(level);
    uint64_t high = min_u64(align_down(address, size) + size, end);
    return (struct span){address, high, high - address == size};
}

/* table NULL: one that does not exist yet, each of whose entries would be split from entry. */
static uint64_t count_tables(const struct pt *pt, const uint64_t *table, unsigned level,
                             uint64_t origin, uint64_t low, uint64_t end,
                             const struct pt_value *value)
{
    uint64_t count = 0;
    while (low < end) {
        struct span span = entry_span(low, end, level);
        bool fits = span.whole && fits_entry(pt, level, low - origin, value);
        if (table == NULL) {
            if (!fits)
                count += 1 + count_tables(pt, NULL, level - 1, origin, low, span.high, value);
        } else {
            uint64_t entry = table[index_at(low, level)];
            if (is_table(&pt->format, entry, level))
                count += count_tables(pt, child_table(pt, entry), level - 1, origin, low, span.high,
                                      value);
            else if (!fits && !is_same(pt, entry, level, origin, low, value))
                count += 1 + count_tables(pt, NULL, level - 1, origin, low, span.high, value);
        }
        low = span.high;
    }
    return count;
}

static void set_range(struct pt *pt, uint64_t *table, unsigned level, uint64_t origin, uint64_t low,
                      uint64_t end, const struct pt_value *value, bool *flush);

/* A new table, filled with what entry says and then with value's part, not linked yet. */
static hpa_t make_table(struct pt *pt, uint64_t entry, unsigned level, uint64_t origin,
                        struct span span, const struct pt_value *value)
{
    hpa_t frame;
    bool unused_flush = false; /* the table is not live: its caller's store is what counts */

    if (frame_alloc(pt->pool, &frame) != STATUS_OK)
        panic("page tables: more frames needed than were counted");
    uint64_t *table = table_pointer(pt, frame);
    for (unsigned i = 0; i < ENTRIES; i++)
        ops_store64(&table[i], split_entry(pt, entry, level, i));
    set_range(pt, table, level - 1, origin, span.low, span.high, value, &unused_flush);
    return frame;
}

static void set_range(struct pt *pt, uint64_t *table, unsigned level, uint64_t origin, uint64_t low,
                      uint64_t end, const struct pt_value *value, bool *flush)
{
    while (low < end) {
        struct span span = entry_span(low, end, level);
        uint64_t *slot = &table[index_at(low, level)];
        uint64_t entry = *slot;

        if (is_table(&pt->format, entry, level)) {
            set_range(pt, child_table(pt, entry), level - 1, origin, low, span.high, value, flush);
        } else if (!is_same(pt, entry, level, origin, low, value)) {
            uint64_t new_entry;
            if (span.whole && fits_entry(pt, level, low - origin, value))
                new_entry = make_entry(pt, level, low - origin, value);
            else
                new_entry = make_table(pt, entry, level, origin, span, value).value |
                            pt->format.table_bits;
            ops_store64(slot, new_entry);
            *flush = *flush || is_present(&pt->format, entry);
        }
        low = span.high;
    }
}

static void check_range(const struct pt *pt, uint64_t start, uint64_t size)
{
    uint64_t reach = pt_reach(&pt->format);
    if (!is_aligned(start | size, PAGE_SIZE) || start >= reach || size > reach - start)
        panic("page tables: bad range 0x%lx + 0x%lx", start, size);
}

enum status pt_init(struct pt *pt, const struct pt_format *format, struct frame_pool *pool)
{
    pt->format = *format;
    pt->pool = pool;
    return frame_alloc(pool, &pt->root);
}

uint64_t pt_tables_needed(const struct pt *pt, uint64_t start, uint64_t size,
                          const struct pt_value *value)
{
    check_range(pt, start, size);
    return count_tables(pt, table_pointer(pt, pt->root), pt->format.levels, start, start,
                        start + size, value);
}

enum status pt_set(struct pt *pt, uint64_t start, uint64_t size, const struct pt_value *value,
                   bool *flush)
{
    if (pt_tables_needed(pt, start, size, value) > pt->pool->free)
        return STATUS_NO_MEMORY;
    set_range(pt, table_pointer(pt, pt->root), pt->format.levels, start, start, start + size, value,
              flush);
    return STATUS_OK;
}

static void free_tables(struct pt *pt, hpa_t table, unsigned level)
{
    const uint64_t *entries = table_pointer(pt, table);
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (is_table(&pt->format, entries[i], level))
            free_tables(pt, HPA(entries[i] & pt->format.address_mask), level - 1);
    }
    frame_free(pt->pool, table);
}

static void prune(struct pt *pt, uint64_t *table, unsigned level, uint64_t start, pt_keep_fn keep,
                  const void *context, bool *flush)
{
    uint64_t size = pt_level_size(level);
    for (unsigned i = 0; i < ENTRIES; i++, start += size) {
        uint64_t entry = table[i];
        bool has_table = is_table(&pt->format, entry, level);
        if (!is_present(&pt->format, entry))
            continue;
        if (!keep(context, start, size)) {
            ops_store64(&table[i], 0);
            if (has_table)
                free_tables(pt, HPA(entry & pt->format.address_mask), level - 1);
            *flush = true;
        } else if (has_table) {
            prune(pt, child_table(pt, entry), level - 1, start, keep, context, flush);
        }
    }
}

void pt_prune(struct pt *pt, pt_keep_fn keep, const void *context, bool *flush)
{
    prune(pt, table_pointer(pt, pt->root), pt->format.levels, 0, keep, context, flush);
}

struct pt_leaf pt_lookup(const struct pt *pt, uint64_t address)
{
    unsigned level = pt->format.levels;
    uint64_t entry = table_pointer(pt, pt->root)[index_at(address, level)];
    while (is_table(&pt->format, entry, level)) {
        level--;
        entry = child_table(pt, entry)[index_at(address, level)];
    }
    return (struct pt_leaf){
        .entry = entry,
        .level = level,
        .present = is_present(&pt->format, entry),
        .start = align_down(address, pt_level_size(level)),
        .hpa = HPA(entry & pt->format.address_mask),
    };
}

uint64_t pt_reach(const struct pt_format *format)
{
    return pt_level_size(format->levels + 1);
}
