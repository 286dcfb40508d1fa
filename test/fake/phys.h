/* Flat physical memory for host tests, behind mm/phys.h and the acpi_read_fn of drivers/acpi.h. */
#ifndef KEEL_TEST_FAKE_PHYS_H
#define KEEL_TEST_FAKE_PHYS_H

#include "lib/types.h"

/*
 * The one range of physical memory that exists; reading or writing outside it is a panic.
 * memory must stay; fake_phys_written() tells what has been touched since.
 */
void fake_phys_set(uint64_t start, uint64_t size, uint8_t *memory);

/* The lowest address written, and the end of the highest, since fake_phys_set(). */
uint64_t fake_phys_first_write(void);
uint64_t fake_phys_end_write(void);

/* Where the test sees [address, address + size), which must exist. */
uint8_t *fake_phys_at(uint64_t address, uint64_t size);

/* An acpi_read_fn on it: false outside. */
bool fake_phys_read(void *to, uint64_t from, uint64_t size);

#endif
