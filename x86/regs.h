/* Control, debug and flag registers. SDM Vol. 3A, "Control Registers"; Vol. 1, "EFLAGS Register".
 */
#ifndef KEEL_X86_REGS_H
#define KEEL_X86_REGS_H

#include "lib/bits.h"

#define CR0_PE BIT(0)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_VME        BIT(0)
#define CR4_PVI        BIT(1)
#define CR4_TSD        BIT(2)
#define CR4_DE         BIT(3)
#define CR4_PSE        BIT(4)
#define CR4_PAE        BIT(5)
#define CR4_MCE        BIT(6)
#define CR4_PGE        BIT(7)
#define CR4_PCE        BIT(8)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP       BIT(11)
#define CR4_LA57       BIT(12)
#define CR4_VMXE       BIT(13)
#define CR4_SMXE       BIT(14)
#define CR4_FSGSBASE   BIT(16)
#define CR4_PCIDE      BIT(17)
#define CR4_OSXSAVE    BIT(18)
#define CR4_KL         BIT(19)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define CR4_PKE        BIT(22)
#define CR4_CET        BIT(23)
#define CR4_PKS        BIT(24)
#define CR4_UINTR      BIT(25)
#define CR4_LASS       BIT(27)
#define CR4_LAM_SUP    BIT(28)

#define RFLAGS_CF    BIT(0)
#define RFLAGS_FIXED BIT(1) /* always 1 */
#define RFLAGS_TF    BIT(8)
#define RFLAGS_IF    BIT(9)
#define RFLAGS_RF    BIT(16)

#define DR6_INIT  UINT64_C(0xffff0ff0)
#define DR6_B0_B3 MASK(3, 0)
#define DR6_BLD   BIT(11) /* cleared to say so, unlike the others */
#define DR6_BD    BIT(13)
#define DR6_BS    BIT(14)
#define DR6_RTM   BIT(16) /* cleared to say so */
#define DR7_INIT  UINT64_C(0x400)
#define DR7_GD    BIT(13)

#define XCR0_X87     BIT(0)
#define XCR0_SSE     BIT(1)
#define XCR0_AVX     BIT(2)
#define XCR0_BNDREGS BIT(3)
#define XCR0_BNDCSR  BIT(4)
#define XCR0_AVX512  MASK(7, 5) /* opmask, ZMM_Hi256, Hi16_ZMM: all or none */
#define XCR0_TILE    MASK(18, 17)

enum vector {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_UD = 6,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_AC = 17,
    VECTOR_MC = 18,
    VECTOR_CP = 21,
    VECTOR_COUNT = 32 /* of exceptions */
};

/* Page-fault error code. SDM Vol. 3A, "Interrupt 14: Page-Fault Exception (#PF)". */
#define PF_WRITE BIT(1)
#define PF_USER  BIT(2)
#define PF_FETCH BIT(4)

/* Memory types, as in MTRRs, PAT and EPT. SDM Vol. 3A, "Methods of Caching Available". */
enum memory_type {
    MEMORY_UC = 0,
    MEMORY_WC = 1,
    MEMORY_WT = 4,
    MEMORY_WP = 5,
    MEMORY_WB = 6
};

/* What the processor's PAT holds after RESET; Keel's own. SDM Vol. 3A, "Programming the PAT". */
#define PAT_RESET UINT64_C(0x0007040600070406)

#endif
