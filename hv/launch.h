/* Making the guest: its EPT, its bitmaps, its VMCS; and running it for ever. */
#ifndef KEEL_HV_LAUNCH_H
#define KEEL_HV_LAUNCH_H

#include "guest/linux.h"
#include "hv/percpu.h"
#include "hv/platform.h"
#include "mm/space.h"

/*
 * Builds what the guest needs from memory, without touching the processor's state. *map
 * must stay. NO_MEMORY: the home has too few frames.
 */
MUST_CHECK enum status launch_prepare(struct percpu *cpu, const struct platform *platform,
                                      const struct memmap *map, const struct home *home);

/* Frames that launch_prepare() takes at most, tables for the EPT included. */
uint64_t launch_frames(const struct platform *platform, const struct memmap *map);

/*
 * Enters VMX operation and makes the VMCS, at Linux's entry. Any status but OK: *why says
 * what failed, and the CPU is as before.
 */
MUST_CHECK enum status launch_vmx(struct percpu *cpu, const struct platform *platform,
                                  const struct linux_entry *entry, const char **why);

/* Runs the guest on this CPU. */
NORETURN void run_guest(struct percpu *cpu);

/* Gives the machine to Linux without Keel, which is gone with this call. */
NORETURN void run_bare(const struct linux_entry *entry);

#endif
