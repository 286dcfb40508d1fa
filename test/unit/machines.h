/*
 * Memory maps and MTRRs as firmware of real machines (and of two emulators) has left them:
 * the facts of published boot logs. Ends are inclusive, as such logs print them.
 */
#ifndef KEEL_TEST_UNIT_MACHINES_H
#define KEEL_TEST_UNIT_MACHINES_H

#include "mm/memmap.h"
#include "mm/mtrr.h"
#include "unit.h"

struct machine_range {
    uint64_t first;
    uint64_t last;
    uint32_t type; /* of memory (MTRRs) or of the map (enum memmap_type; 20 is EFI code) */
};

struct machine {
    const char *name;
    unsigned physical_bits;
    enum memory_type default_type;
    struct machine_range fixed[8];
    struct {
        uint64_t base;
        uint64_t mask;
        enum memory_type type;
    } variable[10];
    struct machine_range map[32];
};

static const struct machine machines[] = {
    {
        .name = "ASUS UL80 class laptop, Core 2 Duo, 4 GiB",
        .physical_bits = 36,
        .default_type = MEMORY_UC,
        .fixed = {{0x00000, 0x9ffff, MEMORY_WB},
                  {0xc0000, 0xcffff, MEMORY_WP},
                  {0xe0000, 0xeffff, MEMORY_WT},
                  {0xf0000, 0xfffff, MEMORY_WP}},
        .variable = {{0x000000000, 0xf00000000, MEMORY_WB},
                     {0x100000000, 0xfc0000000, MEMORY_WB},
                     {0x0c0000000, 0xfc0000000, MEMORY_UC},
                     {0x0b7e00000, 0xfffe00000, MEMORY_UC},
                     {0x0b8000000, 0xff8000000, MEMORY_UC}},
        .map = {{0x00000000, 0x0009fbff, MEMMAP_RAM},
                {0x0009fc00, 0x0009ffff, MEMMAP_RESERVED},
                {0x000e1000, 0x000fffff, MEMMAP_RESERVED},
                {0x00100000, 0xb7d8ffff, MEMMAP_RAM},
                {0xb7d90000, 0xb7d9efff, MEMMAP_ACPI},
                {0xb7d9f000, 0xb7ddffff, MEMMAP_NVS},
                {0xb7de0000, 0xb7dfffff, MEMMAP_RESERVED},
                {0xfee00000, 0xfee00fff, MEMMAP_RESERVED},
                {0xffb00000, 0xffffffff, MEMMAP_RESERVED},
                {0x100000000, 0x13fffffff, MEMMAP_RAM}},
    },
    {
        /* All ten variable ranges are in use. */
        .name = "Intel NUC5i7RYB, Broadwell, 16 GiB",
        .physical_bits = 39,
        .default_type = MEMORY_UC,
        .fixed = {{0x00000, 0x9ffff, MEMORY_WB}, {0xc0000, 0xfffff, MEMORY_WP}},
        .variable = {{0x0000000000, 0x7f80000000, MEMORY_WB},
                     {0x0080000000, 0x7fe0000000, MEMORY_WB},
                     {0x00a0000000, 0x7ffe000000, MEMORY_WB},
                     {0x00a2000000, 0x7fff000000, MEMORY_WB},
                     {0x0100000000, 0x7f00000000, MEMORY_WB},
                     {0x0200000000, 0x7e00000000, MEMORY_WB},
                     {0x0400000000, 0x7f80000000, MEMORY_WB},
                     {0x0460000000, 0x7fe0000000, MEMORY_UC},
                     {0x0458000000, 0x7ff8000000, MEMORY_UC},
                     {0x0457000000, 0x7fff000000, MEMORY_UC}},
        .map = {{0x00000000, 0x0009c7ff, MEMMAP_RAM},
                {0x0009c800, 0x0009ffff, MEMMAP_RESERVED},
                {0x000e0000, 0x000fffff, MEMMAP_RESERVED},
                {0x00100000, 0x9cf6bfff, MEMMAP_RAM},
                {0x9cf6c000, 0x9d431fff, MEMMAP_RESERVED},
                {0x9d432000, 0xa2296fff, MEMMAP_RAM},
                {0xa2297000, 0xa2351fff, MEMMAP_RESERVED},
                {0xa2352000, 0xa2377fff, MEMMAP_ACPI},
                {0xa2378000, 0xa2ca7fff, MEMMAP_NVS},
                {0xa2ca8000, 0xa2ffefff, MEMMAP_RESERVED},
                {0xa2fff000, 0xa2ffffff, MEMMAP_RAM},
                {0xa3800000, 0xa7ffffff, MEMMAP_RESERVED},
                {0xf8000000, 0xfbffffff, MEMMAP_RESERVED},
                {0xfec00000, 0xfec00fff, MEMMAP_RESERVED},
                {0xfed00000, 0xfed03fff, MEMMAP_RESERVED},
                {0xfed1c000, 0xfed1ffff, MEMMAP_RESERVED},
                {0xfee00000, 0xfee00fff, MEMMAP_RESERVED},
                {0xff000000, 0xffffffff, MEMMAP_RESERVED},
                {0x100000000, 0x456ffffff, MEMMAP_RAM}},
    },
    {
        /* The default type is WB; what is above RAM is made UC up to the last address bit. */
        .name = "Lenovo ThinkPad 20NYS02A00, Whiskey Lake, 16 GiB",
        .physical_bits = 39,
        .default_type = MEMORY_WB,
        .fixed = {{0x00000, 0x9ffff, MEMORY_WB},
                  {0xc0000, 0xf3fff, MEMORY_WP},
                  {0xf8000, 0xfffff, MEMORY_WP}},
        .variable = {{0x0080000000, 0x7f80000000, MEMORY_UC},
                     {0x0078000000, 0x7ff8000000, MEMORY_UC},
                     {0x0077000000, 0x7fff000000, MEMORY_UC},
                     {0x2000000000, 0x6000000000, MEMORY_UC},
                     {0x1000000000, 0x7000000000, MEMORY_UC},
                     {0x0800000000, 0x7800000000, MEMORY_UC},
                     {0x4000000000, 0x4000000000, MEMORY_UC}},
        .map = {{0x00000000, 0x00000fff, MEMMAP_RESERVED},
                {0x00001000, 0x00001fff, MEMMAP_RAM},
                {0x00002000, 0x0000bfff, MEMMAP_RESERVED},
                {0x0000c000, 0x0005efff, MEMMAP_RAM},
                {0x0005f000, 0x00086fff, MEMMAP_RESERVED},
                {0x00087000, 0x00088fff, MEMMAP_RAM},
                {0x00089000, 0x0008afff, MEMMAP_RESERVED},
                {0x0008b000, 0x0008bfff, 20},
                {0x0008c000, 0x000fffff, MEMMAP_RESERVED},
                {0x00100000, 0x6f998fff, MEMMAP_RAM},
                {0x6f999000, 0x6fa5dfff, 20},
                {0x6fa5e000, 0x7416dfff, MEMMAP_RESERVED},
                {0x7416e000, 0x743a9fff, MEMMAP_NVS},
                {0x743aa000, 0x7440efff, MEMMAP_ACPI},
                {0x7440f000, 0x7440ffff, MEMMAP_RAM},
                {0x74410000, 0x797fffff, MEMMAP_RESERVED},
                {0xfe010000, 0xfe010fff, MEMMAP_RESERVED},
                {0x100000000, 0x4847fffff, MEMMAP_RAM}},
    },
    {
        .name = "ASUS Z10PA-U8, Xeon E5-1650 v3, 128 GiB",
        .physical_bits = 46,
        .default_type = MEMORY_WB,
        .fixed = {{0x00000, 0x9ffff, MEMORY_WB}, {0xc0000, 0xfffff, MEMORY_WP}},
        .variable = {{0x000080000000, 0x3fff80000000, MEMORY_UC},
                     {0x038000000000, 0x3fc000000000, MEMORY_UC}},
        .map = {{0x00000000, 0x0009e7ff, MEMMAP_RAM},
                {0x0009e800, 0x0009ffff, MEMMAP_RESERVED},
                {0x000e0000, 0x000fffff, MEMMAP_RESERVED},
                {0x00100000, 0x78e7afff, MEMMAP_RAM},
                {0x78e7b000, 0x7afecfff, MEMMAP_RESERVED},
                {0x7afed000, 0x7b047fff, MEMMAP_ACPI},
                {0x7b048000, 0x7be68fff, MEMMAP_NVS},
                {0x7be69000, 0x8fffffff, MEMMAP_RESERVED},
                {0xfed1c000, 0xfed44fff, MEMMAP_RESERVED},
                {0xff000000, 0xffffffff, MEMMAP_RESERVED},
                {0x100000000, 0x207fffffff, MEMMAP_RAM}},
    },
    {
        /* Write-combining ranges: the frame buffer, and the firmware's flash. */
        .name = "Acer Swift SF114-32, Gemini Lake, 4 GiB",
        .physical_bits = 39,
        .default_type = MEMORY_UC,
        .fixed = {{0x00000, 0x9ffff, MEMORY_WB}, {0xc0000, 0xfffff, MEMORY_WP}},
        .variable = {{0x00ff800000, 0x7fff800000, MEMORY_WC},
                     {0x0000000000, 0x7f80000000, MEMORY_WB},
                     {0x007a000000, 0x7ffe000000, MEMORY_UC},
                     {0x007c000000, 0x7ffc000000, MEMORY_UC},
                     {0x0100000000, 0x7f80000000, MEMORY_WB},
                     {0x0090000000, 0x7ff0000000, MEMORY_WC}},
        .map = {{0x00000000, 0x00057fff, MEMMAP_RAM},
                {0x00058000, 0x00058fff, MEMMAP_RESERVED},
                {0x00059000, 0x0009dfff, MEMMAP_RAM},
                {0x0009e000, 0x000fffff, MEMMAP_RESERVED},
                {0x00100000, 0x0fffffff, MEMMAP_RAM},
                {0x10000000, 0x12150fff, MEMMAP_RESERVED},
                {0x12151000, 0x74540fff, MEMMAP_RAM},
                {0x74541000, 0x74a40fff, MEMMAP_RESERVED},
                {0x74a41000, 0x74d40fff, 20},
                {0x74d41000, 0x77740fff, MEMMAP_RESERVED},
                {0x77741000, 0x777a0fff, MEMMAP_NVS},
                {0x777a1000, 0x777e0fff, MEMMAP_ACPI},
                {0x777e1000, 0x78cabfff, MEMMAP_RAM},
                {0x78cac000, 0x795abfff, MEMMAP_RESERVED},
                {0x795ac000, 0x79bfffff, MEMMAP_RAM},
                {0x79c00000, 0x7fffffff, MEMMAP_RESERVED},
                {0xd3709000, 0xd3709fff, MEMMAP_RESERVED},
                {0xe0000000, 0xe3ffffff, MEMMAP_RESERVED},
                {0xfed01000, 0xfed01fff, MEMMAP_RESERVED},
                {0xff800000, 0xffffffff, MEMMAP_RESERVED},
                {0x100000000, 0x17fffffff, MEMMAP_RAM}},
    },
    {
        .name = "QEMU i440FX with SeaBIOS, 512 MiB",
        .physical_bits = 40,
        .default_type = MEMORY_WB,
        .fixed = {{0x00000, 0x9ffff, MEMORY_WB}, {0xc0000, 0xfffff, MEMORY_WP}},
        .variable = {{0x0080000000, 0xff80000000, MEMORY_UC}},
        .map = {{0x00000000, 0x0009fbff, MEMMAP_RAM},
                {0x0009fc00, 0x0009ffff, MEMMAP_RESERVED},
                {0x000f0000, 0x000fffff, MEMMAP_RESERVED},
                {0x00100000, 0x1ffdffff, MEMMAP_RAM},
                {0x1ffe0000, 0x1fffffff, MEMMAP_RESERVED},
                {0xfeffc000, 0xfeffffff, MEMMAP_RESERVED},
                {0xfffc0000, 0xffffffff, MEMMAP_RESERVED}},
    },
    {
        /* The BIOS leaves A0000 to FFFFF uncached, its own ROM too. */
        .name = "Bochs with its own BIOS, 1 GiB",
        .physical_bits = 40,
        .default_type = MEMORY_WB,
        .fixed = {{0x00000, 0x9ffff, MEMORY_WB}},
        .variable = {{0x00e0000000, 0xffe0000000, MEMORY_UC}},
        .map = {{0x00000000, 0x0009efff, MEMMAP_RAM},
                {0x0009f000, 0x0009ffff, MEMMAP_RESERVED},
                {0x000e8000, 0x000fffff, MEMMAP_RESERVED},
                {0x00100000, 0x3ffeffff, MEMMAP_RAM},
                {0x3fff0000, 0x3fffffff, MEMMAP_ACPI},
                {0xfffc0000, 0xffffffff, MEMMAP_RESERVED}},
    },
};

