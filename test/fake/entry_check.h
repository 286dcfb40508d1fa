/*
 * What VM entry checks of the guest, on the fake VMCS: SDM Vol. 3C, "VM-Execution Control
 * Fields" (event injection and NMIs), "Checks on the Guest State Area". For guests as Keel's:
 * EPT, unrestricted guest, virtual NMIs, the registers loaded that Keel loads, never in SMM.
 */
#ifndef KEEL_TEST_FAKE_ENTRY_CHECK_H
#define KEEL_TEST_FAKE_ENTRY_CHECK_H

#include "lib/types.h"

#define FAKE_CR0_FIXED0    UINT64_C(0x80000021)
#define FAKE_CR0_FIXED1    UINT64_C(0xffffffff)
#define FAKE_CR4_FIXED0    UINT64_C(0x2000)
#define FAKE_CR4_FIXED1    UINT64_C(0x1f77fff)
#define FAKE_PHYSICAL_BITS 46
#define FAKE_LINEAR_BITS   48

/* NULL: a processor would enter. Else the condition that is not met. */
const char *fake_check_entry(void);

#endif
