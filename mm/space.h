/*
 * Keel's home and its own address space. The home is one region of RAM below 4 GiB: image,
 * tables, stacks and spare frames. Keel's page tables map nothing else, but for the window
 * that phys.h goes through: W^X, and a page of nothing below each stack.
 */
#ifndef KEEL_MM_SPACE_H
#define KEEL_MM_SPACE_H

#include "lib/status.h"
#include "mm/frame.h"
#include "mm/memmap.h"

struct home {
    uint64_t start; /* both multiples of 2 MiB */
    uint64_t size;
};

/*
 * Finds a home with room for the image and frames 4 KiB pages beside it, as high as it can
 * be below 4 GiB, touching none of the busy ranges. NO_MEMORY: there is no such place.
 */
MUST_CHECK enum status space_choose_home(const struct memmap *map, uint64_t frames,
                                         const struct memmap_busy *busy, uint32_t busy_count,
                                         struct home *home);

/*
 * Moves Keel into its home and onto its own page tables, which do not map where it was
 * loaded. The first 4 GiB must be mapped as they are until then, and are not afterwards:
 * no pointer into them may be kept. Once, on the boot CPU. NO_MEMORY: nothing has moved.
 */
MUST_CHECK enum status space_enter_home(const struct home *home);

/* The spare frames of the home. */
struct frame_pool *space_frames(void);

/* Where Keel sees a spare frame of its home. */
void *space_pointer(hpa_t frame);

/* A new stack of pages 4 KiB pages, none below it mapped: its end, or NULL: no frame is left. */
void *space_new_stack(unsigned pages);

/*
 * Maps the page that holds address at that very address, executable and not writable: for
 * the jump to a guest without Keel, and for the CPUs that start there. Not for long.
 */
MUST_CHECK enum status space_map_identity(uint64_t address);

/* Takes it away again. Each CPU that has used it must reload CR3. */
void space_unmap_identity(uint64_t address);

/* Maps one page of device registers, uncached, and says where. Once. NULL: no frame is left. */
volatile void *space_map_device(hpa_t registers);

/* Bytes from the start of where the image was loaded, or of its home, to its end. */
uint64_t space_image_span(void);

#endif
