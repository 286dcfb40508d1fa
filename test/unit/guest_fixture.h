/* A guest with one CPU on the map and the MTRRs of a machine, for tests of handlers. */
#ifndef KEEL_TEST_UNIT_GUEST_FIXTURE_H
#define KEEL_TEST_UNIT_GUEST_FIXTURE_H

#include "fake.h"
#include "guest/handlers.h"
#include "guest/msr.h"
#include "machines.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"
#include "x86/cpuid.h"
#include "x86/msr.h"

#define FIXTURE_FRAMES 1024

static uint8_t fixture_memory[FIXTURE_FRAMES * PAGE_SIZE] __attribute__((aligned(4096)));
static struct frame_pool fixture_pool;
static struct memmap fixture_map;
static struct cpuid_table fixture_cpuid;
static struct guest guest;
static struct guest_cpu cpu;
static unsigned fixture_leavings;

/* The up-calls that the top defines. */
void guest_flush_ept(void)
{
    vmx_flush_ept();
}

void guest_leaving(struct guest_cpu *leaving)
{
    CHECK(leaving == &cpu);
    fixture_leavings++;
}

static void fixture_start(void)
{
    const struct machine *machine = &machines[1];
    const struct ept_features features = {4, 3, machine->physical_bits};

    fake_reset();
    memset(&guest, 0, sizeof(guest));
    memset(&cpu, 0, sizeof(cpu));
    fixture_leavings = 0;
    machine_map(machine, &fixture_map);
    machine_mtrrs(machine, &guest.mtrrs);
    guest.physical_bits = machine->physical_bits;
    frame_pool_init(&fixture_pool, HPA(0x80000000), fixture_memory, sizeof(fixture_memory));
    CHECK_EQ(ept_init(&guest.ept, &features, &fixture_map, &guest.mtrrs, &fixture_pool, 0x80000000,
                      4 * MIB),
             STATUS_OK);
    fake_set_cpuid(0, 0, 0xd, 0, 0, 0);
    fake_set_cpuid(1, 0, 0, 0, 0, CPUID_1_EDX_MTRR);
    fake_set_cpuid(0xd, 0, 0x2e7, 0, 0, 0);
    fake_set_cpuid(0xd, 1, 0xf, 0, 0x100, 0);
    fake_set_cpuid(0x80000000, 0, 0x80000008, 0, 0, 0);
    for (uint32_t msr = 0x200; msr <= 0x2ff; msr++) {
        if (mtrr_register(&guest.mtrrs, msr) != NULL)
            fake_set_msr(msr, *mtrr_register(&guest.mtrrs, msr));
    }
    fake_set_msr_read_only(IA32_MTRRCAP, guest.mtrrs.cap);
    cpuid_table_init(&fixture_cpuid, 0);
    cpu.guest = &guest;
    cpu.cpuid = &fixture_cpuid;
    msr_init_cpu(&cpu);
    fake_set_vmcs(VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_NE);
    fake_set_vmcs(VMCS_GUEST_CR4, CR4_PAE);
    fake_set_vmcs(VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa09b);
    fake_set_vmcs(VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc093);
    fake_set_vmcs(VMCS_GUEST_RFLAGS, 2);
    fake_set_vmcs(VMCS_GUEST_RIP, 0xffffffff81000000);
}

static inline void expect_fault(struct answer answer, enum vector vector, int error)
{
    CHECK_EQ(answer.kind, ANSWER_INJECT);
    CHECK_EQ(answer.vector, vector);
    CHECK_EQ(answer.has_error, error >= 0);
    if (error >= 0)
        CHECK_EQ(answer.error, error);
}

#endif
