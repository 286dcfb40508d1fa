/*
 * The hardware that host tests run on: what stands behind test/fake/x86/ops.h. Everything is
 * one struct that a test may read and set; fake_reset() brings it back to its start.
 */
#ifndef KEEL_TEST_FAKE_FAKE_H
#define KEEL_TEST_FAKE_FAKE_H

#include "lib/types.h"

#define FAKE_MAP_MAX 8192
#define FAKE_LOG_MAX 262144

/* key -> value; a key that was never set is absent. */
struct fake_map {
    unsigned count;
    struct {
        uint64_t key;
        uint64_t value;
    } entry[FAKE_MAP_MAX];
};

/* One ops_store64() or one access to a port. */
struct fake_store {
    volatile uint64_t *address;
    uint64_t old;
    uint64_t new;
};

struct fake_port {
    bool out;
    unsigned size; /* in bytes */
    uint16_t port;
    uint32_t value;
};

struct fake {
    uint64_t cr0, cr2, cr3, cr4, dr0, dr1, dr2, dr3, dr6, dr7, xcr0;
    uint64_t tsc; /* one more at each read */
    bool xsetbv_faults;
    bool vmx_on;
    uint64_t current_vmcs;
    bool vmx_fails; /* VMXON, VMCLEAR, VMPTRLD and INVEPT fail */
    unsigned invepts, invlpgs, wbinvds, pauses, nmi_unblocks;
    uint64_t invept_type, invept_eptp;                 /* of the last one */
    uint32_t (*port_in)(uint16_t port, unsigned size); /* NULL: all ones */
    void (*on_unblock_nmi)(void);                      /* NULL: no NMI has waited */

    unsigned stores; /* in store[] */
    unsigned ports;  /* in port[] */
    struct fake_store store[FAKE_LOG_MAX];
    struct fake_port port[FAKE_LOG_MAX];
};

extern struct fake fake;

/* What GS points to in this thread: its struct percpu. */
extern _Thread_local void *fake_gs_pointer;

/* No MSR exists, every CPUID leaf is 0, every VMCS field reads as 0, the logs are empty. */
void fake_reset(void);

/* Makes an MSR exist. A read-only one faults when written. */
void fake_set_msr(uint32_t msr, uint64_t value);
void fake_set_msr_read_only(uint32_t msr, uint64_t value);
void fake_remove_msr(uint32_t msr);

/* Its value; the MSR must exist. */
uint64_t fake_msr(uint32_t msr);

void fake_set_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx,
                    uint32_t edx);

/* A field of the one VMCS; an absent one makes VMREAD and VMWRITE fail. */
void fake_set_vmcs(uint64_t field, uint64_t value);
void fake_remove_vmcs(uint64_t field);
uint64_t fake_vmcs(uint64_t field);

/* Takes back, or does again, store number index. */
void fake_undo_store(unsigned index);
void fake_redo_store(unsigned index);

#endif