/* Where the ranges of the fixed registers lie. SDM Vol. 3A, "Fixed Range MTRRs". */
static inline uint64_t machine_fixed_start(unsigned register_index, unsigned range)
{
    if (register_index == 0)
        return range * 0x10000;
    if (register_index <= 2)
        return 0x80000 + (register_index - 1) * 0x20000 + range * 0x4000;
    return 0xc0000 + (register_index - 3) * 0x8000 + range * 0x1000;
}

static inline void machine_mtrrs(const struct machine *machine, struct mtrrs *mtrrs)
{
    *mtrrs = (struct mtrrs){
        .cap = 10 | MTRRCAP_FIX | MTRRCAP_WC,
        .def_type = machine->default_type | MTRR_DEF_TYPE_FE | MTRR_DEF_TYPE_E,
    };
    for (unsigned i = 0; i < MTRR_FIXED_COUNT * 8; i++) {
        uint64_t start = machine_fixed_start(i / 8, i % 8);
        for (unsigned j = 0; j < ARRAY_LENGTH(machine->fixed); j++) {
            const struct machine_range *range = &machine->fixed[j];
            if (range->last != 0 && start >= range->first && start <= range->last)
                mtrrs->fixed[i / 8] |= (uint64_t)range->type << (i % 8 * 8);
        }
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(machine->variable); i++) {
        if (machine->variable[i].mask == 0)
            continue;
        mtrrs->base[i] = machine->variable[i].base | machine->variable[i].type;
        mtrrs->mask[i] = machine->variable[i].mask | MTRR_PHYSMASK_V;
    }
}

