/*
 * Where the other CPUs start: real mode, at a page below 1 MiB to which ap_start..ap_end has
 * been copied and completed by smp.c. SDM Vol. 3A, "Multiple-Processor (MP) Initialization".
 */
#include "hv/ap_offsets.h"

#define CR0_PE       0x1
#define CR0_PG_WP    0x80010000
#define CR0_CD_NW    0x60000000
#define CR4_PAE      0x20
#define MSR_EFER     0xc0000080
#define EFER_LME_NXE 0x900

#define SELECTOR_CODE32 0x08
#define SELECTOR_CODE64 0x10
#define SELECTOR_DATA   0x18

#define AT(symbol) (symbol - ap_start)

    .section .rodata
    .balign 16
    .globl ap_start, ap_end, ap_gdt, ap_gdt_base, ap_far32, ap_32, ap_far64, ap_64, ap_cr3, ap_to
    .code16
ap_start:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    xor %ebx, %ebx
    mov %ax, %bx
    shl $4, %ebx                        /* the page's address */
    lgdtl AT(ap_gdt_pointer)
    mov %cr0, %eax
    or $CR0_PE, %eax
    mov %eax, %cr0
    ljmpl *AT(ap_far32)

    .code32
ap_32:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    mov AT(ap_cr3)(%ebx), %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME_NXE, %eax
    wrmsr
    mov %cr0, %eax
    and $~CR0_CD_NW, %eax
    or $CR0_PG_WP, %eax
    mov %eax, %cr0
    ljmp *AT(ap_far64)(%ebx)

    .code64
ap_64:
    jmp *AT(ap_to)(%rbx)

    .balign 8
ap_gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff
ap_gdt_pointer:
    .short 4 * 8 - 1
ap_gdt_base:
    .long 0
ap_far32:
    .long 0
    .short SELECTOR_CODE32
ap_far64:
    .long 0
    .short SELECTOR_CODE64
    .balign 8
ap_cr3:
    .quad 0
ap_to:
    .quad 0
ap_end:

    .text
/* In Keel's space, without a stack: each CPU takes the next place in cpu_table. */
    .globl ap_enter
ap_enter:
    mov $1, %eax
    lock xadd %eax, ap_arrived(%rip)
    inc %eax                            /* the first place is the boot CPU's */
    cmp cpu_count(%rip), %eax
    jae 1f
    lea cpu_table(%rip), %rdx
    mov (%rdx, %rax, 8), %rdi
    mov PERCPU_STACK(%rdi), %rsp
    xor %ebp, %ebp
    call ap_main
1:  cli                                 /* one more than there are places: smp.c will say so */
    hlt
    jmp 1b

    .section .note.GNU-stack, "", @progbits
