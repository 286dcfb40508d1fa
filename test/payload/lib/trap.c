/* The IDT, and what becomes of a trap that no payload handles itself. */
#include "test/payload/lib/payload.h"

extern const uint8_t trap_stubs[];
extern uint64_t gdt[];

trap_fn trap_handlers[256];

static struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, zero;
} idt[256];

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static uint8_t double_fault_stacks[CPU_MAX][4096] __attribute__((aligned(16)));

void trap_handle(struct trap_frame *frame);

/* The boot CPU's registers, and its part of the tables. */
void trap_load(void)
{
    uint32_t index = cpuid(1, 0).ebx >> 24;
    struct cpu *cpu = &cpus[index];

    for (unsigned i = 0; i < 256; i++) {
        uintptr_t stub = (uintptr_t)trap_stubs + 16 * i;
        idt[i] = (struct gate){.offset_low = (uint16_t)stub,
                               .selector = SELECTOR_CODE64,
                               .ist = i == VECTOR_DF ? 1 : 0,
                               .type = 0x8e,
                               .offset_middle = (uint16_t)(stub >> 16),
                               .offset_high = (uint32_t)(stub >> 32)};
    }
    cpu->self = cpu;
    cpu->index = index;
    cpu->recover = 0;
    uint64_t stack = (uintptr_t)double_fault_stacks[index] + sizeof(double_fault_stacks[index]);
    cpu->tss[9] = (uint32_t)stack;
    cpu->tss[10] = (uint32_t)(stack >> 32);
    uint64_t base = (uintptr_t)cpu->tss;
    gdt[SELECTOR_TSS / 8 + 2 * index] = (sizeof(cpu->tss) - 1) | (base & 0xffffff) << 16 |
                                        (uint64_t)0x89 << 40 | (base >> 24 & 0xff) << 56;
    gdt[SELECTOR_TSS / 8 + 2 * index + 1] = base >> 32;
    const struct table_pointer gdtr = {GDT_SIZE - 1, (uintptr_t)gdt};
    const struct table_pointer idtr = {sizeof(idt) - 1, (uintptr_t)idt};
    __asm__ volatile("lgdt %0\n lidt %1\n ltr %w2"
                     :
                     : "m"(gdtr), "m"(idtr), "r"(SELECTOR_TSS + 16 * index)
                     : "memory");
    wrmsr(MSR_GS_BASE, (uintptr_t)cpu);
}

void trap_handle(struct trap_frame *frame)
{
    struct cpu *cpu = this_cpu();
    unsigned vector = (unsigned)frame->vector;

    cpu->traps[vector]++;
    cpu->all_traps++;
    cpu->trap = (struct trap_record){vector,        frame->error, frame->rip,
                                     frame->rflags, read_cr2(),   read_db6()};
    if (trap_handlers[vector] != NULL) {
        trap_handlers[vector](frame);
    } else if (vector >= 32) {
        apic_write(APIC_EOI, 0);
    } else if (cpu->recover != 0) {
        frame->rip = cpu->recover;
        frame->rflags &= ~(uint64_t)RFLAGS_TF;
        cpu->recover = 0;
    } else {
        print("FAIL unexpected exception %u, error 0x%lx, on CPU %u at 0x%lx, CR2 0x%lx\n", vector,
              frame->error, cpu->index, frame->rip, read_cr2());
        finish();
    }
}
