/*
 * The hardware seam: every instruction that a host test cannot execute, one wrapper each.
 * Host tests put test/fake before the root in the include path and get x86/ops.h from there.
 */
#ifndef KEEL_X86_OPS_H
#define KEEL_X86_OPS_H

#include "lib/types.h"

struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs ops_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

/* The MSR must exist: see ops_rdmsr_safe() for one that may not. */
static inline uint64_t ops_rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void ops_wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"(value >> 32) : "memory");
}

/*
 * An instruction that may fault: the fault handler finds its address in the fix-up table
 * and goes on behind it, with the carry flag set. False: it faulted, and changed nothing.
 */
#define OPS_FIXUP(instruction)     \
    "clc\n"                        \
    "1: " instruction "\n"         \
    "2:\n"                         \
    ".pushsection .fixup, \"a\"\n" \
    ".quad 1b, 2b\n"               \
    ".popsection\n"

static inline bool ops_rdmsr_safe(uint32_t msr, uint64_t *value)
{
    uint32_t low = 0, high = 0;
    bool faulted;
    __asm__ volatile(OPS_FIXUP("rdmsr") : "+a"(low), "+d"(high), "=@ccc"(faulted) : "c"(msr));
    *value = (uint64_t)high << 32 | low;
    return !faulted;
}

static inline bool ops_wrmsr_safe(uint32_t msr, uint64_t value)
{
    bool faulted;
    __asm__ volatile(OPS_FIXUP("wrmsr")
                     : "=@ccc"(faulted)
                     : "c"(msr), "a"((uint32_t)value), "d"(value >> 32)
                     : "memory");
    return !faulted;
}

static inline bool ops_xsetbv_safe(uint32_t xcr, uint64_t value)
{
    bool faulted;
    __asm__ volatile(OPS_FIXUP("xsetbv")
                     : "=@ccc"(faulted)
                     : "c"(xcr), "a"((uint32_t)value), "d"(value >> 32)
                     : "memory");
    return !faulted;
}

#define OPS_REGISTER(name)                                              \
    static inline uint64_t ops_read_##name(void)                        \
    {                                                                   \
        uint64_t value;                                                 \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(value));          \
        return value;                                                   \
    }                                                                   \
    static inline void ops_write_##name(uint64_t value)                 \
    {                                                                   \
        __asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory"); \
    }

OPS_REGISTER(cr0)
OPS_REGISTER(cr2)
OPS_REGISTER(cr3)
OPS_REGISTER(cr4)
OPS_REGISTER(dr0)
OPS_REGISTER(dr1)
OPS_REGISTER(dr2)
OPS_REGISTER(dr3)
OPS_REGISTER(dr6)
OPS_REGISTER(dr7)

static inline void ops_invlpg(uintptr_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline void ops_wbinvd(void)
{
    __asm__ volatile("wbinvd" : : : "memory");
}

static inline void ops_pause(void)
{
    __asm__ volatile("pause");
}

/* NMIs may come again: as after the IRET of a handler. */
static inline void ops_unblock_nmi(void)
{
    uint64_t scratch;
    __asm__ volatile("mov %%ss, %k0\n"
                     "push %0\n"
                     "lea 8(%%rsp), %0\n"
                     "push %0\n"
                     "pushfq\n"
                     "mov %%cs, %k0\n"
                     "push %0\n"
                     "lea 1f(%%rip), %0\n"
                     "push %0\n"
                     "iretq\n"
                     "1:\n"
                     : "=&r"(scratch)
                     :
                     : "memory", "cc");
}

/* Takes the interrupts that wait, as far as the IDT's handlers end them. */
static inline void ops_take_interrupts(void)
{
    __asm__ volatile("sti\n nop\n nop\n cli" : : : "memory");
}

/* The pointer that GS's first eight bytes hold: to what is this CPU's own. */
static inline void *ops_gs_pointer(void)
{
    void *pointer;
    __asm__ volatile("mov %%gs:0, %0" : "=r"(pointer));
    return pointer;
}

static inline uint64_t ops_rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline NORETURN void ops_halt_forever(void)
{
    for (;;)
        __asm__ volatile("cli\n hlt" : : : "memory");
}

#define OPS_PORT(suffix, type)                                                \
    static inline type ops_in##suffix(uint16_t port)                          \
    {                                                                         \
        type value;                                                           \
        __asm__ volatile("in %1, %0" : "=a"(value) : "Nd"(port));             \
        return value;                                                         \
    }                                                                         \
    static inline void ops_out##suffix(uint16_t port, type value)             \
    {                                                                         \
        __asm__ volatile("out %0, %1" : : "a"(value), "Nd"(port) : "memory"); \
    }

OPS_PORT(8, uint8_t)
OPS_PORT(16, uint16_t)
OPS_PORT(32, uint32_t)

/* A store that another CPU, or this one's page walker, sees whole or not at all. */
static inline void ops_store64(volatile uint64_t *to, uint64_t value)
{
    __asm__ volatile("movq %1, %0" : "=m"(*to) : "r"(value) : "memory");
}

/*
 * VMX instructions. SDM Vol. 3C, "Conventions": CF is VMfailInvalid, ZF VMfailValid.
 * Each is true when it succeeded.
 */
static inline bool ops_vmxon(hpa_t region)
{
    bool ok;
    __asm__ volatile("vmxon %1" : "=@cca"(ok) : "m"(region.value) : "memory");
    return ok;
}

static inline void ops_vmxoff(void)
{
    __asm__ volatile("vmxoff" : : : "cc", "memory");
}

static inline bool ops_vmclear(hpa_t vmcs)
{
    bool ok;
    __asm__ volatile("vmclear %1" : "=@cca"(ok) : "m"(vmcs.value) : "memory");
    return ok;
}

static inline bool ops_vmptrld(hpa_t vmcs)
{
    bool ok;
    __asm__ volatile("vmptrld %1" : "=@cca"(ok) : "m"(vmcs.value) : "memory");
    return ok;
}

static inline bool ops_vmread(uint64_t field, uint64_t *value)
{
    bool ok;
    __asm__ volatile("vmread %2, %1" : "=@cca"(ok), "=r"(*value) : "r"(field));
    return ok;
}

static inline bool ops_vmwrite(uint64_t field, uint64_t value)
{
    bool ok;
    __asm__ volatile("vmwrite %2, %1" : "=@cca"(ok) : "r"(field), "r"(value));
    return ok;
}

struct ops_invalidate_descriptor {
    uint64_t low;
    uint64_t high;
};

static inline bool ops_invept(uint64_t type, uint64_t eptp)
{
    struct ops_invalidate_descriptor descriptor = {eptp, 0};
    bool ok;
    __asm__ volatile("invept %1, %2" : "=@cca"(ok) : "m"(descriptor), "r"(type) : "memory");
    return ok;
}

#endif
