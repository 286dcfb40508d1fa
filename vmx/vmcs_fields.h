/*
 * The VMCS fields that Keel uses, by width and kind: V(name, encoding).
 * SDM Vol. 3D, Appendix B, "Field Encoding in VMCS".
 */
#ifndef KEEL_VMX_VMCS_FIELDS_H
#define KEEL_VMX_VMCS_FIELDS_H

// clang-format off
#define VMCS_FIELDS(V)                                                                             \
    /* 16-bit control, guest state, host state */                                                  \
    V(VPID,                             0x0000)                                                    \
    V(GUEST_ES_SELECTOR,                0x0800)                                                    \
    V(GUEST_CS_SELECTOR,                0x0802)                                                    \
    V(GUEST_SS_SELECTOR,                0x0804)                                                    \
    V(GUEST_DS_SELECTOR,                0x0806)                                                    \
    V(GUEST_FS_SELECTOR,                0x0808)                                                    \
    V(GUEST_GS_SELECTOR,                0x080a)                                                    \
    V(GUEST_LDTR_SELECTOR,              0x080c)                                                    \
    V(GUEST_TR_SELECTOR,                0x080e)                                                    \
    V(HOST_ES_SELECTOR,                 0x0c00)                                                    \
    V(HOST_CS_SELECTOR,                 0x0c02)                                                    \
    V(HOST_SS_SELECTOR,                 0x0c04)                                                    \
    V(HOST_DS_SELECTOR,                 0x0c06)                                                    \
    V(HOST_FS_SELECTOR,                 0x0c08)                                                    \
    V(HOST_GS_SELECTOR,                 0x0c0a)                                                    \
    V(HOST_TR_SELECTOR,                 0x0c0c)                                                    \
    /* 64-bit control */                                                                           \
    V(IO_BITMAP_A,                      0x2000)                                                    \
    V(IO_BITMAP_B,                      0x2002)                                                    \
    V(MSR_BITMAP,                       0x2004)                                                    \
    V(TSC_OFFSET,                       0x2010)                                                    \
    V(EPT_POINTER,                      0x201a)                                                    \
    V(XSS_EXITING_BITMAP,               0x202c)                                                    \
    V(TERTIARY_CONTROLS,                0x2034)                                                    \
    V(LOW_PASID_DIRECTORY,              0x2038)                                                    \
    V(HIGH_PASID_DIRECTORY,             0x203a)                                                    \
    V(SECONDARY_EXIT_CONTROLS,          0x2044)                                                    \
    /* 64-bit read-only data */                                                                    \
    V(GUEST_PHYSICAL_ADDRESS,           0x2400)                                                    \
    /* 64-bit guest state, host state */                                                           \
    V(VMCS_LINK_POINTER,                0x2800)                                                    \
    V(GUEST_IA32_DEBUGCTL,              0x2802)                                                    \
    V(GUEST_IA32_PAT,                   0x2804)                                                    \
    V(GUEST_IA32_EFER,                  0x2806)                                                    \
    V(GUEST_PDPTE0,                     0x280a)                                                    \
    V(GUEST_PDPTE1,                     0x280c)                                                    \
    V(GUEST_PDPTE2,                     0x280e)                                                    \
    V(GUEST_PDPTE3,                     0x2810)                                                    \
    V(GUEST_IA32_PKRS,                  0x2818)                                                    \
    V(HOST_IA32_PAT,                    0x2c00)                                                    \
    V(HOST_IA32_EFER,                   0x2c02)                                                    \
    V(HOST_IA32_PKRS,                   0x2c06)                                                    \
    /* 32-bit control */                                                                           \
    V(PIN_CONTROLS,                     0x4000)                                                    \
    V(PRIMARY_CONTROLS,                 0x4002)                                                    \
    V(EXCEPTION_BITMAP,                 0x4004)                                                    \
    V(PAGE_FAULT_ERROR_CODE_MASK,       0x4006)                                                    \
    V(PAGE_FAULT_ERROR_CODE_MATCH,      0x4008)                                                    \
    V(CR3_TARGET_COUNT,                 0x400a)                                                    \
    V(EXIT_CONTROLS,                    0x400c)                                                    \
    V(EXIT_MSR_STORE_COUNT,             0x400e)                                                    \
    V(EXIT_MSR_LOAD_COUNT,              0x4010)                                                    \
    V(ENTRY_CONTROLS,                   0x4012)                                                    \
    V(ENTRY_MSR_LOAD_COUNT,             0x4014)                                                    \
    V(ENTRY_INTERRUPTION_INFO,          0x4016)                                                    \
    V(ENTRY_EXCEPTION_ERROR_CODE,       0x4018)                                                    \
    V(ENTRY_INSTRUCTION_LENGTH,         0x401a)                                                    \
    V(SECONDARY_CONTROLS,               0x401e)                                                    \
    /* 32-bit read-only data */                                                                    \
    V(VM_INSTRUCTION_ERROR,             0x4400)                                                    \
    V(EXIT_REASON,                      0x4402)                                                    \
    V(EXIT_INTERRUPTION_INFO,           0x4404)                                                    \
    V(EXIT_INTERRUPTION_ERROR_CODE,     0x4406)                                                    \
    V(IDT_VECTORING_INFO,               0x4408)                                                    \
    V(IDT_VECTORING_ERROR_CODE,         0x440a)                                                    \
    V(EXIT_INSTRUCTION_LENGTH,          0x440c)                                                    \
    V(EXIT_INSTRUCTION_INFO,            0x440e)                                                    \
    /* 32-bit guest state, host state */                                                           \
    V(GUEST_ES_LIMIT,                   0x4800)                                                    \
    V(GUEST_CS_LIMIT,                   0x4802)                                                    \
    V(GUEST_SS_LIMIT,                   0x4804)                                                    \
    V(GUEST_DS_LIMIT,                   0x4806)                                                    \
    V(GUEST_FS_LIMIT,                   0x4808)                                                    \
    V(GUEST_GS_LIMIT,                   0x480a)                                                    \
    V(GUEST_LDTR_LIMIT,                 0x480c)                                                    \
    V(GUEST_TR_LIMIT,                   0x480e)                                                    \
    V(GUEST_GDTR_LIMIT,                 0x4810)                                                    \
    V(GUEST_IDTR_LIMIT,                 0x4812)                                                    \
    V(GUEST_ES_ACCESS_RIGHTS,           0x4814)                                                    \
    V(GUEST_CS_ACCESS_RIGHTS,           0x4816)                                                    \
    V(GUEST_SS_ACCESS_RIGHTS,           0x4818)                                                    \
    V(GUEST_DS_ACCESS_RIGHTS,           0x481a)                                                    \
    V(GUEST_FS_ACCESS_RIGHTS,           0x481c)                                                    \
    V(GUEST_GS_ACCESS_RIGHTS,           0x481e)                                                    \
    V(GUEST_LDTR_ACCESS_RIGHTS,         0x4820)                                                    \
    V(GUEST_TR_ACCESS_RIGHTS,           0x4822)                                                    \
    V(GUEST_INTERRUPTIBILITY,           0x4824)                                                    \
    V(GUEST_ACTIVITY_STATE,             0x4826)                                                    \
    V(GUEST_IA32_SYSENTER_CS,           0x482a)                                                    \
    V(HOST_IA32_SYSENTER_CS,            0x4c00)                                                    \
    /* natural-width control, read-only data */                                                    \
    V(CR0_GUEST_HOST_MASK,              0x6000)                                                    \
    V(CR4_GUEST_HOST_MASK,              0x6002)                                                    \
    V(CR0_READ_SHADOW,                  0x6004)                                                    \
    V(CR4_READ_SHADOW,                  0x6006)                                                    \
    V(EXIT_QUALIFICATION,               0x6400)                                                    \
    V(GUEST_LINEAR_ADDRESS,             0x640a)                                                    \
    /* natural-width guest state */                                                                \
    V(GUEST_CR0,                        0x6800)                                                    \
    V(GUEST_CR3,                        0x6802)                                                    \
    V(GUEST_CR4,                        0x6804)                                                    \
    V(GUEST_ES_BASE,                    0x6806)                                                    \
    V(GUEST_CS_BASE,                    0x6808)                                                    \
    V(GUEST_SS_BASE,                    0x680a)                                                    \
    V(GUEST_DS_BASE,                    0x680c)                                                    \
    V(GUEST_FS_BASE,                    0x680e)                                                    \
    V(GUEST_GS_BASE,                    0x6810)                                                    \
    V(GUEST_LDTR_BASE,                  0x6812)                                                    \
    V(GUEST_TR_BASE,                    0x6814)                                                    \
    V(GUEST_GDTR_BASE,                  0x6816)                                                    \
    V(GUEST_IDTR_BASE,                  0x6818)                                                    \
    V(GUEST_DR7,                        0x681a)                                                    \
    V(GUEST_RSP,                        0x681c)                                                    \
    V(GUEST_RIP,                        0x681e)                                                    \
    V(GUEST_RFLAGS,                     0x6820)                                                    \
    V(GUEST_PENDING_DEBUG_EXCEPTIONS,   0x6822)                                                    \
    V(GUEST_IA32_SYSENTER_ESP,          0x6824)                                                    \
    V(GUEST_IA32_SYSENTER_EIP,          0x6826)                                                    \
    V(GUEST_IA32_S_CET,                 0x6828)                                                    \
    V(GUEST_SSP,                        0x682a)                                                    \
    V(GUEST_IA32_INTERRUPT_SSP_TABLE,   0x682c)                                                    \
    /* natural-width host state */                                                                 \
    V(HOST_CR0,                         0x6c00)                                                    \
    V(HOST_CR3,                         0x6c02)                                                    \
    V(HOST_CR4,                         0x6c04)                                                    \
    V(HOST_FS_BASE,                     0x6c06)                                                    \
    V(HOST_GS_BASE,                     0x6c08)                                                    \
    V(HOST_TR_BASE,                     0x6c0a)                                                    \
    V(HOST_GDTR_BASE,                   0x6c0c)                                                    \
    V(HOST_IDTR_BASE,                   0x6c0e)                                                    \
    V(HOST_IA32_SYSENTER_ESP,           0x6c10)                                                    \
    V(HOST_IA32_SYSENTER_EIP,           0x6c12)                                                    \
    V(HOST_RSP,                         0x6c14)                                                    \
    V(HOST_RIP,                         0x6c16)                                                    \
    V(HOST_IA32_S_CET,                  0x6c18)                                                    \
    V(HOST_SSP,                         0x6c1a)                                                    \
    V(HOST_IA32_INTERRUPT_SSP_TABLE,    0x6c1c)
// clang-format on

#endif
