/* CPUID leaves and feature bits that Keel reads or edits. SDM Vol. 2A, "CPUID". */
#ifndef KEEL_X86_CPUID_H
#define KEEL_X86_CPUID_H

#include "lib/bits.h"

#define CPUID_1_ECX_DTES64  BIT(2)
#define CPUID_1_ECX_MONITOR BIT(3)
#define CPUID_1_ECX_DS_CPL  BIT(4)
#define CPUID_1_ECX_VMX     BIT(5)
#define CPUID_1_ECX_SMX     BIT(6)
#define CPUID_1_ECX_XSAVE   BIT(26)
#define CPUID_1_ECX_OSXSAVE BIT(27)
#define CPUID_1_EDX_MTRR    BIT(12)
#define CPUID_1_EDX_APIC    BIT(9)
#define CPUID_1_EDX_DS      BIT(21)

#define CPUID_EXT1_EDX_SYSCALL BIT(11)
#define CPUID_EXT1_EDX_RDTSCP  BIT(27)

#define CPUID_7_EBX_SGX             BIT(2)
#define CPUID_7_EBX_HLE             UINT32_C(0x10)
#define CPUID_7_EBX_RTM             UINT32_C(0x800)
#define CPUID_7_EBX_MPX             BIT(14)
#define CPUID_7_EBX_INVPCID         BIT(10)
#define CPUID_7_EBX_PT              BIT(25)
#define CPUID_7_ECX_OSPKE           BIT(4)
#define CPUID_7_ECX_WAITPKG         BIT(5)
#define CPUID_7_ECX_CET_SS          BIT(7)
#define CPUID_7_ECX_RDPID           BIT(22)
#define CPUID_7_ECX_KL              BIT(23)
#define CPUID_7_ECX_ENQCMD          BIT(29)
#define CPUID_7_ECX_SGX_LC          BIT(30)
#define CPUID_7_ECX_PKS             BIT(31)
#define CPUID_7_EDX_UINTR           BIT(5)
#define CPUID_7_EDX_PCONFIG         BIT(18)
#define CPUID_7_EDX_ARCH_LBR        BIT(19)
#define CPUID_7_EDX_CET_IBT         BIT(20)
#define CPUID_6_EAX_HFI             BIT(19)
#define CPUID_6_EAX_THREAD_DIRECTOR BIT(23)
#define CPUID_D1_EAX_XSAVES         BIT(3)

#endif
