/* See trap.h. */
#include "hv/trap.h"

#include "drivers/apic.h"
#include "hv/kick.h"
#include "hv/panic.h"
#include "hv/percpu.h"
#include "lib/panic.h"
#include "vmx/event.h"

#define STUB_SIZE 16

/* The gates from here on are interrupts', and share a stub. */
#define VECTOR_INTERRUPT VECTOR_COUNT
#define IDT_ENTRIES      256

extern const uint8_t trap_stubs[];

/* Filled by OPS_FIXUP in x86/ops.h; bounded by linker.ld. */
struct fixup {
    uint64_t from;
    uint64_t to;
};
extern const struct fixup fixup_start[], fixup_end[];

static struct idt_gate idt[IDT_ENTRIES];

static unsigned ist_of(unsigned vector)
{
    switch (vector) {
    case VECTOR_NMI:
        return IST_NMI;
    case VECTOR_DF:
        return IST_DOUBLE_FAULT;
    case VECTOR_MC:
        return IST_MACHINE_CHECK;
    default:
        return 0;
    }
}

void trap_load_idt(void)
{
    for (unsigned i = 0; i < IDT_ENTRIES; i++) {
        unsigned stub = i < VECTOR_INTERRUPT ? i : VECTOR_INTERRUPT;
        idt[i] = desc_gate((uintptr_t)trap_stubs + stub * STUB_SIZE, ist_of(i));
    }
    const struct table_pointer pointer = {sizeof(idt) - 1, (uintptr_t)idt};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

uintptr_t trap_idt_base(void)
{
    return (uintptr_t)idt;
}

/* Did an instruction fault that was allowed to? Then it goes on behind it, with CF set. */
static bool fix_up(struct trap_frame *frame)
{
    for (const struct fixup *fixup = fixup_start; fixup < fixup_end; fixup++) {
        if (frame->rip == fixup->from) {
            frame->rip = fixup->to;
            frame->rflags |= RFLAGS_CF;
            return true;
        }
    }
    return false;
}

/* An NMI that comes in root mode is a kick, or else the guest's all the same. */
static void handle_nmi(void)
{
    struct percpu *cpu = this_cpu();
    if (kick_answer(cpu))
        return;
    if (cpu->guest_ready)
        event_nmi(&cpu->guest.vcpu);
    else
        cpu->early_nmi = true;
}

/*
 * The machine's memory and buses are the guest's to look after: it is told. It may have come
 * anywhere, in the middle of a log line, too: it is logged when it is injected.
 */
static bool handle_machine_check(void)
{
    struct percpu *cpu = this_cpu();
    if (!cpu->guest_ready)
        return false;
    event_machine_check(&cpu->guest.vcpu);
    return true;
}

void trap_handle(struct trap_frame *frame)
{
    if (frame->vector == VECTOR_NMI)
        handle_nmi();
    else if (frame->vector == VECTOR_MC && handle_machine_check())
        return;
    else if (frame->vector == VECTOR_INTERRUPT)
        apic_end_interrupt(); /* apic_reset() lets them in to be rid of them */
    else if ((frame->vector != VECTOR_GP && frame->vector != VECTOR_UD) || !fix_up(frame))
        panic_trap(frame);
}
