/*
 * The one guest: what all its CPUs share, what each has of its own, and what a handler of an
 * exit answers. Handlers touch the machine only through x86/ops.h and the VMCS, so each can
 * be run on the host.
 */
#ifndef KEEL_GUEST_GUEST_H
#define KEEL_GUEST_GUEST_H

#include "guest/cpuid.h"
#include "lib/lock.h"
#include "lib/types.h"
#include "mm/ept.h"
#include "mm/mtrr.h"
#include "vmx/controls.h"
#include "vmx/vcpu.h"
#include "x86/regs.h"

#define GUEST_SLEEP_PORTS 4

/* The ACPI sleep registers, of which only some values may pass. */
struct guest_sleep {
    uint16_t control[GUEST_SLEEP_PORTS]; /* ports of PM1a_CNT and PM1b_CNT; 0: none */
    uint8_t allowed[GUEST_SLEEP_PORTS];  /* bit n: SLP_TYP n may be written with SLP_EN */
};

struct guest {
    struct lock lock; /* of all below but sleep and physical_bits; before log.c's */
    struct ept ept;
    struct mtrrs mtrrs; /* what the EPT's types follow */
    struct guest_sleep sleep;
    unsigned physical_bits;
    uint64_t violations; /* accesses to Keel's memory */
};

struct guest_cpu {
    struct vcpu vcpu; /* first: entry.S */
    struct guest *guest;
    struct cpuid_table *cpuid;
    struct mtrrs mtrrs;      /* this CPU's registers, as the guest sees them */
    bool mtrrs_changed;      /* since the EPT last followed */
    uint64_t debugctl_valid; /* bits of IA32_DEBUGCTL that this processor takes */
    uint64_t xcr0_valid;     /* likewise */
    uint64_t xss_valid;
    uint64_t microcode_revision; /* IA32_BIOS_SIGN_ID: it never changes under Keel */
};

enum answer_kind {
    ANSWER_ADVANCE,      /* emulated: go on behind the instruction */
    ANSWER_RETRY,        /* the guest tries again */
    ANSWER_INJECT,       /* an exception in its place */
    ANSWER_RESUME,       /* the handler has done all that is to do */
    ANSWER_TRIPLE_FAULT, /* the guest has shut down */
    ANSWER_INIT,         /* an INIT has come */
    ANSWER_STARTUP,      /* a SIPI has come */
    ANSWER_NMI,          /* an NMI has come */
    ANSWER_STOP          /* Keel does not know how to go on: report, and stop the guest */
};

struct answer {
    uint8_t kind;
    uint8_t vector;     /* INJECT */
    bool has_error;     /* INJECT */
    bool nmi_unblocked; /* RETRY: see event_retry() */
    uint32_t error;     /* INJECT */
};

static inline struct answer answer(enum answer_kind kind)
{
    return (struct answer){.kind = (uint8_t)kind};
}

static inline struct answer answer_inject(enum vector vector)
{
    return (struct answer){.kind = ANSWER_INJECT, .vector = (uint8_t)vector};
}

static inline struct answer answer_inject_error(enum vector vector, uint32_t error)
{
    return (struct answer){
        .kind = ANSWER_INJECT, .vector = (uint8_t)vector, .has_error = true, .error = error};
}

/* Handles the exit with this basic reason. Never panics for what the guest did. */
struct answer guest_handle_exit(struct guest_cpu *cpu, uint32_t reason);

/* "CPUID" for EXIT_CPUID; "?" for a number that is none. SDM Vol. 3D, Appendix C. */
const char *guest_exit_name(uint32_t reason);

/* Up-call: drops what every CPU has cached of the EPT. The guest's lock is held. */
void guest_flush_ept(void);

/* Up-call: the guest is about to switch the machine off or put it to sleep. The top defines it. */
void guest_leaving(struct guest_cpu *cpu);

#endif
