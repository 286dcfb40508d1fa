/* See percpu.h. SDM Vol. 3A, "System Architecture Overview". */
#include "hv/percpu.h"

#include "hv/trap.h"
#include "lib/string.h"
#include "mm/space.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/ops.h"

#define STACK_PAGES     2
#define IST_STACK_PAGES 1

struct percpu *cpu_table[CPU_MAX];
uint32_t cpu_count;

/* For exceptions before the CPU has stacks of its own: they end in a panic. */
static uint8_t early_stack[PAGE_SIZE] __attribute__((aligned(16)));

static void load_gdt(struct percpu *cpu)
{
    cpu->gdt[SELECTOR_CODE / 8] = GDT_CODE64;
    cpu->gdt[SELECTOR_DATA / 8] = GDT_DATA;
    desc_set_tss(&cpu->gdt[SELECTOR_TSS / 8], (uintptr_t)&cpu->tss);
    cpu->tss.io_map_base = sizeof(cpu->tss);

    const struct table_pointer pointer = {sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt};
    __asm__ volatile("lgdt %0\n"
                     "pushq %1\n"
                     "leaq 1f(%%rip), %%rax\n"
                     "pushq %%rax\n"
                     "lretq\n"
                     "1: mov %2, %%ds\n"
                     "mov %2, %%es\n"
                     "mov %2, %%ss\n"
                     "mov %3, %%fs\n"
                     "mov %3, %%gs\n"
                     "ltr %w4\n"
                     :
                     : "m"(pointer), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(0),
                       "r"(SELECTOR_TSS)
                     : "rax", "memory");
}

void cpu_init(struct percpu *cpu)
{
    cpu->self = cpu;
    for (unsigned i = 0; i < ARRAY_LENGTH(cpu->tss.ist); i++) {
        if (cpu->tss.ist[i] == 0)
            cpu->tss.ist[i] = (uintptr_t)early_stack + sizeof(early_stack);
    }
    load_gdt(cpu);
    ops_wrmsr(IA32_GS_BASE, (uintptr_t)cpu); /* handlers want it */
    trap_load_idt();

    /* XSETBV is executed for the guest; machine checks must be seen in root mode, too. */
    uint64_t cr4 = ops_read_cr4() | CR4_MCE;
    if ((ops_cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE) != 0)
        cr4 |= CR4_OSXSAVE;
    ops_write_cr4(cr4);
    ops_write_cr0(ops_read_cr0() | CR0_NE | CR0_WP);
}

enum status cpu_init_stacks(struct percpu *cpu)
{
    static const enum ist ists[] = {IST_NMI, IST_DOUBLE_FAULT, IST_MACHINE_CHECK};

    for (unsigned i = 0; i < ARRAY_LENGTH(ists); i++) {
        void *stack = space_new_stack(IST_STACK_PAGES);
        if (stack == NULL)
            return STATUS_NO_MEMORY;
        cpu->tss.ist[ists[i] - 1] = (uintptr_t)stack;
    }
    cpu->stack = space_new_stack(STACK_PAGES);
    return cpu->stack != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}
