/* See caps.h. Which MSR exists is told by bits of the others: Appendix A gives the rule for each.
 */
#include "vmx/caps.h"

#include "vmx/controls.h"
#include "x86/msr.h"
#include "x86/ops.h"

static bool may_be_one(uint64_t control_msr, uint64_t bit)
{
    return (control_msr >> 32 & bit) != 0;
}

void vmx_caps_read(struct vmx_caps *caps)
{
    *caps = (struct vmx_caps){0};
    caps->basic = ops_rdmsr(IA32_VMX_BASIC);
    caps->misc = ops_rdmsr(IA32_VMX_MISC);
    bool has_true = (caps->basic & VMX_BASIC_TRUE_CTLS) != 0;
    caps->pin = ops_rdmsr(has_true ? IA32_VMX_TRUE_PINBASED_CTLS : IA32_VMX_PINBASED_CTLS);
    caps->primary = ops_rdmsr(has_true ? IA32_VMX_TRUE_PROCBASED_CTLS : IA32_VMX_PROCBASED_CTLS);
    caps->exit = ops_rdmsr(has_true ? IA32_VMX_TRUE_EXIT_CTLS : IA32_VMX_EXIT_CTLS);
    caps->entry = ops_rdmsr(has_true ? IA32_VMX_TRUE_ENTRY_CTLS : IA32_VMX_ENTRY_CTLS);
    caps->cr0_fixed0 = ops_rdmsr(IA32_VMX_CR0_FIXED0);
    caps->cr0_fixed1 = ops_rdmsr(IA32_VMX_CR0_FIXED1);
    caps->cr4_fixed0 = ops_rdmsr(IA32_VMX_CR4_FIXED0);
    caps->cr4_fixed1 = ops_rdmsr(IA32_VMX_CR4_FIXED1);
    if (may_be_one(caps->primary, PRIMARY_SECONDARY_CONTROLS))
        caps->secondary = ops_rdmsr(IA32_VMX_PROCBASED_CTLS2);
    if (may_be_one(caps->secondary, SECONDARY_ENABLE_EPT | SECONDARY_ENABLE_VPID))
        caps->ept_vpid = ops_rdmsr(IA32_VMX_EPT_VPID_CAP);
    if (may_be_one(caps->primary, PRIMARY_TERTIARY_CONTROLS))
        caps->tertiary = ops_rdmsr(IA32_VMX_PROCBASED_CTLS3);
    if (may_be_one(caps->exit, EXIT_SECONDARY_CONTROLS))
        caps->exit2 = ops_rdmsr(IA32_VMX_EXIT_CTLS2);
}
