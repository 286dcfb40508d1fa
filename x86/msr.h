/* Model-specific registers that Keel names. SDM Vol. 4, "Architectural MSRs". */
#ifndef KEEL_X86_MSR_H
#define KEEL_X86_MSR_H

#include "lib/bits.h"

#define IA32_APIC_BASE               0x01b
#define IA32_FEATURE_CONTROL         0x03a
#define IA32_SPEC_CTRL               0x048
#define IA32_PRED_CMD                0x049
#define IA32_BIOS_UPDT_TRIG          0x079
#define IA32_BIOS_SIGN_ID            0x08b
#define IA32_SGXLEPUBKEYHASH0        0x08c
#define IA32_SMM_MONITOR_CTL         0x09b
#define IA32_MTRRCAP                 0x0fe
#define IA32_ARCH_CAPABILITIES       0x10a
#define IA32_SYSENTER_CS             0x174
#define IA32_SYSENTER_ESP            0x175
#define IA32_SYSENTER_EIP            0x176
#define IA32_MISC_ENABLE             0x1a0
#define IA32_DEBUGCTL                0x1d9
#define IA32_MTRR_PHYSBASE0          0x200
#define IA32_MTRR_FIX64K_00000       0x250
#define IA32_MTRR_FIX16K_80000       0x258
#define IA32_MTRR_FIX16K_A0000       0x259
#define IA32_MTRR_FIX4K_C0000        0x268
#define IA32_MTRR_FIX4K_F8000        0x26f
#define IA32_PAT                     0x277
#define IA32_MTRR_DEF_TYPE           0x2ff
#define IA32_PERF_CAPABILITIES       0x345
#define IA32_PEBS_ENABLE             0x3f1
#define IA32_VMX_BASIC               0x480
#define IA32_VMX_PINBASED_CTLS       0x481
#define IA32_VMX_PROCBASED_CTLS      0x482
#define IA32_VMX_EXIT_CTLS           0x483
#define IA32_VMX_ENTRY_CTLS          0x484
#define IA32_VMX_MISC                0x485
#define IA32_VMX_CR0_FIXED0          0x486
#define IA32_VMX_CR0_FIXED1          0x487
#define IA32_VMX_CR4_FIXED0          0x488
#define IA32_VMX_CR4_FIXED1          0x489
#define IA32_VMX_PROCBASED_CTLS2     0x48b
#define IA32_VMX_EPT_VPID_CAP        0x48c
#define IA32_VMX_TRUE_PINBASED_CTLS  0x48d
#define IA32_VMX_TRUE_PROCBASED_CTLS 0x48e
#define IA32_VMX_TRUE_EXIT_CTLS      0x48f
#define IA32_VMX_TRUE_ENTRY_CTLS     0x490
#define IA32_VMX_PROCBASED_CTLS3     0x492
#define IA32_VMX_EXIT_CTLS2          0x493
#define IA32_DS_AREA                 0x600
#define IA32_X2APIC_FIRST            0x800
#define IA32_TME_ACTIVATE            0x982
#define IA32_XSS                     0xda0
#define IA32_HW_FEEDBACK_PTR         0x17d0
#define IA32_HW_FEEDBACK_CONFIG      0x17d1
#define IA32_EFER                    0xc0000080
#define IA32_STAR                    0xc0000081
#define IA32_FMASK                   0xc0000084
#define IA32_FS_BASE                 0xc0000100
#define IA32_GS_BASE                 0xc0000101
#define IA32_KERNEL_GS_BASE          0xc0000102
#define IA32_TSC_AUX                 0xc0000103

#define APIC_BASE_BSP    BIT(8)
#define APIC_BASE_EXTD   BIT(10)
#define APIC_BASE_ENABLE BIT(11)

#define FEATURE_CONTROL_LOCK       BIT(0)
#define FEATURE_CONTROL_VMX_IN_SMX BIT(1)
#define FEATURE_CONTROL_VMX        BIT(2) /* outside SMX operation */

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

#define MISC_ENABLE_LIMIT_CPUID BIT(22)
#define MISC_ENABLE_XD_DISABLE  BIT(34)

#define DEBUGCTL_LBR                   BIT(0)
#define DEBUGCTL_BTF                   BIT(1)
#define DEBUGCTL_BLD                   BIT(2)
#define DEBUGCTL_FREEZE_LBRS_ON_PMI    BIT(11)
#define DEBUGCTL_FREEZE_PERFMON_ON_PMI BIT(12)
#define DEBUGCTL_UNCORE_PMI            BIT(13)
#define DEBUGCTL_FREEZE_WHILE_SMM      BIT(14)
#define DEBUGCTL_RTM                   BIT(15)

#endif
