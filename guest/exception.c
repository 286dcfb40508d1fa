/*
 * Exceptions that Keel intercepts, and NMIs. #DB and #AC are intercepted because their
 * delivery can fault for ever, which would keep NMIs out; they are given back as the
 * processor would have delivered them. SDM Vol. 3C, "VM Exits That Occur During Event
 * Delivery", "Exit Qualification for Debug Exceptions".
 */
#include "guest/handlers.h"
#include "lib/log.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"
#include "x86/msr.h"

/* What delivery of #DB does to the debug registers. SDM Vol. 3B, "Debug Status Register (DR6)". */
static void deliver_debug_state(void)
{
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
    uint64_t set = qualification & (DR6_B0_B3 | DR6_BD | DR6_BS);
    uint64_t clear = qualification & (DR6_BLD | DR6_RTM);

    ops_write_dr6(((ops_read_dr6() & ~DR6_B0_B3) | DR6_RTM | set) & ~clear);
    vmcs_write(VMCS_GUEST_DR7, vmcs_read(VMCS_GUEST_DR7) & ~DR7_GD);
    vmcs_write(VMCS_GUEST_IA32_DEBUGCTL,
               vmcs_read(VMCS_GUEST_IA32_DEBUGCTL) & ~(DEBUGCTL_LBR | DEBUGCTL_BTF));
}

struct answer handle_exception(struct guest_cpu *cpu UNUSED)
{
    static struct log_limit limit = {4};
    uint64_t info = vmcs_read(VMCS_EXIT_INTERRUPTION_INFO);
    enum vector vector = (enum vector)bits_get(info, EVENT_VECTOR);

    if (bits_get(info, EVENT_TYPE) == EVENT_NMI)
        return answer(ANSWER_NMI);
    switch (vector) {
    case VECTOR_DB:
        /* INT1 raises it as a trap of its own, and tells DR6 nothing. SDM Vol. 2A, "INT n". */
        if (bits_get(info, EVENT_TYPE) == EVENT_PRIVILEGED_SOFTWARE_EXCEPTION)
            event_skip_instruction();
        else
            deliver_debug_state();
        return answer_inject(vector);
    case VECTOR_AC:
        return answer_inject_error(vector, (uint32_t)vmcs_read(VMCS_EXIT_INTERRUPTION_ERROR_CODE));
    case VECTOR_MC:
        if (log_limited(&limit))
            log_error("machine check while the guest ran: given to the guest");
        /* SDM Vol. 3B, "Machine-Check Exception": without CR4.MCE the processor shuts down. */
        if ((vmcs_read(VMCS_GUEST_CR4) & CR4_MCE) == 0)
            return answer(ANSWER_TRIPLE_FAULT);
        return answer_inject(vector);
    default:
        return answer(ANSWER_STOP);
    }
}
