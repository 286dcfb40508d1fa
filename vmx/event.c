/* See event.h. */
#include "vmx/event.h"

#include "vmx/controls.h"
#include "vmx/vmcs.h"
#include "x86/msr.h"

#define PENDING_DEBUG_BS BIT(14)
#define RIGHTS_LONG      BIT(13) /* CS.L */

/* The shadow that STI or MOV SS casts on the next instruction is over. */
static void end_shadow(void)
{
    uint64_t state = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
    if ((state & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) != 0)
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, state & ~(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS));
}

void event_skip_instruction(void)
{
    uint64_t rip = vmcs_read(VMCS_GUEST_RIP);
    uint64_t next = rip + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);

    /* Outside 64-bit mode EIP wraps at 4 GiB, and VM entry wants the upper half to be 0. */
    if ((rip ^ next) >> 32 != 0 && ((vmcs_read(VMCS_GUEST_CS_ACCESS_RIGHTS) & RIGHTS_LONG) == 0 ||
                                    (vmcs_read(VMCS_GUEST_IA32_EFER) & EFER_LMA) == 0))
        next = (uint32_t)next;
    vmcs_write(VMCS_GUEST_RIP, next);
}

void event_advance(void)
{
    uint64_t rflags = vmcs_read(VMCS_GUEST_RFLAGS);

    event_skip_instruction();
    end_shadow();
    if ((rflags & (RFLAGS_TF | RFLAGS_RF)) == 0)
        return;

    vmcs_write(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
    /* SDM Vol. 3C, "Pending Debug Exceptions": the trap of the single step that was skipped. */
    if ((rflags & RFLAGS_TF) != 0 && (vmcs_read(VMCS_GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF) == 0)
        vmcs_write(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
                   vmcs_read(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_DEBUG_BS);
}

void event_set_resume_flag(void)
{
    vmcs_write(VMCS_GUEST_RFLAGS, vmcs_read(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
}

static enum event_type type_of(uint64_t info)
{
    return (enum event_type)bits_get(info, EVENT_TYPE);
}

static void write_entry_event(uint64_t info, uint64_t error)
{
    vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, info);
    if ((info & EVENT_HAS_ERROR) != 0)
        vmcs_write(VMCS_ENTRY_EXCEPTION_ERROR_CODE, error);
}

static void set_nmi_blocking(bool blocked)
{
    uint64_t state = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & ~BLOCKING_BY_NMI;
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, state | (blocked ? BLOCKING_BY_NMI : 0));
}

void event_retry(bool nmi_unblocked)
{
    uint64_t info = vmcs_read(VMCS_IDT_VECTORING_INFO);
    if ((info & EVENT_VALID) == 0) {
        /* The faulting IRET runs again and unblocks NMIs again. */
        if (nmi_unblocked)
            set_nmi_blocking(true);
        return;
    }
    if (type_of(info) == EVENT_NMI) {
        set_nmi_blocking(false); /* its delivery blocks them again */
        end_shadow();
    }
    if (type_of(info) >= EVENT_SOFTWARE_INTERRUPT)
        vmcs_write(VMCS_ENTRY_INSTRUCTION_LENGTH, vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
    write_entry_event(info & (EVENT_VALID | EVENT_HAS_ERROR | EVENT_TYPE | EVENT_VECTOR),
                      vmcs_read(VMCS_IDT_VECTORING_ERROR_CODE));
}

/* Faults push RFLAGS with RF set; traps and aborts as it is. SDM Vol. 3B, "Instruction-Breakpoint
 * Exception Condition". */
static bool is_fault(enum vector vector)
{
    return vector != VECTOR_DB && vector != VECTOR_DF && vector != VECTOR_MC;
}

static bool is_contributory(unsigned vector)
{
    return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP) ||
           vector == VECTOR_CP;
}

enum event_merge event_merge(enum event_type first_type, unsigned first_vector, enum vector second)
{
    bool second_counts = is_contributory(second) || second == VECTOR_PF;

    if (first_type != EVENT_HARDWARE_EXCEPTION)
        return MERGE_SECOND; /* interrupts and INT n are benign */
    if (first_vector == VECTOR_DF)
        return second_counts ? MERGE_TRIPLE_FAULT : MERGE_SECOND;
    if (first_vector == VECTOR_PF)
        return second_counts ? MERGE_DOUBLE_FAULT : MERGE_SECOND;
    if (is_contributory(first_vector) && is_contributory(second))
        return MERGE_DOUBLE_FAULT;
    return MERGE_SECOND;
}

bool event_inject(enum vector vector, bool has_error, uint32_t error)
{
    uint64_t delivering = vmcs_read(VMCS_IDT_VECTORING_INFO);

    if ((delivering & EVENT_VALID) != 0) {
        switch (event_merge(type_of(delivering), (unsigned)bits_get(delivering, EVENT_VECTOR),
                            vector)) {
        case MERGE_SECOND:
            break;
        case MERGE_DOUBLE_FAULT:
            vector = VECTOR_DF;
            has_error = true;
            error = 0;
            break;
        case MERGE_TRIPLE_FAULT:
            return false;
        }
    }
    if ((delivering & EVENT_VALID) == 0 && is_fault(vector))
        event_set_resume_flag();
    /* Delivery ends the shadow of STI or MOV SS; with TF set, VM entry would not even take both. */
    end_shadow();
    /* SDM Vol. 3C, "VM-Entry Controls for Event Injection": no error codes in real mode. */
    has_error = has_error && (vmcs_read(VMCS_GUEST_CR0) & CR0_PE) != 0;
    write_entry_event(EVENT_VALID | (has_error ? EVENT_HAS_ERROR : 0) |
                          (uint64_t)EVENT_HARDWARE_EXCEPTION << 8 | vector,
                      error);
    return true;
}

static void set_nmi_window(const struct vcpu *vcpu, bool open)
{
    vmcs_write(VMCS_PRIMARY_CONTROLS, vcpu->primary_controls | (open ? PRIMARY_NMI_WINDOW : 0));
}

/* The window is asked for even where the NMI could go in at once: one way, one exit more. */
void event_nmi(struct vcpu *vcpu)
{
    vcpu->nmi_pending = true;
    set_nmi_window(vcpu, true);
}

void event_machine_check(struct vcpu *vcpu)
{
    vcpu->machine_check_pending = true;
    set_nmi_window(vcpu, true);
}

void event_nmi_window(struct vcpu *vcpu)
{
    /* Closed before the marks are read: what comes in between opens it again. */
    set_nmi_window(vcpu, false);
    if (vcpu->machine_check_pending) {
        vcpu->machine_check_pending = false;
        if (vcpu->nmi_pending)
            set_nmi_window(vcpu, true);
        write_entry_event(EVENT_VALID | (uint64_t)EVENT_HARDWARE_EXCEPTION << 8 | VECTOR_MC, 0);
    } else if (vcpu->nmi_pending) {
        vcpu->nmi_pending = false;
        end_shadow(); /* a processor may refuse an NMI in the shadow of STI */
        write_entry_event(EVENT_VALID | (uint64_t)EVENT_NMI << 8 | VECTOR_NMI, 0);
    }
}
