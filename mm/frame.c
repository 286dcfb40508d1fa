/* See frame.h. */
#include "mm/frame.h"

#include "lib/bits.h"
#include "lib/panic.h"
#include "lib/string.h"

void frame_pool_init(struct frame_pool *pool, hpa_t base, void *memory, uint64_t size)
{
    memset(pool, 0, sizeof(*pool));
    pool->base = base;
    pool->memory = memory;
    pool->count = (uint32_t)min_u64(size / PAGE_SIZE, FRAME_POOL_MAX);
    pool->free = pool->count;
}

static bool frame_is_used(const struct frame_pool *pool, uint32_t index)
{
    return (pool->used[index / 64] & BIT(index % 64)) != 0;
}

enum status frame_alloc(struct frame_pool *pool, hpa_t *frame)
{
    if (pool->free == 0)
        return STATUS_NO_MEMORY;
    uint32_t index = pool->next;
    while (frame_is_used(pool, index))
        index = (index + 1) % pool->count;
    pool->used[index / 64] |= BIT(index % 64);
    pool->free--;
    pool->next = (index + 1) % pool->count;
    *frame = HPA(pool->base.value + index * PAGE_SIZE);
    memset(frame_pointer(pool, *frame), 0, PAGE_SIZE);
    return STATUS_OK;
}

void *frame_pointer(const struct frame_pool *pool, hpa_t frame)
{
    uint64_t offset = frame.value - pool->base.value;
    if (!is_aligned(offset, PAGE_SIZE) || offset / PAGE_SIZE >= pool->count)
        panic("frame 0x%lx is not of the pool at 0x%lx", frame.value, pool->base.value);
    return pool->memory + offset;
}

void frame_free(struct frame_pool *pool, hpa_t frame)
{
    uint32_t index = (uint32_t)((frame.value - pool->base.value) / PAGE_SIZE);
    (void)frame_pointer(pool, frame); /* checks it */
    if (!frame_is_used(pool, index))
        panic("frame 0x%lx is freed twice", frame.value);
    pool->used[index / 64] &= ~BIT(index % 64);
    pool->free++;
}
