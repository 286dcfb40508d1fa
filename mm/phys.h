/*
 * Physical memory that is not Keel's own (the guest's, the firmware's tables), copied
 * through this CPU's window: Keel has no standing map of it. Any address that the host's
 * page tables can express; the caller says by its memory map that there is something.
 */
#ifndef KEEL_MM_PHYS_H
#define KEEL_MM_PHYS_H

#include "lib/types.h"

void phys_read(void *to, hpa_t from, uint64_t size);
void phys_write(hpa_t to, const void *from, uint64_t size);

/* The ranges may overlap only where to is below from. */
void phys_copy(hpa_t to, hpa_t from, uint64_t size);

#endif
