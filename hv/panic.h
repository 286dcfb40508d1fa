/*
 * The two ways to stop: panic for what is broken in Keel, hv_stop() for what the machine or
 * its configuration lacks.
 */
#ifndef KEEL_HV_PANIC_H
#define KEEL_HV_PANIC_H

#include "hv/percpu.h"
#include "hv/trap.h"
#include "lib/panic.h"

/* An exception in root mode that nothing expects. */
NORETURN void panic_trap(const struct trap_frame *frame);

/* The guest cannot go on: its state, and why. Then the machine stops. */
NORETURN void panic_guest(const struct guest_cpu *cpu, uint32_t reason, const char *why);

#endif
