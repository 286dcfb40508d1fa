/*
 * A page of device registers on which every access is seen: the page cannot be touched, the
 * fault lets the one instruction through by single-stepping it, and a model of the device is
 * asked before each read and told after each write.
 */
#ifndef KEEL_TEST_FAKE_REGISTERS_H
#define KEEL_TEST_FAKE_REGISTERS_H

#include "lib/types.h"

/* Called for an access at page + offset; reads and writes the page itself as it likes. */
struct fake_registers {
    void (*before_read)(uint8_t *page, unsigned offset);
    void (*before_write)(uint8_t *page, unsigned offset);
    void (*after_write)(uint8_t *page, unsigned offset);
};

/* The page, zeroed, as plain memory: the same one at each call. Functions may be NULL. */
uint8_t *fake_registers_start(const struct fake_registers *model);

/* From now on accesses are seen; or are not, for the test to look at the page. */
void fake_registers_watch(bool watch);

#endif
