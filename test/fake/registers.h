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

/* The page, zeroed: the same one at each call. Any of the model's functions may be NULL. */
uint8_t *fake_registers_start(const struct fake_registers *model);

/* From now on the page is plain memory, for the test to look at. */
void fake_registers_stop(void);

#endif
