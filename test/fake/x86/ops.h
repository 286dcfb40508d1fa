/*
 * The hardware seam for host tests: the same functions as the real x86/ops.h, found first in
 * the include path, working on the struct of test/fake/fake.h. An access that would fault on
 * the machine without a fix-up is a panic here.
 */
#ifndef KEEL_X86_OPS_H
#define KEEL_X86_OPS_H

#include "lib/types.h"

struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

struct cpuid_regs ops_cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t ops_rdmsr(uint32_t msr);
void ops_wrmsr(uint32_t msr, uint64_t value);
bool ops_rdmsr_safe(uint32_t msr, uint64_t *value);
bool ops_wrmsr_safe(uint32_t msr, uint64_t value);
bool ops_xsetbv_safe(uint32_t xcr, uint64_t value);

uint64_t ops_read_cr0(void);
uint64_t ops_read_cr2(void);
uint64_t ops_read_cr3(void);
uint64_t ops_read_cr4(void);
uint64_t ops_read_dr0(void);
uint64_t ops_read_dr1(void);
uint64_t ops_read_dr2(void);
uint64_t ops_read_dr3(void);
uint64_t ops_read_dr6(void);
uint64_t ops_read_dr7(void);
void ops_write_cr0(uint64_t value);
void ops_write_cr2(uint64_t value);
void ops_write_cr3(uint64_t value);
void ops_write_cr4(uint64_t value);
void ops_write_dr0(uint64_t value);
void ops_write_dr1(uint64_t value);
void ops_write_dr2(uint64_t value);
void ops_write_dr3(uint64_t value);
void ops_write_dr6(uint64_t value);
void ops_write_dr7(uint64_t value);

void ops_invlpg(uintptr_t address);
void ops_wbinvd(void);
void ops_unblock_nmi(void);
void ops_take_interrupts(void);
void *ops_gs_pointer(void);
void ops_pause(void);
uint64_t ops_rdtsc(void);
NORETURN void ops_halt_forever(void);

uint8_t ops_in8(uint16_t port);
uint16_t ops_in16(uint16_t port);
uint32_t ops_in32(uint16_t port);
void ops_out8(uint16_t port, uint8_t value);
void ops_out16(uint16_t port, uint16_t value);
void ops_out32(uint16_t port, uint32_t value);

void ops_store64(volatile uint64_t *to, uint64_t value);

bool ops_vmxon(hpa_t region);
void ops_vmxoff(void);
bool ops_vmclear(hpa_t vmcs);
bool ops_vmptrld(hpa_t vmcs);
bool ops_vmread(uint64_t field, uint64_t *value);
bool ops_vmwrite(uint64_t field, uint64_t value);
bool ops_invept(uint64_t type, uint64_t eptp);

#endif
