/* See panic.h. */
#include "hv/panic.h"

#include "hv/console.h"
#include "hv/kick.h"
#include "lib/format.h"
#include "lib/log.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"

#define TRACE_WORDS 128
#define TRACE_LINES 12

extern const char image_text[], image_rodata[];

static NORETURN void stop(void)
{
    log_error("stopped: switch the machine off, or reset it");
    ops_halt_forever();
}

/* Nothing else runs or prints from here on. */
static void stop_the_machine(void)
{
    kick_stop_others();
    log_panic();
    console_panic();
}

/* Every word of the stack that points into Keel's code: its callers, and some older ones. */
static void print_trace(const uint64_t *stack)
{
    unsigned lines = 0;
    for (unsigned i = 0; i < TRACE_WORDS && lines < TRACE_LINES; i++) {
        if (((uintptr_t)&stack[i] & (PAGE_SIZE - 1)) == 0 && i > 0)
            break; /* what lies above a stack's last page may not be mapped */
        if (stack[i] >= (uintptr_t)image_text && stack[i] < (uintptr_t)image_rodata) {
            log_error("  called from 0x%lx", stack[i]);
            lines++;
        }
    }
}

void panic(const char *fmt, ...)
{
    char text[LOG_LINE_SIZE];
    va_list args;
    va_start(args, fmt);
    format_v(text, sizeof(text), fmt, args);
    va_end(args);

    stop_the_machine();
    log_error("panic: %s", text);
    print_trace(__builtin_frame_address(0));
    stop();
}

void panic_trap(const struct trap_frame *f)
{
    stop_the_machine();
    log_error("panic: exception %lu in Keel, error 0x%lx, RIP 0x%lx, CR2 0x%lx", f->vector,
              f->error, f->rip, ops_read_cr2());
    log_error("  RAX %016lx RBX %016lx RCX %016lx RDX %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    log_error("  RSI %016lx RDI %016lx RBP %016lx RSP %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
    log_error("  R8  %016lx R9  %016lx R10 %016lx R11 %016lx", f->r8, f->r9, f->r10, f->r11);
    log_error("  R12 %016lx R13 %016lx R14 %016lx R15 %016lx", f->r12, f->r13, f->r14, f->r15);
    if (f->vector != VECTOR_DF && f->vector != VECTOR_PF)
        print_trace((const uint64_t *)f->rsp);
    stop();
}

static void print_fields(const enum vmcs_field *fields, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        log_error("  %-30s 0x%lx", vmcs_field_name(fields[i]), vmcs_read(fields[i]));
}

void panic_guest(const struct guest_cpu *cpu, uint32_t reason, const char *why)
{
    static const enum vmcs_field fields[] = {
        VMCS_EXIT_QUALIFICATION,
        VMCS_GUEST_PHYSICAL_ADDRESS,
        VMCS_GUEST_LINEAR_ADDRESS,
        VMCS_EXIT_INTERRUPTION_INFO,
        VMCS_IDT_VECTORING_INFO,
        VMCS_EXIT_INSTRUCTION_LENGTH,
        VMCS_EXIT_INSTRUCTION_INFO,
        VMCS_GUEST_RIP,
        VMCS_GUEST_RSP,
        VMCS_GUEST_RFLAGS,
        VMCS_GUEST_CR0,
        VMCS_CR0_READ_SHADOW,
        VMCS_GUEST_CR3,
        VMCS_GUEST_CR4,
        VMCS_GUEST_IA32_EFER,
        VMCS_GUEST_CS_SELECTOR,
        VMCS_GUEST_CS_ACCESS_RIGHTS,
        VMCS_GUEST_CS_BASE,
        VMCS_GUEST_SS_ACCESS_RIGHTS,
        VMCS_GUEST_TR_ACCESS_RIGHTS,
        VMCS_GUEST_INTERRUPTIBILITY,
        VMCS_GUEST_ACTIVITY_STATE,
        VMCS_PIN_CONTROLS,
        VMCS_PRIMARY_CONTROLS,
        VMCS_SECONDARY_CONTROLS,
        VMCS_EXIT_CONTROLS,
        VMCS_ENTRY_CONTROLS,
        VMCS_ENTRY_INTERRUPTION_INFO,
    };
    const struct vcpu_regs *r = &cpu->vcpu.regs;

    stop_the_machine();
    log_error("the guest is stopped: %s; exit reason %u (%s)", why, reason,
              guest_exit_name(reason));
    log_error("  RAX %016lx RBX %016lx RCX %016lx RDX %016lx", r->rax, r->rbx, r->rcx, r->rdx);
    log_error("  RSI %016lx RDI %016lx RBP %016lx R8  %016lx", r->rsi, r->rdi, r->rbp, r->r8);
    log_error("  R9  %016lx R10 %016lx R11 %016lx R12 %016lx", r->r9, r->r10, r->r11, r->r12);
    log_error("  R13 %016lx R14 %016lx R15 %016lx", r->r13, r->r14, r->r15);
    print_fields(fields, ARRAY_LENGTH(fields));
    stop();
}