static inline void machine_map(const struct machine *machine, struct memmap *map)
{
    map->count = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(machine->map) && machine->map[i].last != 0; i++) {
        const struct machine_range *range = &machine->map[i];
        CHECK_EQ(memmap_add(map, range->first, range->last - range->first + 1, range->type),
                 STATUS_OK);
    }
}

/*
 * The type of one address, straight from SDM Vol. 3A, "MTRR Precedences"; -1 where the rules
 * leave the overlap undefined.
 */
static inline int machine_type(const struct mtrrs *mtrrs, uint64_t address)
{
    bool found[8] = {false};
    unsigned kinds = 0;

    if ((mtrrs->def_type & MTRR_DEF_TYPE_E) == 0)
        return MEMORY_UC;
    if (address < 0x100000 && (mtrrs->cap & MTRRCAP_FIX) && (mtrrs->def_type & MTRR_DEF_TYPE_FE)) {
        for (unsigned i = MTRR_FIXED_COUNT * 8; i-- > 0;) {
            if (address >= machine_fixed_start(i / 8, i % 8))
                return (int)(mtrrs->fixed[i / 8] >> (i % 8 * 8) & 0xff);
        }
    }
    for (unsigned i = 0; i < (mtrrs->cap & 0xff) && i < MTRR_VARIABLE_MAX; i++) {
        uint64_t mask = mtrrs->mask[i] >> 12 << 12;
        if ((mtrrs->mask[i] & MTRR_PHYSMASK_V) == 0 || (address & mask) != (mtrrs->base[i] & mask))
            continue;
        unsigned type = mtrrs->base[i] & 7;
        kinds += !found[type];
        found[type] = true;
    }
    if (kinds == 0)
        return (int)(mtrrs->def_type & 0xff);
    if (found[MEMORY_UC])
        return MEMORY_UC;
    if (kinds == 2 && found[MEMORY_WT] && found[MEMORY_WB])
        return MEMORY_WT;
    for (int type = 0; kinds == 1 && type < 8; type++) {
        if (found[type])
            return type;
    }
    return -1;
}

#endif
