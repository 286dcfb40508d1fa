/* The exit handlers by file: see the table in exits.c for which reason each serves. */
#ifndef KEEL_GUEST_HANDLERS_H
#define KEEL_GUEST_HANDLERS_H

#include "guest/guest.h"

struct answer handle_cpuid(struct guest_cpu *cpu);         /* cpuid.c */
struct answer handle_rdmsr(struct guest_cpu *cpu);         /* msr.c */
struct answer handle_wrmsr(struct guest_cpu *cpu);         /* msr.c */
struct answer handle_cr_access(struct guest_cpu *cpu);     /* registers.c */
struct answer handle_xsetbv(struct guest_cpu *cpu);        /* registers.c */
struct answer handle_exception(struct guest_cpu *cpu);     /* exception.c */
struct answer handle_io(struct guest_cpu *cpu);            /* sleep.c */
struct answer handle_ept_violation(struct guest_cpu *cpu); /* memory.c */

/* This CPU's MTRRs are on: if they hold something new, the EPT's types follow. memory.c */
void guest_mtrrs_on(struct guest_cpu *cpu);

#endif
