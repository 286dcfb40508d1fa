/*
 * The frame allocator: Keel's spare 4 KiB pages, one bit each. It keeps no links inside
 * free frames, so a stale one that is still walked as a table shows zeros or old entries,
 * never a pointer of ours.
 */
#ifndef KEEL_MM_FRAME_H
#define KEEL_MM_FRAME_H

#include "lib/status.h"
#include "lib/types.h"

#define FRAME_POOL_MAX 8192 /* frames: 32 MiB */

struct frame_pool {
    hpa_t base;      /* of the first frame */
    uint8_t *memory; /* where Keel sees base */
    uint32_t count;
    uint32_t free;
    uint32_t next; /* where the next search begins */
    uint64_t used[FRAME_POOL_MAX / 64];
};

/* Makes a pool of size / PAGE_SIZE free frames; base and size are multiples of PAGE_SIZE. */
void frame_pool_init(struct frame_pool *pool, hpa_t base, void *memory, uint64_t size);

/* One zeroed frame. NO_MEMORY: none is left. */
MUST_CHECK enum status frame_alloc(struct frame_pool *pool, hpa_t *frame);

/* frame is one that frame_alloc() gave and that is not free. */
void frame_free(struct frame_pool *pool, hpa_t frame);

/* Where Keel sees a frame of the pool. */
void *frame_pointer(const struct frame_pool *pool, hpa_t frame);

#endif
