/*
 * The VM-execution, VM-exit and VM-entry controls: computed by a pure function from one
 * table of what Keel requires, would like and refuses, and the capability MSRs.
 * SDM Vol. 3C, "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control
 * Fields"; Vol. 3D, Appendix A.3 to A.5.
 */
#ifndef KEEL_VMX_CONTROLS_H
#define KEEL_VMX_CONTROLS_H

#include "lib/bits.h"
#include "lib/status.h"
#include "vmx/caps.h"

#define PIN_EXTERNAL_INTERRUPT_EXITING BIT(0)
#define PIN_NMI_EXITING                BIT(3)
#define PIN_VIRTUAL_NMIS               BIT(5)

#define PRIMARY_HLT_EXITING        BIT(7)
#define PRIMARY_INVLPG_EXITING     BIT(9)
#define PRIMARY_RDTSC_EXITING      BIT(12)
#define PRIMARY_CR3_LOAD_EXITING   BIT(15)
#define PRIMARY_CR3_STORE_EXITING  BIT(16)
#define PRIMARY_TERTIARY_CONTROLS  BIT(17)
#define PRIMARY_NMI_WINDOW         BIT(22)
#define PRIMARY_MOV_DR_EXITING     BIT(23)
#define PRIMARY_IO_BITMAPS         BIT(25)
#define PRIMARY_MSR_BITMAPS        BIT(28)
#define PRIMARY_SECONDARY_CONTROLS BIT(31)

#define SECONDARY_ENABLE_EPT         BIT(1)
#define SECONDARY_ENABLE_RDTSCP      BIT(3)
#define SECONDARY_ENABLE_VPID        BIT(5)
#define SECONDARY_UNRESTRICTED_GUEST BIT(7)
#define SECONDARY_ENABLE_INVPCID     BIT(12)
#define SECONDARY_ENABLE_XSAVES      BIT(20)
#define SECONDARY_ENABLE_WAITPKG     BIT(26)

#define EXIT_SAVE_DEBUG_CONTROLS BIT(2)
#define EXIT_HOST_64BIT          BIT(9)
#define EXIT_SAVE_PAT            BIT(18)
#define EXIT_LOAD_PAT            BIT(19)
#define EXIT_SAVE_EFER           BIT(20)
#define EXIT_LOAD_EFER           BIT(21)
#define EXIT_SECONDARY_CONTROLS  BIT(31)

#define ENTRY_LOAD_DEBUG_CONTROLS BIT(2)
#define ENTRY_IA32E_MODE_GUEST    BIT(9)
#define ENTRY_LOAD_PAT            BIT(14)
#define ENTRY_LOAD_EFER           BIT(15)

/* The words that go into the VMCS. A processor without secondary controls is refused. */
struct vmx_controls {
    uint32_t pin;
    uint32_t primary;
    uint32_t secondary;
    uint32_t exit;
    uint32_t entry;
};

/*
 * NO_SUPPORT: *missing names in the SDM's words the first control that Keel needs and the
 * processor lacks, or the one that it insists on and Keel cannot live with.
 */
MUST_CHECK enum status vmx_controls_compute(const struct vmx_caps *caps,
                                            struct vmx_controls *controls, const char **missing);

/*
 * The capabilities beside the controls that Keel cannot do without: EPT with a 4-level walk
 * (5 levels where physical_bits > 48), 2 MiB pages, write-back tables, INVEPT; VMCS in
 * write-back memory. NO_SUPPORT: *missing names the first that is not there.
 */
MUST_CHECK enum status vmx_caps_check(const struct vmx_caps *caps, unsigned physical_bits,
                                      const char **missing);

#endif
