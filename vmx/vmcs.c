/* See vmcs.h. */
#include "vmx/vmcs.h"

#include "lib/panic.h"

const char *vmcs_field_name(enum vmcs_field field)
{
    switch (field) {
#define VMCS_NAME(name, encoding) \
    case VMCS_##name:             \
        return #name;
        VMCS_FIELDS(VMCS_NAME)
#undef VMCS_NAME
    }
    return "?";
}

const char *vmcs_instruction_error_name(uint64_t error)
{
    static const char *const name[] = {
        [1] = "VMCALL in VMX root operation",
        [2] = "VMCLEAR with an invalid physical address",
        [3] = "VMCLEAR with the VMXON pointer",
        [4] = "VMLAUNCH with a VMCS that is not clear",
        [5] = "VMRESUME with a VMCS that is not launched",
        [6] = "VMRESUME after VMXOFF",
        [7] = "VM entry with invalid control fields",
        [8] = "VM entry with invalid host-state fields",
        [9] = "VMPTRLD with an invalid physical address",
        [10] = "VMPTRLD with the VMXON pointer",
        [11] = "VMPTRLD with an incorrect VMCS revision identifier",
        [12] = "VMREAD or VMWRITE of an unsupported VMCS component",
        [13] = "VMWRITE to a read-only VMCS component",
        [15] = "VMXON in VMX root operation",
        [26] = "VM entry with events blocked by MOV SS",
        [28] = "invalid operand to INVEPT or INVVPID",
    };
    if (error < ARRAY_LENGTH(name) && name[error] != NULL)
        return name[error];
    return "unknown error";
}

static uint64_t instruction_error(void)
{
    uint64_t error = 0; /* stays 0 where there is no current VMCS (VMfailInvalid) */
    (void)ops_vmread(VMCS_VM_INSTRUCTION_ERROR, &error);
    return error;
}

void vmcs_read_failed(enum vmcs_field field)
{
    uint64_t error = instruction_error();
    panic("VMREAD of %s (0x%x): error %lu, %s", vmcs_field_name(field), field, error,
          vmcs_instruction_error_name(error));
}

void vmcs_write_failed(enum vmcs_field field, uint64_t value)
{
    uint64_t error = instruction_error();
    panic("VMWRITE of 0x%lx to %s (0x%x): error %lu, %s", value, vmcs_field_name(field), field,
          error, vmcs_instruction_error_name(error));
}
