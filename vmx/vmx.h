/*
 * VMX operation on one CPU: switching it on, its VMCS, entering the guest.
 * SDM Vol. 3C, "Introduction to Virtual Machine Extensions", "VMX Support for the VMM".
 */
#ifndef KEEL_VMX_VMX_H
#define KEEL_VMX_VMX_H

#include "lib/status.h"
#include "vmx/controls.h"
#include "vmx/vcpu.h"

/*
 * May this CPU enter VMX operation? Changes nothing. NO_SUPPORT: *why says what is missing,
 * as an English clause ("the firmware has locked VMX off (...)").
 */
MUST_CHECK enum status vmx_check(const char **why);

/*
 * Enters VMX operation with the given page as VMXON region: zeroed, of memory type WB. Where
 * the firmware left IA32_FEATURE_CONTROL unlocked, it is set and locked, which only a reset
 * undoes. The caller's CR0 and CR4 are adjusted to what VMX operation asks for.
 */
MUST_CHECK enum status vmx_on(const struct vmx_caps *caps, hpa_t region, void *region_memory,
                              const char **why);

/* Leaves VMX operation; no VMCS may be used afterwards. */
void vmx_off(void);

/* What the VMCS takes from Keel's own state beside the registers' current values. */
struct vmx_host {
    uint64_t gs_base;
    uint64_t tss_base;
    uint64_t gdt_base;
    uint64_t idt_base;
};

/* What the guest's VMCS is made of beside its initial state. */
struct vmx_guest {
    uint64_t ept_pointer;
    hpa_t msr_bitmap;
    hpa_t io_bitmap_a;
    hpa_t io_bitmap_b;
    uint32_t exception_bitmap;
    uint64_t cr0_owned; /* bits of the guest's CR0 and CR4 that Keel owns: they read as 0 ... */
    uint64_t cr4_owned; /* ... until the guest's own value is put into the shadow */
};

/*
 * Clears the page vmcs (seen at memory), makes it current and writes controls and host
 * state. The guest state is vmx_set_guest_*'s.
 */
void vmx_vmcs_init(struct vcpu *vcpu, const struct vmx_caps *caps,
                   const struct vmx_controls *controls, const struct vmx_host *host,
                   const struct vmx_guest *guest, hpa_t vmcs, void *memory);

/*
 * Guest state: 64-bit mode on the page tables at cr3, or protected mode without paging;
 * flat segments of the selectors SELECTOR_CODE and SELECTOR_DATA, interrupts off.
 */
void vmx_set_guest_64bit(struct vcpu *vcpu, const struct vmx_caps *caps, uint64_t rip,
                         uint64_t cr3);
void vmx_set_guest_32bit(struct vcpu *vcpu, const struct vmx_caps *caps, uint64_t rip);

/* The GDT that has those segments. */
void vmx_set_guest_gdt(uint64_t base, uint16_t limit);

/*
 * Guest state as an INIT leaves it: real mode at the reset vector, waiting for a SIPI. The
 * registers that are not in the VMCS are set on this CPU. CR0.CD and NW stay.
 */
void vmx_set_guest_init(struct vcpu *vcpu, const struct vmx_caps *caps);

/* A SIPI with this vector: starts the guest CPU that waits for it, in real mode. */
void vmx_set_guest_startup(uint8_t vector);

struct vmx_exit {
    bool entered;    /* false: the VM entry itself failed, the guest did not run */
    uint32_t reason; /* basic exit reason, or as below */
    bool bad_guest;  /* the entry failed loading the guest's state: reason says why */
};

/* Runs the guest until its next exit. The VMCS must be current. */
struct vmx_exit vmx_run(struct vcpu *vcpu);

/* Drops every translation that this CPU has cached through any EPT. */
void vmx_flush_ept(void);

#endif
