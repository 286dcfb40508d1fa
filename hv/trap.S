/*
 * One stub for each exception: an error code (0 where the processor pushes none) and the
 * vector, then all registers, then trap_handle(). Interrupts stay off in root mode.
 */
    .text
    .macro stub vector, has_error=0
    .balign 16
    .if !\has_error
    push $0
    .endif
    push $\vector
    jmp common
    .endm

    .balign 16
    .globl trap_stubs
trap_stubs:
    stub 0
    stub 1
    stub 2
    stub 3
    stub 4
    stub 5
    stub 6
    stub 7
    stub 8, 1
    stub 9
    stub 10, 1
    stub 11, 1
    stub 12, 1
    stub 13, 1
    stub 14, 1
    stub 15
    stub 16
    stub 17, 1
    stub 18
    stub 19
    stub 20
    stub 21, 1
    stub 22
    stub 23
    stub 24
    stub 25
    stub 26
    stub 27
    stub 28
    stub 29, 1
    stub 30, 1
    stub 31
    stub 32                             /* every interrupt: see trap.c */

common:
    cld
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
    mov %rsp, %rdi
    mov %rsp, %rbx
    and $-16, %rsp
    call trap_handle
    mov %rbx, %rsp
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
    add $16, %rsp
    iretq

    .section .note.GNU-stack, "", @progbits
