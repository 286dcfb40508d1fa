/*
 * The physical memory map: what the firmware says of each range. Sorted, without overlaps;
 * neighbours of one type are one range. What no range covers is a hole (devices, or nothing).
 */
#ifndef KEEL_MM_MEMMAP_H
#define KEEL_MM_MEMMAP_H

#include "lib/status.h"
#include "lib/types.h"

/*
 * The numbers are those of the BIOS's E820 call, which Multiboot2 and Linux's boot
 * protocol share. Where ranges overlap, the one with the higher rank in memmap.c wins.
 */
enum memmap_type {
    MEMMAP_RAM = 1,
    MEMMAP_RESERVED = 2,
    MEMMAP_ACPI = 3,
    MEMMAP_NVS = 4,
    MEMMAP_UNUSABLE = 5
};

struct memmap_range {
    uint64_t start;
    uint64_t end; /* exclusive */
    enum memmap_type type;
};

#define MEMMAP_MAX 1024

struct memmap {
    uint32_t count;
    struct memmap_range range[MEMMAP_MAX];
};

/*
 * Adds [start, start + size). Where it overlaps what is there, the more restrictive type
 * stays. A type that is not in the enum counts as MEMMAP_RESERVED; an empty range is ignored.
 * INVALID: it wraps (one that ends with the last byte of all does not). NO_MEMORY: the table is
 * full. The map is then unchanged.
 */
MUST_CHECK enum status memmap_add(struct memmap *map, uint64_t start, uint64_t size, uint32_t type);

/* The range that holds address, or NULL: a hole. */
const struct memmap_range *memmap_find(const struct memmap *map, uint64_t address);

/* Is every byte of [start, start + size) in ranges of this type? size > 0. */
bool memmap_all(const struct memmap *map, uint64_t start, uint64_t size, enum memmap_type type);

/* The sum of the sizes of all ranges of this type, in bytes. */
uint64_t memmap_total(const struct memmap *map, enum memmap_type type);

/* A range of physical addresses that must stay as it is: a module, a table. */
struct memmap_busy {
    uint64_t start;
    uint64_t size;
};

/*
 * Finds size bytes of RAM, aligned to align (a power of two), inside [low, high), that touch
 * none of the busy ranges: the highest such place, or the lowest. NO_MEMORY: there is none.
 */
MUST_CHECK enum status memmap_find_highest(const struct memmap *map, uint64_t low, uint64_t high,
                                           uint64_t size, uint64_t align,
                                           const struct memmap_busy *busy, uint32_t busy_count,
                                           uint64_t *start);
MUST_CHECK enum status memmap_find_lowest(const struct memmap *map, uint64_t low, uint64_t high,
                                          uint64_t size, uint64_t align,
                                          const struct memmap_busy *busy, uint32_t busy_count,
                                          uint64_t *start);

#endif
