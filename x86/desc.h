/*
 * Segment, gate and task-state layouts, and Keel's selectors.
 * SDM Vol. 3A, "Segment Descriptors", "64-Bit Mode IDT", "Task Management in 64-bit Mode".
 */
#ifndef KEEL_X86_DESC_H
#define KEEL_X86_DESC_H

#include "lib/types.h"

#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TSS  0x20

#define GDT_CODE32 UINT64_C(0x00cf9b000000ffff)
#define GDT_CODE64 UINT64_C(0x00af9b000000ffff)
#define GDT_DATA   UINT64_C(0x00cf93000000ffff)

/* null, spare, code, data and the two slots of a 64-bit TSS descriptor */
#define GDT_ENTRIES 6

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7]; /* IST1..IST7 */
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
} __attribute__((packed));

_Static_assert(sizeof(struct tss) == 104, "the 64-bit TSS has 104 bytes");

struct idt_gate {
    uint64_t low;
    uint64_t high;
};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

_Static_assert(sizeof(struct table_pointer) == 10, "the operand of LGDT and LIDT has 10 bytes");

/* The two halves of the descriptor of an available 64-bit TSS. */
static inline void desc_set_tss(uint64_t slots[2], uint64_t base)
{
    uint64_t limit = sizeof(struct tss) - 1;
    slots[0] = limit | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 | (base >> 24 & 0xff) << 56;
    slots[1] = base >> 32;
}

/* An interrupt gate (IF cleared) at privilege level 0; ist 0 keeps the stack. */
static inline struct idt_gate desc_gate(uint64_t handler, unsigned ist)
{
    return (struct idt_gate){
        .low = (handler & 0xffff) | (uint64_t)SELECTOR_CODE << 16 | (uint64_t)ist << 32 |
               UINT64_C(0x8e) << 40 | (handler >> 16 & 0xffff) << 48,
        .high = handler >> 32,
    };
}

#endif
