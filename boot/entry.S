/*
 * GRUB's entry: 32-bit protected mode, paging off, loaded anywhere below 4 GiB. Goes to
 * 64-bit mode with all of the first 4 GiB mapped as it is and the image mapped at KEEL_VA, then to
 * boot_main(). Multiboot2 Specification, "I386 machine state". Until the stack stands, ESI
 * holds the address where the image was loaded and EBX that of the boot information.
 */
#include "boot/multiboot2.h"

#define CR0_PG_WP  0x80010000
#define CR4_PAE    0x20
#define MSR_EFER   0xc0000080
#define EFER_LME_NXE 0x900

#define PTE_PRESENT_WRITE 0x3
#define PTE_LARGE         0x80

/* GRUB is asked for a place from the bottom up: Keel's home will be as high as it can be. */
#define LOAD_PA    0x200000             /* as in linker.ld, which checks it */
#define LOAD_MIN   LOAD_PA
#define LOAD_MAX   0xffffffff
#define LOAD_ALIGN 0x200000
#define PREFER_LOW 1

#define BOOT_STACK_SIZE 16384

#define OFFSET(symbol) (symbol - LOAD_PA)

    .section .multiboot2, "a"
    .balign 8
header:
    .long MULTIBOOT2_HEADER_MAGIC
    .long 0                             /* i386 */
    .long header_end - header
    .long -(MULTIBOOT2_HEADER_MAGIC + (header_end - header))
    /* information request: command line, modules, memory map */
    .balign 8
    .short 1, 0
    .long 20
    .long 1, 3, 6
    /* modules on page boundaries */
    .balign 8
    .short 6, 0
    .long 8
    /* relocatable */
    .balign 8
    .short 10, 0
    .long 24
    .long LOAD_MIN, LOAD_MAX, LOAD_ALIGN, PREFER_LOW
    .balign 8
    .short 0, 0
    .long 8
header_end:

    .section .boot.text, "ax"
    .code32
    .globl boot_entry, boot_load_pa
    .set boot_load_pa, LOAD_PA
boot_entry:
    cli
    cld
    cmp $MULTIBOOT2_BOOTLOADER_MAGIC, %eax
    jne no_multiboot2

    /* Where are we? The reserved word of the boot information lends a stack of one entry. */
    lea 8(%ebx), %esp
    call 1f
1:  pop %esi
    sub $OFFSET(1b), %esi
    lea OFFSET(boot_stack_end)(%esi), %esp

    /* 64-bit mode and execute-disable are a must */
    mov $0x80000000, %eax
    push %ebx
    cpuid
    pop %ebx
    cmp $0x80000001, %eax
    jb no_long_mode
    push %ebx
    mov $0x80000001, %eax
    cpuid
    pop %ebx
    and $((1 << 29) | (1 << 20)), %edx
    cmp $((1 << 29) | (1 << 20)), %edx
    jne no_long_mode

    /* The four page directories of the first 4 GiB, one after the other */
    lea OFFSET(identity_pd)(%esi), %edi
    mov $(PTE_PRESENT_WRITE | PTE_LARGE), %eax
    mov $2048, %ecx
2:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $8, %edi
    add $0x200000, %eax
    loop 2b

    lea OFFSET(identity_pdpt)(%esi), %edi
    lea (OFFSET(identity_pd) + PTE_PRESENT_WRITE)(%esi), %eax
    mov $4, %ecx
3:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $8, %edi
    add $0x1000, %eax
    loop 3b

    /* The image at KEEL_VA: the last but one entry of the last table of the second level */
    lea (PTE_PRESENT_WRITE | PTE_LARGE)(%esi), %eax
    mov %eax, OFFSET(image_pd)(%esi)
    lea (OFFSET(image_pd) + PTE_PRESENT_WRITE)(%esi), %eax
    mov %eax, (OFFSET(image_pdpt) + 510 * 8)(%esi)
    lea (OFFSET(identity_pdpt) + PTE_PRESENT_WRITE)(%esi), %eax
    mov %eax, OFFSET(boot_pml4)(%esi)
    lea (OFFSET(image_pdpt) + PTE_PRESENT_WRITE)(%esi), %eax
    mov %eax, (OFFSET(boot_pml4) + 511 * 8)(%esi)

    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    lea OFFSET(boot_pml4)(%esi), %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME_NXE, %eax
    wrmsr
    mov %cr0, %eax
    or $CR0_PG_WP, %eax
    mov %eax, %cr0

    lea OFFSET(boot_gdt)(%esi), %eax
    push $0
    push %eax
    sub $2, %esp
    movw $(boot_gdt_end - boot_gdt - 1), (%esp)
    lgdt (%esp)
    lea OFFSET(entry64)(%esi), %eax
    push $0x10
    push %eax
    lret

/* No serial port is set up yet, but GRUB's own console may have set COM1's speed. */
no_multiboot2:
    mov $LOAD_PA, %esi                  /* nothing says where we are: as linked, perhaps */
    mov $OFFSET(text_no_multiboot2), %edi
    jmp print
no_long_mode:
    mov $OFFSET(text_no_long_mode), %edi
print:
    add %esi, %edi
    mov $0x3f8, %edx
4:  mov (%edi), %al
    test %al, %al
    jz 5f
    out %al, %dx
    add $5, %edx
    mov $1000000, %ecx
6:  in %dx, %al
    test $0x20, %al
    loopz 6b
    sub $5, %edx
    inc %edi
    jmp 4b
5:  cli
    hlt
    jmp 5b

text_no_multiboot2:
    .asciz "keel: error: not started by a Multiboot2 loader: use GRUB's multiboot2 command\r\n"
text_no_long_mode:
    .asciz "keel: error: the processor has no 64-bit mode or no execute-disable bit\r\n"

    .balign 8
boot_gdt:
    .quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdt_end:

    .code64
entry64:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov %ebx, %edi                      /* boot_main(boot information, load address) */
    mov %esi, %esi
    movabs $start_high, %rax
    jmp *%rax

    .text
start_high:
    lea stack_end(%rip), %rsp
    xor %ebp, %ebp
    call boot_main
    ud2

    .section .boot.bss, "aw", @nobits
    .balign 4096
boot_pml4:     .skip 4096
identity_pdpt: .skip 4096
image_pdpt:    .skip 4096
image_pd:      .skip 4096
identity_pd:   .skip 4 * 4096
boot_stack:    .skip 256
boot_stack_end:

    .bss
    .balign 16
    .skip BOOT_STACK_SIZE
stack_end:

    .section .note.GNU-stack, "", @progbits
