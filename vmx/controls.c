/* See controls.h. */
#include "vmx/controls.h"

#include "x86/regs.h"

enum need {
    REQUIRED,
    SETTABLE, /* used at times: must be allowed, begins as 0 */
    OPTIONAL,
    FORBIDDEN
};

enum word {
    WORD_PIN,
    WORD_PRIMARY,
    WORD_SECONDARY,
    WORD_EXIT,
    WORD_ENTRY,
    WORD_COUNT
};

/*
 * Bits that are not here are left as the processor insists (its "default1" bits), else 0.
 * What would make the guest exit where it need not is forbidden, so that a processor that
 * insists on it is refused by name and not silently slow.
 */
static const struct {
    enum word word;
    enum need need;
    uint64_t bit;
    const char *name;
} table[] = {
    {WORD_PIN, REQUIRED, PIN_NMI_EXITING, "NMI exiting"},
    {WORD_PIN, REQUIRED, PIN_VIRTUAL_NMIS, "virtual NMIs"},
    {WORD_PIN, FORBIDDEN, PIN_EXTERNAL_INTERRUPT_EXITING, "external-interrupt exiting"},
    {WORD_PRIMARY, REQUIRED, PRIMARY_IO_BITMAPS, "use I/O bitmaps"},
    {WORD_PRIMARY, REQUIRED, PRIMARY_MSR_BITMAPS, "use MSR bitmaps"},
    {WORD_PRIMARY, REQUIRED, PRIMARY_SECONDARY_CONTROLS, "activate secondary controls"},
    {WORD_PRIMARY, SETTABLE, PRIMARY_NMI_WINDOW, "NMI-window exiting"},
    {WORD_PRIMARY, FORBIDDEN, PRIMARY_HLT_EXITING, "HLT exiting"},
    {WORD_PRIMARY, FORBIDDEN, PRIMARY_INVLPG_EXITING, "INVLPG exiting"},
    {WORD_PRIMARY, FORBIDDEN, PRIMARY_RDTSC_EXITING, "RDTSC exiting"},
    {WORD_PRIMARY, FORBIDDEN, PRIMARY_CR3_LOAD_EXITING, "CR3-load exiting"},
    {WORD_PRIMARY, FORBIDDEN, PRIMARY_CR3_STORE_EXITING, "CR3-store exiting"},
    {WORD_PRIMARY, FORBIDDEN, PRIMARY_MOV_DR_EXITING, "MOV-DR exiting"},
    {WORD_SECONDARY, REQUIRED, SECONDARY_ENABLE_EPT, "enable EPT"},
    {WORD_SECONDARY, REQUIRED, SECONDARY_ENABLE_VPID, "enable VPID"},
    {WORD_SECONDARY, REQUIRED, SECONDARY_UNRESTRICTED_GUEST, "unrestricted guest"},
    {WORD_SECONDARY, OPTIONAL, SECONDARY_ENABLE_RDTSCP, "enable RDTSCP"},
    {WORD_SECONDARY, OPTIONAL, SECONDARY_ENABLE_INVPCID, "enable INVPCID"},
    {WORD_SECONDARY, OPTIONAL, SECONDARY_ENABLE_XSAVES, "enable XSAVES/XRSTORS"},
    {WORD_SECONDARY, OPTIONAL, SECONDARY_ENABLE_WAITPKG, "enable user wait and pause"},
    {WORD_EXIT, REQUIRED, EXIT_SAVE_DEBUG_CONTROLS, "VM-exit save debug controls"},
    {WORD_EXIT, REQUIRED, EXIT_HOST_64BIT, "host address-space size"},
    {WORD_EXIT, REQUIRED, EXIT_SAVE_PAT, "save IA32_PAT"},
    {WORD_EXIT, REQUIRED, EXIT_LOAD_PAT, "VM-exit load IA32_PAT"},
    {WORD_EXIT, REQUIRED, EXIT_SAVE_EFER, "save IA32_EFER"},
    {WORD_EXIT, REQUIRED, EXIT_LOAD_EFER, "VM-exit load IA32_EFER"},
    {WORD_ENTRY, REQUIRED, ENTRY_LOAD_DEBUG_CONTROLS, "VM-entry load debug controls"},
    {WORD_ENTRY, REQUIRED, ENTRY_IA32E_MODE_GUEST, "IA-32e mode guest"},
    {WORD_ENTRY, REQUIRED, ENTRY_LOAD_PAT, "VM-entry load IA32_PAT"},
    {WORD_ENTRY, REQUIRED, ENTRY_LOAD_EFER, "VM-entry load IA32_EFER"},
};

