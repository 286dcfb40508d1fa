/* What ap_start of boot.S writes down. */
#ifndef PAYLOAD_SNAPSHOT_H
#define PAYLOAD_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "test/payload/lib/layout.h"

struct snapshot {
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint16_t es, cs, ss, ds, fs, gs;
    uint32_t eflags;
    uint32_t cr0, cr2, cr3, cr4;
    uint32_t dr0, dr1, dr2, dr3, dr6, dr7;
    uint16_t gdtr_limit;
    uint16_t gdtr_base[2];
    uint16_t unused;
    uint16_t idtr_limit;
    uint16_t idtr_base[2];
    uint16_t unused_too;
    uint32_t efer, efer_high;
    uint32_t es_probe, fs_probe, gs_probe;
};
_Static_assert(offsetof(struct snapshot, eflags) == 0x2c, "boot.S");
_Static_assert(offsetof(struct snapshot, gdtr_limit) == 0x58, "boot.S");
_Static_assert(offsetof(struct snapshot, idtr_limit) == 0x60, "boot.S");
_Static_assert(offsetof(struct snapshot, efer) == 0x68, "boot.S");
_Static_assert(offsetof(struct snapshot, gs_probe) == 0x78, "boot.S");

static inline struct snapshot *snapshot_of(uint8_t vector)
{
    return (struct snapshot *)(((uintptr_t)vector << 12) + SNAPSHOT_OFFSET);
}

#endif
