/*
 * The run loop: enter the guest, hand its exit to the handler, carry the answer out.
 */
#include "drivers/apic.h"
#include "hv/kick.h"
#include "hv/launch.h"
#include "hv/panic.h"
#include "lib/log.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"
#include "x86/ops.h"

#define RESET_CONTROL_PORT 0xcf9
#define RESET_CONTROL_FULL 0x06
#define KEYBOARD_PORT      0x64
#define KEYBOARD_RESET     0xfe

static NORETURN void triple_fault(void)
{
    const struct table_pointer nothing = {0, 0};
    __asm__ volatile("lidt %0\n int3" : : "m"(nothing));
    ops_halt_forever();
}

/* The counts of all CPUs, which go on while they are added up. */
static void log_exits(const struct guest_cpu *cpu)
{
    uint64_t total = 0;
    for (unsigned reason = 0; reason < EXIT_REASON_COUNT; reason++) {
        uint64_t count = 0;
        for (uint32_t i = 0; i < cpu_count; i++)
            count += cpu_table[i]->guest.vcpu.exits[reason];
        if (count != 0)
            log_debug("exits: %8lu %s", count, guest_exit_name(reason));
        total += count;
    }
    log_debug("exits: %8lu in all, %lu violations", total, cpu->guest->violations);
}

void guest_flush_ept(void)
{
    kick_all(vmx_flush_ept);
}

void guest_leaving(struct guest_cpu *cpu)
{
    static struct log_limit limit = {2}; /* a state that it comes back from may be tried for ever */
    if (log_limited(&limit)) {
        log_info("the guest switches the machine off, or puts it to sleep");
        log_exits(cpu);
    }
}

/*
 * As bare: the processor shuts down, and the platform does whatever it does then. It stays in
 * VMX operation: elsewhere an INIT of another CPU's could start it again, outside Keel.
 */
static NORETURN void guest_triple_fault(const struct guest_cpu *cpu)
{
    log_warning("the guest's triple fault, at RIP 0x%lx", vmcs_read(VMCS_GUEST_RIP));
    log_exits(cpu);
    triple_fault();
}

/* An INIT to the boot CPU starts it at the reset vector: the machine starts anew. */
static NORETURN void reset_platform(const struct guest_cpu *cpu)
{
    log_info("INIT to the boot CPU: reset");
    log_exits(cpu);
    ops_out8(RESET_CONTROL_PORT, RESET_CONTROL_FULL);
    ops_out8(KEYBOARD_PORT, KEYBOARD_RESET);
    triple_fault();
}

/*
 * An INIT: the boot CPU's is a reset of the machine; another CPU is reset itself, and waits
 * for SIPI.
 */
static void guest_init(struct guest_cpu *cpu)
{
    struct percpu *percpu = this_cpu();
    if (percpu->index == 0)
        reset_platform(cpu);
    apic_reset();
    vmx_set_guest_init(&cpu->vcpu, percpu->caps);
    kick_park(percpu);
}

/* The guest was waiting for it: this exit comes in no other state. */
static void guest_startup(void)
{
    kick_unpark(this_cpu());
    vmx_set_guest_startup((uint8_t)vmcs_read(VMCS_EXIT_QUALIFICATION));
}

static void carry_out(struct guest_cpu *cpu, uint32_t reason, struct answer answer)
{
    switch ((enum answer_kind)answer.kind) {
    case ANSWER_ADVANCE:
        event_advance();
        return;
    case ANSWER_RETRY:
        event_retry(answer.nmi_unblocked);
        return;
    case ANSWER_INJECT:
        if (!event_inject((enum vector)answer.vector, answer.has_error, answer.error))
            guest_triple_fault(cpu);
        return;
    case ANSWER_RESUME:
        return;
    case ANSWER_TRIPLE_FAULT:
        guest_triple_fault(cpu);
    case ANSWER_INIT:
        guest_init(cpu);
        return;
    case ANSWER_STARTUP:
        guest_startup();
        return;
    case ANSWER_NMI:
        /* Unblocks them, so that a kicked CPU that is here can answer the next kick, too. */
        if (!kick_answer(this_cpu()))
            event_nmi(&cpu->vcpu);
        ops_unblock_nmi();
        event_retry(false);
        return;
    case ANSWER_STOP:
        break;
    }
    panic_guest(cpu, reason, "Keel does not know this exit");
}

static NORETURN void run_loop(struct percpu *percpu)
{
    struct guest_cpu *cpu = &percpu->guest;

    percpu->guest_ready = true;
    if (percpu->early_nmi && percpu->index == 0)
        event_nmi(&cpu->vcpu);
    for (;;) {
        struct vmx_exit exit = vmx_run(&cpu->vcpu);
        if (!exit.entered)
            panic("VM entry failed: error %lu, %s", vmcs_read(VMCS_VM_INSTRUCTION_ERROR),
                  vmcs_instruction_error_name(vmcs_read(VMCS_VM_INSTRUCTION_ERROR)));
        if (exit.bad_guest)
            panic_guest(cpu, exit.reason, "the processor refused its state");
        if (exit.reason < EXIT_REASON_COUNT)
            cpu->vcpu.exits[exit.reason]++;
        carry_out(cpu, exit.reason, guest_handle_exit(cpu, exit.reason));
    }
}

void run_guest(struct percpu *cpu)
{
    __asm__ volatile("mov %0, %%rsp\n"
                     "xor %%ebp, %%ebp\n"
                     "call *%1\n"
                     "ud2"
                     :
                     : "r"(cpu->stack), "r"(run_loop), "D"(cpu)
                     : "memory");
    __builtin_unreachable();
}
