/* Making the guest: its EPT, its bitmaps, its VMCS; and running it for ever. */
#ifndef KEEL_HV_LAUNCH_H
#define KEEL_HV_LAUNCH_H

#include "guest/load.h"
#include "hv/percpu.h"
#include "hv/platform.h"
#include "mm/space.h"

/*
 * Builds what the guest and each of its CPUs needs from memory, without touching any CPU's
 * state. *map must stay. NO_MEMORY: the home has too few frames.
 */
MUST_CHECK enum status launch_prepare(const struct platform *platform, const struct memmap *map,
                                      const struct home *home);

/* Frames that smp_init() and launch_prepare() take at most, tables for the EPT included. */
uint64_t launch_frames(const struct platform *platform, const struct memmap *map);

/*
 * Is this CPU able to do what the boot CPU does? Reads its CPUID and MSRs for the guest to
 * see. NULL, or what is missing.
 */
const char *launch_check(struct percpu *cpu, const struct platform *platform);

/*
 * Enters VMX operation and makes the VMCS: the boot CPU's at Linux's entry, the others'
 * waiting for SIPI. NULL, or what failed; the CPU is then as before.
 */
const char *launch_vmx(struct percpu *cpu, const struct platform *platform,
                       const struct guest_entry *entry);

/* Runs the guest on this CPU. */
NORETURN void run_guest(struct percpu *cpu);

/* Gives the machine to Linux without Keel, which is gone with this call. */
NORETURN void run_bare(const struct guest_entry *entry);

#endif
