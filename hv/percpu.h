/*
 * What each CPU has of its own. GS points to it in root mode from cpu_init() on, and the
 * processor restores that at every VM exit.
 */
#ifndef KEEL_HV_PERCPU_H
#define KEEL_HV_PERCPU_H

#include "guest/guest.h"
#include "x86/desc.h"

struct percpu {
    struct percpu *self;     /* first: this_cpu() */
    struct guest_cpu guest;  /* the guest CPU that runs here */
    bool guest_ready;        /* its VMCS is current: NMIs belong to it */
    volatile bool early_nmi; /* one came before that */
    void *stack;             /* the end of the stack that it runs on from hv_main()'s end on */
    uint64_t gdt[GDT_ENTRIES];
    struct tss tss;
};

static inline struct percpu *this_cpu(void)
{
    struct percpu *cpu;
    __asm__("mov %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

/* Stacks of the TSS's interrupt stack table. */
enum ist {
    IST_NMI = 1,
    IST_DOUBLE_FAULT = 2,
    IST_MACHINE_CHECK = 3
};

/* Loads GDT, TSS, IDT and GS base, and sets the control registers that root mode wants. */
void cpu_init(struct percpu *cpu);

/* Gives the CPU its own stacks, guard pages below; the home must be entered. */
MUST_CHECK enum status cpu_init_stacks(struct percpu *cpu);

#endif
