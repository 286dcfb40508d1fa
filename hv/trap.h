/* Exceptions in root mode. SDM Vol. 3A, "Interrupt and Exception Handling". */
#ifndef KEEL_HV_TRAP_H
#define KEEL_HV_TRAP_H

#include "lib/types.h"

/* As trap.S leaves it on the stack. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rdx, rcx, rbx, rax;
    uint64_t vector;
    uint64_t error;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Fills the one IDT that all CPUs share, the first time, and loads it. */
void trap_load_idt(void);

/* Where the IDT is. */
uintptr_t trap_idt_base(void);

/* From trap.S. Comes back where execution can go on. */
void trap_handle(struct trap_frame *frame);

#endif
