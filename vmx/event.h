/*
 * Events and the guest's progress: advancing over an emulated instruction, injecting,
 * giving back an event whose delivery an exit cut short, and NMIs that must not be lost.
 * Every handler's answer ends here, in one of these calls. SDM Vol. 3C, "Event Injection",
 * "Information for VM Exits That Occur During Event Delivery".
 */
#ifndef KEEL_VMX_EVENT_H
#define KEEL_VMX_EVENT_H

#include "vmx/vcpu.h"
#include "x86/regs.h"

/* VM-entry interruption information, and the other two fields of that form. */
#define EVENT_VECTOR        MASK(7, 0)
#define EVENT_TYPE          MASK(10, 8)
#define EVENT_HAS_ERROR     BIT(11)
#define EVENT_NMI_UNBLOCKED BIT(12) /* exits only: an IRET was about to unblock NMIs */
#define EVENT_VALID         BIT(31)

enum event_type {
    EVENT_EXTERNAL = 0,
    EVENT_NMI = 2,
    EVENT_HARDWARE_EXCEPTION = 3,
    EVENT_SOFTWARE_INTERRUPT = 4,
    EVENT_PRIVILEGED_SOFTWARE_EXCEPTION = 5,
    EVENT_SOFTWARE_EXCEPTION = 6
};

/* The guest's interruptibility state. */
#define BLOCKING_BY_STI    BIT(0)
#define BLOCKING_BY_MOV_SS BIT(1)
#define BLOCKING_BY_SMI    BIT(2)
#define BLOCKING_BY_NMI    BIT(3)

/* RIP goes behind the instruction that exited, and nothing else changes. */
void event_skip_instruction(void);

/* The instruction that runs next ignores instruction breakpoints: it has met its own. */
void event_set_resume_flag(void);

/* The instruction that exited has been emulated: RIP behind it, its shadows over. */
void event_advance(void);

/*
 * The guest tries again. An event that was being delivered is delivered anew. nmi_unblocked:
 * the exit's own word for it (EVENT_NMI_UNBLOCKED of its qualification or information).
 */
void event_retry(bool nmi_unblocked);

/*
 * Raises an exception in the guest in place of the instruction, or of the event's delivery,
 * that exited: with the double-fault rules in the latter case. False: that makes a
 * triple fault, which is the caller's to carry out.
 */
bool event_inject(enum vector vector, bool has_error, uint32_t error);

/* What comes of exception second while first is being delivered. SDM Vol. 3A, "Interrupt 8: Double
 * Fault Exception (#DF)". */
enum event_merge {
    MERGE_SECOND, /* deliver second; first's instruction will raise it again */
    MERGE_DOUBLE_FAULT,
    MERGE_TRIPLE_FAULT
};
enum event_merge event_merge(enum event_type first_type, unsigned first_vector, enum vector second);

/*
 * An NMI that belongs to the guest has come: it is injected as soon as the guest can take
 * one, or when its window opens. A second one before that merges with it, as in hardware.
 */
void event_nmi(struct vcpu *vcpu);

/* A machine check in root mode: the guest gets it by the same way. */
void event_machine_check(struct vcpu *vcpu);

/* The NMI window has opened (the exit of that name). */
void event_nmi_window(struct vcpu *vcpu);

#endif
