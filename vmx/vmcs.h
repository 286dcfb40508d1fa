/*
 * The current VMCS: field names and checked access. SDM Vol. 3C, "Virtual Machine Control
 * Structures". A field that cannot be read or written is a bug of Keel's: it panics and
 * names the field, the value and the instruction error.
 */
#ifndef KEEL_VMX_VMCS_H
#define KEEL_VMX_VMCS_H

#include "lib/types.h"
#include "vmx/vmcs_fields.h"
#include "x86/ops.h"

enum vmcs_field {
#define VMCS_ENUM(name, encoding) VMCS_##name = (encoding),
    VMCS_FIELDS(VMCS_ENUM)
#undef VMCS_ENUM
};

/* "GUEST_RIP" for VMCS_GUEST_RIP; "?" for a number that is none. */
const char *vmcs_field_name(enum vmcs_field field);

/* The name of a VM-instruction error. SDM Vol. 3C, "VM Instruction Error Numbers". */
const char *vmcs_instruction_error_name(uint64_t error);

NORETURN void vmcs_read_failed(enum vmcs_field field);
NORETURN void vmcs_write_failed(enum vmcs_field field, uint64_t value);

static inline uint64_t vmcs_read(enum vmcs_field field)
{
    uint64_t value;
    if (__builtin_expect(!ops_vmread(field, &value), 0))
        vmcs_read_failed(field);
    return value;
}

static inline void vmcs_write(enum vmcs_field field, uint64_t value)
{
    if (__builtin_expect(!ops_vmwrite(field, value), 0))
        vmcs_write_failed(field, value);
}

#endif
