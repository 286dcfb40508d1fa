/*
 * The last of Keel where it does not run: copied to a page of the guest's memory that both
 * page tables map where it is, so it can change from one to the other.
 *
 * RDI: the page; RSI: boot parameters; RDX: CR3; RCX: entry; R8: where the table pointer
 * for LGDT is, in that page.
 */
#define CR0_PE_ET_PG 0x80000011
#define CR4_PAE      0x20
#define MSR_EFER     0xc0000080
#define MSR_GS_BASE  0xc0000101
#define EFER_LME     0x100

    .section .rodata
    .globl bare_start, bare_end
bare_start:
    lea 4096(%rdi), %rsp
    mov %rdx, %cr3
    mov $CR4_PAE, %eax
    mov %rax, %cr4
    mov $CR0_PE_ET_PG, %eax
    mov %rax, %cr0
    push %rcx
    mov $MSR_EFER, %ecx
    mov $EFER_LME, %eax
    xor %edx, %edx
    wrmsr
    mov $MSR_GS_BASE, %ecx
    xor %eax, %eax
    wrmsr
    lgdt (%r8)
    pushq $0x10
    lea 1f(%rip), %rax
    push %rax
    lretq
1:  mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    ret
bare_end:

    .section .note.GNU-stack, "", @progbits
