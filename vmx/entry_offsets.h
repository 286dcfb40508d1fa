/* What entry.S shares with C: asserted in vcpu.h. */
#ifndef KEEL_VMX_ENTRY_OFFSETS_H
#define KEEL_VMX_ENTRY_OFFSETS_H

#define VCPU_REGS_SIZE   120
#define VCPU_HOST_RSP    120
#define VCPU_LAUNCHED    128
#define VMX_ENTRY_FAILED 1

#endif