enum status vmx_controls_compute(const struct vmx_caps *caps, struct vmx_controls *controls,
                                 const char **missing)
{
    const uint64_t capability[WORD_COUNT] = {
        [WORD_PIN] = caps->pin,
        [WORD_PRIMARY] = caps->primary,
        [WORD_SECONDARY] = caps->secondary,
        [WORD_EXIT] = caps->exit,
        [WORD_ENTRY] = caps->entry,
    };
    uint32_t word[WORD_COUNT];

    for (unsigned i = 0; i < WORD_COUNT; i++)
        word[i] = (uint32_t)capability[i];
    for (unsigned i = 0; i < ARRAY_LENGTH(table); i++) {
        bool must_be_one = (capability[table[i].word] & table[i].bit) != 0;
        bool may_be_one = (capability[table[i].word] >> 32 & table[i].bit) != 0;
        enum need need = table[i].need;
        bool fails = need == FORBIDDEN ? must_be_one : need != OPTIONAL && !may_be_one;
        if (fails) {
            *missing = table[i].name;
            return STATUS_NO_SUPPORT;
        }
        if ((need == REQUIRED || need == OPTIONAL) && may_be_one)
            word[table[i].word] |= (uint32_t)table[i].bit;
    }
    *controls = (struct vmx_controls){
        .pin = word[WORD_PIN],
        .primary = word[WORD_PRIMARY],
        .secondary = word[WORD_SECONDARY],
        .exit = word[WORD_EXIT],
        .entry = word[WORD_ENTRY],
    };
    return STATUS_OK;
}

enum status vmx_caps_check(const struct vmx_caps *caps, unsigned physical_bits,
                           const char **missing)
{
    const struct {
        uint64_t bit;
        const char *name;
    } needed[] = {
        {physical_bits > 48 ? EPT_VPID_WALK_5 : EPT_VPID_WALK_4,
         physical_bits > 48 ? "EPT page-walk length 5 (MAXPHYADDR is above 48)"
                            : "EPT page-walk length 4"},
        {EPT_VPID_WB, "EPT paging structures of type WB"},
        {EPT_VPID_2M, "EPT 2-MByte pages"},
        {EPT_VPID_INVEPT, "INVEPT"},
        {EPT_VPID_INVEPT_ALL, "all-context INVEPT"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(needed); i++) {
        if ((caps->ept_vpid & needed[i].bit) == 0) {
            *missing = needed[i].name;
            return STATUS_NO_SUPPORT;
        }
    }
    if (bits_get(caps->basic, VMX_BASIC_MEMORY_TYPE) != MEMORY_WB) {
        *missing = "VMCS regions of memory type WB";
        return STATUS_NO_SUPPORT;
    }
    if ((caps->misc & VMX_MISC_WAIT_FOR_SIPI) == 0) {
        *missing = "activity state wait-for-SIPI (IA32_VMX_MISC bit 8)";
        return STATUS_NO_SUPPORT;
    }
    if ((caps->misc & VMX_MISC_EFER_LMA_STORED) == 0) {
        *missing = "VM exits store IA32_EFER.LMA (IA32_VMX_MISC bit 5)";
        return STATUS_NO_SUPPORT;
    }
    return STATUS_OK;
}
