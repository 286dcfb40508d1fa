/* See vmx.h. */
#include "vmx/vmx.h"

#include "lib/panic.h"
#include "lib/string.h"
#include "vmx/vmcs.h"
#include "x86/cpuid.h"
#include "x86/desc.h"
#include "x86/msr.h"
#include "x86/ops.h"
#include "x86/regs.h"

#define INVEPT_ALL_CONTEXT 2
#define VPID_GUEST         1
#define NO_VMCS            (~UINT64_C(0))

/* Access rights as the VMCS has them. SDM Vol. 3C, "Guest Register State", Table "Format of Access
 * Rights". */
#define RIGHTS_CODE64   0xa09b
#define RIGHTS_CODE32   0xc09b
#define RIGHTS_DATA     0xc093
#define RIGHTS_DATA16   0x0093
#define RIGHTS_LDT      0x0082
#define RIGHTS_TSS_BUSY 0x008b
#define RIGHTS_UNUSABLE 0x10000

/* SDM Vol. 3C, "Guest Non-Register State": the activity state. */
#define ACTIVITY_ACTIVE        0
#define ACTIVITY_WAIT_FOR_SIPI 3

uint64_t vmx_enter(struct vcpu *vcpu);
extern const char vmx_exit[];

enum status vmx_check(const char **why)
{
    if ((ops_cpuid(1, 0).ecx & CPUID_1_ECX_VMX) == 0) {
        *why = "the processor has no VMX (CPUID.01H:ECX.VMX is 0; under another hypervisor, "
               "nested VMX must be turned on there)";
        return STATUS_NO_SUPPORT;
    }
    uint64_t control = ops_rdmsr(IA32_FEATURE_CONTROL);
    if ((control & FEATURE_CONTROL_LOCK) != 0 && (control & FEATURE_CONTROL_VMX) == 0) {
        *why = "the firmware has locked VMX off (IA32_FEATURE_CONTROL): turn on \"VT-x\" or "
               "\"virtualization\" in its set-up and switch the machine off once";
        return STATUS_NO_SUPPORT;
    }
    return STATUS_OK;
}

enum status vmx_on(const struct vmx_caps *caps, hpa_t region, void *region_memory, const char **why)
{
    enum status status = vmx_check(why);
    if (status != STATUS_OK)
        return status;
    uint64_t control = ops_rdmsr(IA32_FEATURE_CONTROL);
    if ((control & FEATURE_CONTROL_LOCK) == 0)
        ops_wrmsr(IA32_FEATURE_CONTROL, control | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK);

    /* SDM Vol. 3C, "Restrictions on VMX Operation" */
    ops_write_cr0((ops_read_cr0() | caps->cr0_fixed0) & caps->cr0_fixed1);
    ops_write_cr4((ops_read_cr4() | caps->cr4_fixed0 | CR4_VMXE) & caps->cr4_fixed1);
    *(uint32_t *)region_memory = (uint32_t)bits_get(caps->basic, VMX_BASIC_REVISION);
    if (!ops_vmxon(region)) {
        *why = "VMXON failed (VMX operation may be on already)";
        return STATUS_NO_SUPPORT;
    }
    return STATUS_OK;
}

void vmx_off(void)
{
    ops_vmxoff();
    ops_write_cr4(ops_read_cr4() & ~CR4_VMXE);
}

static void write_controls(struct vcpu *vcpu, const struct vmx_controls *controls,
                           const struct vmx_guest *guest)
{
    vcpu->primary_controls = controls->primary;
    vcpu->entry_controls = controls->entry;
    vmcs_write(VMCS_PIN_CONTROLS, controls->pin);
    vmcs_write(VMCS_PRIMARY_CONTROLS, controls->primary);
    vmcs_write(VMCS_SECONDARY_CONTROLS, controls->secondary);
    vmcs_write(VMCS_EXIT_CONTROLS, controls->exit);
    vmcs_write(VMCS_ENTRY_CONTROLS, controls->entry);

    vmcs_write(VMCS_VPID, VPID_GUEST);
    vmcs_write(VMCS_EPT_POINTER, guest->ept_pointer);
    vmcs_write(VMCS_MSR_BITMAP, guest->msr_bitmap.value);
    vmcs_write(VMCS_IO_BITMAP_A, guest->io_bitmap_a.value);
    vmcs_write(VMCS_IO_BITMAP_B, guest->io_bitmap_b.value);
    vmcs_write(VMCS_EXCEPTION_BITMAP, guest->exception_bitmap);
    vmcs_write(VMCS_PAGE_FAULT_ERROR_CODE_MASK, 0);
    vmcs_write(VMCS_PAGE_FAULT_ERROR_CODE_MATCH, 0);
    vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
    vmcs_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
    vmcs_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
    vmcs_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
    vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, 0);
    if ((controls->secondary & SECONDARY_ENABLE_XSAVES) != 0)
        vmcs_write(VMCS_XSS_EXITING_BITMAP, 0);
    vmcs_write(VMCS_CR0_GUEST_HOST_MASK, guest->cr0_owned);
    vmcs_write(VMCS_CR4_GUEST_HOST_MASK, guest->cr4_owned);
}

