/*
 * What the processor's VMX can do: the capability MSRs as they are, in one struct.
 * SDM Vol. 3D, Appendix A, "VMX Capability Reporting Facility".
 */
#ifndef KEEL_VMX_CAPS_H
#define KEEL_VMX_CAPS_H

#include "lib/bits.h"
#include "lib/types.h"

#define VMX_BASIC_REVISION    MASK(30, 0)
#define VMX_BASIC_MEMORY_TYPE MASK(53, 50)
#define VMX_BASIC_TRUE_CTLS   BIT(55)

#define VMX_MISC_EFER_LMA_STORED BIT(5)
#define VMX_MISC_WAIT_FOR_SIPI   BIT(8)

#define EPT_VPID_WALK_4     BIT(6)
#define EPT_VPID_WALK_5     BIT(7)
#define EPT_VPID_WB         BIT(14)
#define EPT_VPID_2M         BIT(16)
#define EPT_VPID_1G         BIT(17)
#define EPT_VPID_INVEPT     BIT(20)
#define EPT_VPID_INVEPT_ALL BIT(26)

struct vmx_caps {
    uint64_t basic;
    uint64_t misc;
    /* bits 31:0 may not be 0, bits 63:32 may be 1; the TRUE ones where they exist */
    uint64_t pin;
    uint64_t primary;
    uint64_t secondary; /* 0: absent */
    uint64_t exit;
    uint64_t entry;
    uint64_t tertiary;   /* bits that may be 1; 0: absent */
    uint64_t exit2;      /* likewise */
    uint64_t cr0_fixed0; /* bits that must be 1 in VMX operation */
    uint64_t cr0_fixed1; /* bits that may be 1 */
    uint64_t cr4_fixed0;
    uint64_t cr4_fixed1;
    uint64_t ept_vpid; /* 0: neither EPT nor VPID */
};

/* Only where CPUID says that VMX is there. */
void vmx_caps_read(struct vmx_caps *caps);

#endif
