/*
 * The way from GRUB, and from a SIPI, to C in 64-bit mode: all memory below 4 GiB mapped as
 * it is, and once more at HIGH_HALF. Multiboot Specification 0.6.96, "I386 machine state".
 */
#include "test/payload/lib/layout.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x3             /* modules on page boundaries, memory map */

#define CR0_PE      0x1
#define CR0_PG_WP   0x80010000
#define CR0_CD_NW   0x60000000
#define CR4_PAE     0x20
#define MSR_EFER    0xc0000080
#define EFER_LME_NXE 0x900
#define PTE_PRESENT_WRITE 0x3
#define PTE_LARGE   0x80

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

    .text
    .code32
    .globl start
start:
    cli
    cld
    mov %eax, %ebp
    mov %ebx, %esi
    mov $boot_stack_end, %esp

    /* Tables: one PML4, one PDPT, four page directories of 2 MiB pages. */
    mov $page_pdpt + PTE_PRESENT_WRITE, %eax
    mov %eax, page_pml4
    mov %eax, page_pml4 + 256 * 8
    xor %ecx, %ecx
1:  mov %ecx, %eax
    shl $12, %eax
    add $page_directories + PTE_PRESENT_WRITE, %eax
    mov %eax, page_pdpt(, %ecx, 8)
    inc %ecx
    cmp $4, %ecx
    jne 1b
    xor %ecx, %ecx
1:  mov %ecx, %eax
    shl $21, %eax
    or $PTE_PRESENT_WRITE | PTE_LARGE, %eax
    mov %eax, page_directories(, %ecx, 8)
    inc %ecx
    cmp $2048, %ecx
    jne 1b

    lgdt gdt_pointer
    ljmp $SELECTOR_CODE32, $1f
1:  call enter_long_mode
    ljmp $SELECTOR_CODE64, $start64

/* Paging on, in IA-32e mode; changes EAX, ECX, EDX. */
enter_long_mode:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $page_pml4, %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME_NXE, %eax
    wrmsr
    mov %cr0, %eax
    and $~CR0_CD_NW, %eax
    or $CR0_PG_WP, %eax
    mov %eax, %cr0
    ret

    .code64
start64:
    mov $boot_stack_end, %rsp
    mov %ebp, %edi
    mov %esi, %esi
    xor %ebp, %ebp
    call payload_main
1:  hlt
    jmp 1b

/*
 * What a SIPI starts, once copied to the page of its vector: writes the registers as they
 * are down in the same page, struct snapshot in snapshot.h, before anything changes them.
 */
    .code16
    .globl ap_start, ap_end
#define SAVE(offset) %cs:(SNAPSHOT_OFFSET + offset)
ap_start:
    mov %eax, SAVE(0x00)
    mov %ecx, SAVE(0x04)
    mov %edx, SAVE(0x08)
    mov %ebx, SAVE(0x0c)
    mov %esp, SAVE(0x10)
    mov %ebp, SAVE(0x14)
    mov %esi, SAVE(0x18)
    mov %edi, SAVE(0x1c)
    mov %es, SAVE(0x20)
    mov %cs, SAVE(0x22)
    mov %ss, SAVE(0x24)
    mov %ds, SAVE(0x26)
    mov %fs, SAVE(0x28)
    mov %gs, SAVE(0x2a)
    mov %cs, %ax
    mov %ax, %ss
    mov $AP_STACK_OFFSET, %esp
    pushfl
    popl SAVE(0x2c)
    mov %ax, %ds
    mov %cr0, %eax
    mov %eax, SAVE(0x30)
    mov %cr2, %eax
    mov %eax, SAVE(0x34)
    mov %cr3, %eax
    mov %eax, SAVE(0x38)
    mov %cr4, %eax
    mov %eax, SAVE(0x3c)
    mov %db0, %eax
    mov %eax, SAVE(0x40)
    mov %db1, %eax
    mov %eax, SAVE(0x44)
    mov %db2, %eax
    mov %eax, SAVE(0x48)
    mov %db3, %eax
    mov %eax, SAVE(0x4c)
    mov %db6, %eax
    mov %eax, SAVE(0x50)
    mov %db7, %eax
    mov %eax, SAVE(0x54)
    sgdtl SAVE(0x58)
    sidtl SAVE(0x60)
    mov $MSR_EFER, %ecx
    rdmsr
    mov %eax, SAVE(0x68)
    mov %edx, SAVE(0x6c)
    /* The bases of ES, FS and GS, and the limit of ES, by what is read through them. */
    mov %es:SNAPSHOT_PROBE, %eax
    mov %eax, SAVE(0x70)
    mov %fs:SNAPSHOT_PROBE, %eax
    mov %eax, SAVE(0x74)
    mov %gs:SNAPSHOT_PROBE, %eax
    mov %eax, SAVE(0x78)

    cli
    cld
    xor %esi, %esi
    mov %cs, %si
    shl $4, %esi
    lgdtl %cs:(ap_gdt_pointer - ap_start)
    mov %cr0, %eax
    or $CR0_PE, %eax
    mov %eax, %cr0
    ljmpl $SELECTOR_CODE32, $ap_protected
    .balign 4
ap_gdt_pointer:
    .short GDT_SIZE - 1
    .long gdt
ap_end:

    .code32
ap_protected:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov $1, %eax
    cpuid
    shr $24, %ebx                       /* the initial APIC id is the CPU's number */
    mov %ebx, %edi
    inc %ebx
    shl $STACK_SHIFT, %ebx
    lea ap_stacks(%ebx), %esp
    call enter_long_mode
    ljmp $SELECTOR_CODE64, $1f
    .code64
1:  mov %esp, %esp
    mov %edi, %edi
    mov %esi, %esi
    xor %ebp, %ebp
    call ap_main
    ud2

/* One stub for each vector, 16 bytes apart. */
    .balign 16
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    push $0
    .endif
    push $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    push %rax
    push %rcx
    push %rdx
    push %rbx
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
    cld
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
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    .globl trap_iret
trap_iret:
    iretq

    .data
    .balign 16
    .globl gdt, gdt_pointer
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff
    .quad 0x008f9b000000ffff            /* 16-bit code, for the way back to real mode */
    .quad 0
    .fill CPU_MAX * 2, 8, 0             /* a TSS for each CPU */
gdt_pointer:
    .short GDT_SIZE - 1
    .long gdt
    .long 0

    .bss
    .balign 4096
    .globl page_pml4, page_pdpt, page_directories
page_pml4:
    .skip 4096
page_pdpt:
    .skip 4096
page_directories:
    .skip 4 * 4096
boot_stack:
    .skip 16384
boot_stack_end:
ap_stacks:
    .skip CPU_MAX << STACK_SHIFT

    .section .note.GNU-stack, "", @progbits
