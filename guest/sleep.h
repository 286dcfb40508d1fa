/* Which writes to the ACPI sleep registers Keel lets through. */
#ifndef KEEL_GUEST_SLEEP_H
#define KEEL_GUEST_SLEEP_H

#include "guest/guest.h"

enum sleep_verdict {
    SLEEP_NOTHING, /* the write does not set SLP_EN */
    SLEEP_ALLOWED, /* the machine goes off, or to a state that Keel survives */
    SLEEP_REFUSED
};

/* size is 1, 2 or 4 bytes; value holds them in its low part. */
enum sleep_verdict sleep_check(const struct guest_sleep *sleep, uint16_t port, unsigned size,
                               uint32_t value);

#endif
