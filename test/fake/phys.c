/* See phys.h. */
#include "phys.h"

#include <string.h>

#include "lib/bits.h"
#include "lib/panic.h"
#include "mm/phys.h"

static uint64_t start, size, first_write, end_write;
static uint8_t *memory;

void fake_phys_set(uint64_t new_start, uint64_t new_size, uint8_t *new_memory)
{
    start = new_start;
    size = new_size;
    memory = new_memory;
    first_write = UINT64_MAX;
    end_write = 0;
}

uint64_t fake_phys_first_write(void)
{
    return first_write;
}

uint64_t fake_phys_end_write(void)
{
    return end_write;
}

static bool exists(uint64_t address, uint64_t length)
{
    return address >= start && address - start <= size && length <= size - (address - start);
}

uint8_t *fake_phys_at(uint64_t address, uint64_t length)
{
    if (!exists(address, length))
        panic("fake: no physical memory at 0x%lx + 0x%lx", address, length);
    return memory + (address - start);
}

bool fake_phys_read(void *to, uint64_t from, uint64_t length)
{
    if (!exists(from, length))
        return false;
    memcpy(to, memory + (from - start), length);
    return true;
}

void phys_read(void *to, hpa_t from, uint64_t length)
{
    memcpy(to, fake_phys_at(from.value, length), length);
}

void phys_write(hpa_t to, const void *from, uint64_t length)
{
    memcpy(fake_phys_at(to.value, length), from, length);
    first_write = min_u64(first_write, to.value);
    end_write = max_u64(end_write, to.value + length);
}

void phys_copy(hpa_t to, hpa_t from, uint64_t length)
{
    if (ranges_overlap(to.value, length, from.value, length) && to.value > from.value)
        panic("fake: a copy over its own source, from 0x%lx to 0x%lx", from.value, to.value);
    memmove(fake_phys_at(to.value, length), fake_phys_at(from.value, length), length);
    first_write = min_u64(first_write, to.value);
    end_write = max_u64(end_write, to.value + length);
}
