/*
 * All CPUs or none. The boot CPU starts the others, leads them through the phases of the
 * launch, and takes them back if one of them cannot follow.
 */
#ifndef KEEL_HV_SMP_H
#define KEEL_HV_SMP_H

#include "hv/percpu.h"
#include "lib/status.h"
#include "mm/memmap.h"

enum phase {
    PHASE_NONE,
    PHASE_CHECK, /* is this CPU like the boot CPU? Nothing is changed */
    PHASE_VMX,   /* enter VMX operation, make the VMCS */
    PHASE_RUN,   /* run the guest: does not come back */
    PHASE_BACK   /* leave VMX operation and wait for an INIT */
};

/* Does this CPU's part of a phase; the top defines it. NULL, or why it failed. */
typedef const char *(*smp_phase_fn)(struct percpu *cpu, enum phase phase);

/*
 * Makes places for the CPUs with these APIC ids, the boot CPU's own among them. NO_MEMORY:
 * the home is too small.
 */
MUST_CHECK enum status smp_init(struct percpu *boot_cpu, const uint32_t *apic_ids, uint32_t count);

/*
 * Starts all other CPUs and waits until each has come. INVALID, NO_MEMORY, NO_SUPPORT:
 * *why says, by APIC id, what failed; the CPUs wait for SIPI again.
 */
MUST_CHECK enum status smp_start(const struct memmap *map, smp_phase_fn run, const char **why);

/*
 * Has every CPU, this one too, do a phase, and waits for all. NULL, or the first failure.
 * PHASE_RUN: waits until all others are on their way into the guest; does nothing here.
 */
const char *smp_do_phase(enum phase phase);

/* Puts the others back into the processor's own wait-for-SIPI. */
void smp_give_back(void);

/* From ap.S. */
NORETURN void ap_main(struct percpu *cpu);

#endif