static void write_host_state(const struct vcpu *vcpu, const struct vmx_host *host)
{
    vmcs_write(VMCS_HOST_CR0, ops_read_cr0());
    vmcs_write(VMCS_HOST_CR3, ops_read_cr3());
    vmcs_write(VMCS_HOST_CR4, ops_read_cr4());
    vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
    vmcs_write(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
    vmcs_write(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
    vmcs_write(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
    vmcs_write(VMCS_HOST_FS_SELECTOR, 0);
    vmcs_write(VMCS_HOST_GS_SELECTOR, 0);
    vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
    vmcs_write(VMCS_HOST_FS_BASE, 0);
    vmcs_write(VMCS_HOST_GS_BASE, host->gs_base);
    vmcs_write(VMCS_HOST_TR_BASE, host->tss_base);
    vmcs_write(VMCS_HOST_GDTR_BASE, host->gdt_base);
    vmcs_write(VMCS_HOST_IDTR_BASE, host->idt_base);
    vmcs_write(VMCS_HOST_IA32_SYSENTER_CS, 0);
    vmcs_write(VMCS_HOST_IA32_SYSENTER_ESP, 0);
    vmcs_write(VMCS_HOST_IA32_SYSENTER_EIP, 0);
    vmcs_write(VMCS_HOST_IA32_PAT, PAT_RESET);
    vmcs_write(VMCS_HOST_IA32_EFER, ops_rdmsr(IA32_EFER));
    vmcs_write(VMCS_HOST_RSP, (uintptr_t)&vcpu->regs + sizeof(vcpu->regs));
    vmcs_write(VMCS_HOST_RIP, (uintptr_t)vmx_exit);
}

/* What it inherits from this CPU, once. */
static void write_inherited_state(void)
{
    vmcs_write(VMCS_VMCS_LINK_POINTER, NO_VMCS);
    uint64_t debugctl = 0;
    (void)ops_rdmsr_safe(IA32_DEBUGCTL, &debugctl); /* an emulator may lack it */
    vmcs_write(VMCS_GUEST_IA32_DEBUGCTL, debugctl);
    vmcs_write(VMCS_GUEST_IA32_PAT, ops_rdmsr(IA32_PAT));
    vmcs_write(VMCS_GUEST_IA32_SYSENTER_CS, ops_rdmsr(IA32_SYSENTER_CS));
    vmcs_write(VMCS_GUEST_IA32_SYSENTER_ESP, ops_rdmsr(IA32_SYSENTER_ESP));
    vmcs_write(VMCS_GUEST_IA32_SYSENTER_EIP, ops_rdmsr(IA32_SYSENTER_EIP));
}

void vmx_vmcs_init(struct vcpu *vcpu, const struct vmx_caps *caps,
                   const struct vmx_controls *controls, const struct vmx_host *host,
                   const struct vmx_guest *guest, hpa_t vmcs, void *memory)
{
    vcpu->vmcs = vmcs;
    vcpu->launched = 0;
    *(uint32_t *)memory = (uint32_t)bits_get(caps->basic, VMX_BASIC_REVISION);
    if (!ops_vmclear(vmcs) || !ops_vmptrld(vmcs))
        panic("VMCLEAR or VMPTRLD of the VMCS at 0x%lx failed", vmcs.value);
    write_controls(vcpu, controls, guest);
    write_host_state(vcpu, host);
    write_inherited_state();
}

/* What the guest begins with, whichever mode that is. */
static void write_fresh_state(void)
{
    vmcs_write(VMCS_GUEST_RSP, 0);
    vmcs_write(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
    vmcs_write(VMCS_GUEST_DR7, DR7_INIT);
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
    vmcs_write(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
}

static void set_segment(enum vmcs_field selector_field, uint16_t selector, uint64_t base,
                        uint32_t limit, uint32_t rights)
{
    /* The fields of each kind are two apart, in the order ES CS SS DS FS GS LDTR TR. */
    unsigned offset = selector_field - VMCS_GUEST_ES_SELECTOR;
    vmcs_write(selector_field, selector);
    vmcs_write((enum vmcs_field)(VMCS_GUEST_ES_BASE + offset), base);
    vmcs_write((enum vmcs_field)(VMCS_GUEST_ES_LIMIT + offset), limit);
    vmcs_write((enum vmcs_field)(VMCS_GUEST_ES_ACCESS_RIGHTS + offset), rights);
}

/* CR0 and CR4 as the guest sees them; what VMX operation wants beside that is hidden. */
static void set_control_registers(const struct vmx_caps *caps, uint64_t cr0, uint64_t cr4)
{
    vmcs_write(VMCS_CR0_READ_SHADOW, cr0);
    vmcs_write(VMCS_GUEST_CR0, cr0 | CR0_NE);
    vmcs_write(VMCS_CR4_READ_SHADOW, cr4);
    vmcs_write(VMCS_GUEST_CR4, cr4 | caps->cr4_fixed0);
}

/* Flat segments, and nothing pending: what the modes that a loader starts in share. */
static void set_flat(uint64_t rip, uint32_t code_rights)
{
    set_segment(VMCS_GUEST_CS_SELECTOR, SELECTOR_CODE, 0, UINT32_MAX, code_rights);
    set_segment(VMCS_GUEST_SS_SELECTOR, SELECTOR_DATA, 0, UINT32_MAX, RIGHTS_DATA);
    set_segment(VMCS_GUEST_DS_SELECTOR, SELECTOR_DATA, 0, UINT32_MAX, RIGHTS_DATA);
    set_segment(VMCS_GUEST_ES_SELECTOR, SELECTOR_DATA, 0, UINT32_MAX, RIGHTS_DATA);
    set_segment(VMCS_GUEST_FS_SELECTOR, SELECTOR_DATA, 0, UINT32_MAX, RIGHTS_DATA);
    set_segment(VMCS_GUEST_GS_SELECTOR, SELECTOR_DATA, 0, UINT32_MAX, RIGHTS_DATA);
    set_segment(VMCS_GUEST_LDTR_SELECTOR, 0, 0, 0, RIGHTS_UNUSABLE);
    set_segment(VMCS_GUEST_TR_SELECTOR, 0, 0, 0xffff, RIGHTS_TSS_BUSY);
    vmcs_write(VMCS_GUEST_IDTR_BASE, 0);
    vmcs_write(VMCS_GUEST_IDTR_LIMIT, 0);
    vmcs_write(VMCS_GUEST_RIP, rip);
    write_fresh_state();
    vmcs_write(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
}

void vmx_set_guest_64bit(struct vcpu *vcpu, const struct vmx_caps *caps, uint64_t rip, uint64_t cr3)
{
    set_control_registers(caps, CR0_PE | CR0_ET | CR0_PG, CR4_PAE);
    vmcs_write(VMCS_GUEST_CR3, cr3);
    vmcs_write(VMCS_ENTRY_CONTROLS, vcpu->entry_controls | ENTRY_IA32E_MODE_GUEST);
    vmcs_write(VMCS_GUEST_IA32_EFER, EFER_LME | EFER_LMA);
    set_flat(rip, RIGHTS_CODE64);
}

void vmx_set_guest_32bit(struct vcpu *vcpu, const struct vmx_caps *caps, uint64_t rip)
{
    set_control_registers(caps, CR0_PE | CR0_ET, 0);
    vmcs_write(VMCS_GUEST_CR3, 0);
    vmcs_write(VMCS_ENTRY_CONTROLS, vcpu->entry_controls & ~(uint64_t)ENTRY_IA32E_MODE_GUEST);
    vmcs_write(VMCS_GUEST_IA32_EFER, 0);
    set_flat(rip, RIGHTS_CODE32);
}

void vmx_set_guest_gdt(uint64_t base, uint16_t limit)
{
    vmcs_write(VMCS_GUEST_GDTR_BASE, base);
    vmcs_write(VMCS_GUEST_GDTR_LIMIT, limit);
}

/*
 * SDM Vol. 3A, Table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or
 * INIT". The FPU, XCR0, the MTRRs, PAT and all MSRs not named here are as before.
 */
void vmx_set_guest_init(struct vcpu *vcpu, const struct vmx_caps *caps)
{
    memset(&vcpu->regs, 0, sizeof(vcpu->regs));
    vcpu->regs.rdx = ops_cpuid(1, 0).eax;
    vcpu->nmi_pending = false;
    vcpu->machine_check_pending = false;
    ops_write_cr2(0);
    ops_write_dr0(0);
    ops_write_dr1(0);
    ops_write_dr2(0);
    ops_write_dr3(0);
    ops_write_dr6(DR6_INIT);

    vmcs_write(VMCS_PRIMARY_CONTROLS, vcpu->primary_controls);
    vmcs_write(VMCS_ENTRY_CONTROLS, vcpu->entry_controls & ~(uint64_t)ENTRY_IA32E_MODE_GUEST);
    vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, 0);
    uint64_t caching = ops_read_cr0() & (CR0_CD | CR0_NW);
    set_control_registers(caps, CR0_ET | caching, 0);
    vmcs_write(VMCS_GUEST_CR3, 0);
    vmcs_write(VMCS_GUEST_IA32_EFER, 0);

    set_segment(VMCS_GUEST_CS_SELECTOR, 0xf000, 0xffff0000, 0xffff, RIGHTS_DATA16);
    set_segment(VMCS_GUEST_SS_SELECTOR, 0, 0, 0xffff, RIGHTS_DATA16);
    set_segment(VMCS_GUEST_DS_SELECTOR, 0, 0, 0xffff, RIGHTS_DATA16);
    set_segment(VMCS_GUEST_ES_SELECTOR, 0, 0, 0xffff, RIGHTS_DATA16);
    set_segment(VMCS_GUEST_FS_SELECTOR, 0, 0, 0xffff, RIGHTS_DATA16);
    set_segment(VMCS_GUEST_GS_SELECTOR, 0, 0, 0xffff, RIGHTS_DATA16);
    set_segment(VMCS_GUEST_LDTR_SELECTOR, 0, 0, 0xffff, RIGHTS_LDT);
    set_segment(VMCS_GUEST_TR_SELECTOR, 0, 0, 0xffff, RIGHTS_TSS_BUSY);
    vmx_set_guest_gdt(0, 0xffff);
    vmcs_write(VMCS_GUEST_IDTR_BASE, 0);
    vmcs_write(VMCS_GUEST_IDTR_LIMIT, 0xffff);
    vmcs_write(VMCS_GUEST_RIP, 0xfff0);
    write_fresh_state();
    vmcs_write(VMCS_GUEST_IA32_DEBUGCTL, 0);
    vmcs_write(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_WAIT_FOR_SIPI);
}

void vmx_set_guest_startup(uint8_t vector)
{
    vmcs_write(VMCS_GUEST_CS_SELECTOR, (uint64_t)vector << 8);
    vmcs_write(VMCS_GUEST_CS_BASE, (uint64_t)vector << PAGE_SHIFT);
    vmcs_write(VMCS_GUEST_RIP, 0);
    vmcs_write(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
}

struct vmx_exit vmx_run(struct vcpu *vcpu)
{
    struct vmx_exit exit = {.entered = vmx_enter(vcpu) != VMX_ENTRY_FAILED};
    if (exit.entered) {
        uint64_t reason = vmcs_read(VMCS_EXIT_REASON);
        exit.reason = (uint16_t)reason;
        exit.bad_guest = (reason & BIT(31)) != 0;
    }
    return exit;
}

void vmx_flush_ept(void)
{
    if (!ops_invept(INVEPT_ALL_CONTEXT, 0))
        panic("INVEPT of all contexts failed");
}
