/*
 * One guest CPU as the VMX engine sees it: what the processor does not keep in the VMCS.
 * vmx/entry.S knows the offsets.
 */
#ifndef KEEL_VMX_VCPU_H
#define KEEL_VMX_VCPU_H

#include "lib/types.h"
#include "vmx/entry_offsets.h"

/* In the order in which entry.S pushes them. RSP is in the VMCS. */
struct vcpu_regs {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rdx, rcx, rbx, rax;
};

#define EXIT_REASON_COUNT 80

/* Owned by the CPU that it belongs to: no other touches it. */
struct vcpu {
    struct vcpu_regs regs;
    uint64_t host_rsp; /* entry.S: Keel's stack while the guest runs */
    uint8_t launched;  /* entry.S: VMRESUME rather than VMLAUNCH */

    /* Wait for the NMI window; the handlers of root mode set them, too. */
    volatile bool nmi_pending;
    volatile bool machine_check_pending;
    uint32_t primary_controls; /* as the VMCS has them, less the NMI window */
    uint32_t entry_controls;
    hpa_t vmcs;
    uint64_t exits[EXIT_REASON_COUNT]; /* counted by basic reason */
};

_Static_assert(sizeof(struct vcpu_regs) == VCPU_REGS_SIZE, "entry.S");
_Static_assert(offsetof(struct vcpu, host_rsp) == VCPU_HOST_RSP, "entry.S");
_Static_assert(offsetof(struct vcpu, launched) == VCPU_LAUNCHED, "entry.S");

/* The register that encoding (0..15) names, but 4: that is RSP, which the VMCS keeps. */
static inline uint64_t *vcpu_register(struct vcpu *vcpu, unsigned encoding)
{
    struct vcpu_regs *r = &vcpu->regs;
    uint64_t *const table[16] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, NULL,    &r->rbp,
                                 &r->rsi, &r->rdi, &r->r8,  &r->r9,  &r->r10, &r->r11,
                                 &r->r12, &r->r13, &r->r14, &r->r15};
    return table[encoding];
}

#endif
