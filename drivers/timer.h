/* Short waits, by ACPI's power management timer: nothing of the guest's is touched. */
#ifndef KEEL_DRIVERS_TIMER_H
#define KEEL_DRIVERS_TIMER_H

#include "lib/types.h"

/* port 0, or one that does not count: the TSC is taken to be as fast as any is. */
void timer_init(uint16_t port);

/* Waits at least so many microseconds, up to a second. */
void timer_wait_us(uint32_t us);

#endif
