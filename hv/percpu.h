/*
 * What each CPU has of its own. GS points to it in root mode from cpu_init() on, and the
 * processor restores that at every VM exit.
 */
#ifndef KEEL_HV_PERCPU_H
#define KEEL_HV_PERCPU_H

#include "guest/guest.h"
#include "hv/ap_offsets.h"
#include "x86/desc.h"

#define CPU_MAX 512

struct percpu {
    struct percpu *self; /* first: this_cpu() */
    void *stack;         /* the end of the stack that it runs on; ap.S knows the offset */
    uint32_t index;      /* 0: the boot CPU */
    uint32_t apic_id;
    struct guest_cpu guest;    /* the guest CPU that runs here */
    volatile bool guest_ready; /* its VMCS is current: NMIs belong to it */
    volatile bool early_nmi;   /* one came before that */
    const struct vmx_caps *caps;
    hpa_t vmxon; /* its VMXON region and its VMCS */
    hpa_t vmcs;
    /* smp.c */
    uint32_t phase_done;
    const char *why; /* why that phase failed; NULL: it did not */
    /* kick.c */
    uint32_t parked; /* waits for SIPI, or is about to: cannot answer, and need not */
    uint32_t kicked; /* asked, and has not answered */
    uint64_t gdt[GDT_ENTRIES];
    struct tss tss;
};

_Static_assert(offsetof(struct percpu, stack) == PERCPU_STACK, "ap.S");
_Static_assert(sizeof(struct percpu) <= PAGE_SIZE, "one frame for each CPU");

/* All CPUs that run Keel; the first is the boot CPU. Filled before the others start. */
extern struct percpu *cpu_table[CPU_MAX];
extern uint32_t cpu_count;

static inline struct percpu *this_cpu(void)
{
    return ops_gs_pointer();
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
