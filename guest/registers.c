/*
 * Control registers and XCR0. Keel owns CR0.NE, which VMX operation wants to be 1, and
 * the CR4 bits of VMX and of what it hides; all others are the guest's and never exit.
 * SDM Vol. 3C, "Guest/Host Masks and Read Shadows for CR0 and CR4".
 */
#include "guest/handlers.h"
#include "guest/xcr0.h"
#include "lib/log.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"

/* SDM Vol. 3C, Table "Exit Qualification for Control-Register Accesses" */
#define QUALIFICATION_NUMBER   MASK(3, 0)
#define QUALIFICATION_TYPE     MASK(5, 4)
#define QUALIFICATION_REGISTER MASK(11, 8)
#define TYPE_MOV_TO_CR         0
#define REGISTER_RSP           4

static uint64_t source_register(struct vcpu *vcpu, uint64_t qualification)
{
    unsigned encoding = (unsigned)bits_get(qualification, QUALIFICATION_REGISTER);
    return encoding == REGISTER_RSP ? vmcs_read(VMCS_GUEST_RSP) : *vcpu_register(vcpu, encoding);
}

struct answer handle_cr_access(struct guest_cpu *cpu)
{
    static struct log_limit limit = {4};
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

    if (bits_get(qualification, QUALIFICATION_TYPE) != TYPE_MOV_TO_CR)
        return answer(ANSWER_STOP);
    uint64_t value = source_register(&cpu->vcpu, qualification);

    switch (bits_get(qualification, QUALIFICATION_NUMBER)) {
    case 0:
        /*
         * Only NE differs from what the guest last had. With its shadow brought up to date
         * the same instruction no longer exits, and the processor itself does all else:
         * the faults, the PDPTEs, EFER.LMA, the TLB, CD and NW.
         */
        vmcs_write(VMCS_CR0_READ_SHADOW,
                   (vmcs_read(VMCS_CR0_READ_SHADOW) & ~CR0_NE) | (value & CR0_NE));
        event_set_resume_flag();
        return answer(ANSWER_RETRY);
    case 4:
        /* Every bit that Keel owns reads as 0 and stays so: to the guest it is reserved. */
        if (log_limited(&limit))
            log_info("the guest's MOV to CR4 of 0x%lx was refused: it may set 0x%lx only", value,
                     ~vmcs_read(VMCS_CR4_GUEST_HOST_MASK));
        return answer_inject_error(VECTOR_GP, 0);
    default:
        return answer(ANSWER_STOP);
    }
}

/* SDM Vol. 2C, "XSETBV"; Vol. 1, "XCR0". */
bool xcr0_is_valid(uint64_t value, uint64_t supported)
{
    uint64_t mpx = value & (XCR0_BNDREGS | XCR0_BNDCSR);
    uint64_t avx512 = value & XCR0_AVX512;
    uint64_t tile = value & XCR0_TILE;

    if ((value & XCR0_X87) == 0 || (value & ~supported) != 0)
        return false;
    if ((value & XCR0_AVX) != 0 && (value & XCR0_SSE) == 0)
        return false;
    if (mpx != 0 && mpx != (XCR0_BNDREGS | XCR0_BNDCSR))
        return false;
    if (avx512 != 0 && (avx512 != XCR0_AVX512 || (value & XCR0_AVX) == 0))
        return false;
    return tile == 0 || tile == XCR0_TILE;
}

struct answer handle_xsetbv(struct guest_cpu *cpu)
{
    const struct vcpu_regs *regs = &cpu->vcpu.regs;
    uint32_t xcr = (uint32_t)regs->rcx;
    uint64_t value = (uint32_t)regs->rax | regs->rdx << 32;

    if (xcr != 0 || !xcr0_is_valid(value, cpu->xcr0_valid) || !ops_xsetbv_safe(xcr, value))
        return answer_inject_error(VECTOR_GP, 0);
    return answer(ANSWER_ADVANCE);
}
