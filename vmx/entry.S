/*
 * The world switch: into the guest and back, all general registers saved and none of the
 * guest's left in a register when C goes on. SDM Vol. 3C, "VM Entries", "VM Exits".
 */
#include "vmx/entry_offsets.h"

    .text

/*
 * uint64_t vmx_enter(struct vcpu *vcpu)
 *
 * Enters the guest and returns after its next VM exit, or after an entry that failed at
 * once: then RAX holds VMX_ENTRY_FAILED, else 0. HOST_RSP is the end of vcpu->regs and
 * HOST_RIP is vmx_exit, so the pushes there fill vcpu->regs.
 */
    .globl vmx_enter
    .type vmx_enter, @function
vmx_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, VCPU_HOST_RSP(%rdi)
    cmpb $0, VCPU_LAUNCHED(%rdi)
    mov %rdi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    je 1f
    vmresume
    jmp 2f
1:  vmlaunch
2:  /* The entry failed before the guest ran: vcpu->regs still holds what was popped. */
    sub $VCPU_REGS_SIZE, %rsp
    mov $VMX_ENTRY_FAILED, %eax
    jmp back_in_root

    .globl vmx_exit
    .type vmx_exit, @function
vmx_exit:
    push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    movb $1, VCPU_LAUNCHED(%rsp)
    xor %eax, %eax

back_in_root:
    mov VCPU_HOST_RSP(%rsp), %rsp
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
