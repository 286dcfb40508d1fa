/* What the guest's CPUID shows. SDM Vol. 2A, "CPUID—CPU Identification". */
#include "unit.h"

#include "fake.h"
#include "guest/handlers.h"
#include "vmx/vmcs.h"
#include "x86/cpuid.h"

#define ALL UINT32_MAX

static struct cpuid_table table;
static struct guest_cpu cpu;

/* A processor that has everything: each leaf's registers are all ones where it may be. */
static void start(uint32_t secondary)
{
    fake_reset();
    fake_set_cpuid(0, 0, 0x20, 0x756e6547, 0x6c65746e, 0x49656e69);
    fake_set_cpuid(1, 0, 0x906ea, 0x12100800, ALL, ALL);
    fake_set_cpuid(2, 0, 0x76036301, 0xf0b5ff, 0, 0xc30000);
    for (uint32_t i = 0; i < 4; i++)
        fake_set_cpuid(4, i, 0x1c004121 + i, 0x1c0003f + i, 0x3f, 0);
    fake_set_cpuid(6, 0, ALL, 2, 9, 0);
    fake_set_cpuid(7, 0, 2, ALL, ALL, ALL);
    fake_set_cpuid(7, 1, ALL, 0, 0, 0);
    fake_set_cpuid(0xb, 0, 1, 2, 0x100, 0x12);
    fake_set_cpuid(0xb, 1, 4, 16, 0x201, 0x12);
    fake_set_cpuid(0xb, 2, 0, 0, 2, 0x12);
    fake_set_cpuid(0xd, 0, 0x2e7, 576, 2696, 0);
    fake_set_cpuid(0xd, 1, 0xf, 832, 0xd900, 0);
    fake_set_cpuid(0xd, 2, 256, 576, 0, 0);
    fake_set_cpuid(0x12, 0, 1, 2, 3, 4);
    fake_set_cpuid(0x14, 0, 1, 2, 3, 4);
    fake_set_cpuid(0x15, 0, 2, 312, 24000000, 0);
    fake_set_cpuid(0x20, 0, 0, 0x55, 0, 0);
    fake_set_cpuid(0x80000000, 0, 0x80000008, 0, 0, 0);
    fake_set_cpuid(0x80000001, 0, 0, 0, ALL, ALL);
    fake_set_cpuid(0x80000008, 0, 0x3027, 0, 0, 0);
    fake_set_vmcs(VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa09b);
    cpuid_table_init(&table, secondary);
    memset(&cpu, 0, sizeof(cpu));
    cpu.cpuid = &table;
}

static struct cpuid_regs ask(uint32_t leaf, uint32_t subleaf)
{
    struct vcpu_regs *regs = &cpu.vcpu.regs;
    regs->rax = 0xffffffff00000000 | leaf; /* only the low halves count */
    regs->rcx = 0xffffffff00000000 | subleaf;
    regs->rbx = regs->rdx = UINT64_MAX;
    CHECK_EQ(handle_cpuid(&cpu).kind, ANSWER_ADVANCE);
    CHECK_EQ((regs->rax | regs->rbx | regs->rcx | regs->rdx) >> 32, 0);
    return (struct cpuid_regs){(uint32_t)regs->rax, (uint32_t)regs->rbx, (uint32_t)regs->rcx,
                               (uint32_t)regs->rdx};
}

static void expect(struct cpuid_regs regs, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    CHECK_EQ(regs.eax, eax);
    CHECK_EQ(regs.ebx, ebx);
    CHECK_EQ(regs.ecx, ecx);
    CHECK_EQ(regs.edx, edx);
}

TEST(keels_own_leaves)
{
    start(0);
    struct cpuid_regs regs = ask(0x40000000, 0);
    char name[13] = {0};
    memcpy(name, &regs.ebx, 4);
    memcpy(name + 4, &regs.ecx, 4);
    memcpy(name + 8, &regs.edx, 4);
    CHECK_STR(name, "KeelKeelKeel");
    CHECK_EQ(regs.eax, 0x40000002);
    CHECK(ask(0x40000001, 0).eax != 0);
}

TEST(what_is_not_edited_is_the_processors)
{
    start(0);
    expect(ask(0, 0), 0x20, 0x756e6547, 0x6c65746e, 0x49656e69);
    expect(ask(2, 5), 0x76036301, 0xf0b5ff, 0, 0xc30000); /* ECX does not select */
    for (uint32_t i = 0; i < 4; i++)
        expect(ask(4, i), 0x1c004121 + i, 0x1c0003f + i, 0x3f, 0);
    expect(ask(0x15, 0), 2, 312, 24000000, 0);
    expect(ask(0x80000000, 0), 0x80000008, 0, 0, 0);
    expect(ask(0x80000008, 0), 0x3027, 0, 0, 0);
    CHECK_EQ(ask(1, 0).ebx, 0x12100800);
}

static void expect_hidden(uint32_t leaf, uint32_t subleaf, unsigned reg, uint64_t bits)
{
    struct cpuid_regs regs = ask(leaf, subleaf);
    const uint32_t values[] = {regs.eax, regs.ebx, regs.ecx, regs.edx};
    NOTE("leaf 0x%x.%u register %u", leaf, subleaf, reg);
    CHECK_EQ(values[reg] & bits, 0);
}

TEST(features_that_are_hidden)
{
    start(ALL);
    expect_hidden(1, 0, 2, BIT(2) | BIT(4) | BIT(5) | BIT(6)); /* DTES64 DS-CPL VMX SMX */
    expect_hidden(1, 0, 3, BIT(21));                           /* DS */
    expect_hidden(6, 0, 0, BIT(19) | BIT(23));                 /* HFI, Thread Director */
    expect_hidden(7, 0, 1, BIT(2) | BIT(25));                  /* SGX, Intel PT */
    expect_hidden(7, 0, 2,
                  BIT(7) | BIT(23) | BIT(29) | BIT(30) | BIT(31)); /* CET_SS KL ENQCMD SGX_LC PKS */
    expect_hidden(7, 0, 3, BIT(5) | BIT(18) | BIT(19) | BIT(20));  /* UINTR PCONFIG LBR CET_IBT */
    expect_hidden(7, 1, 0, BIT(17) | BIT(18) | BIT(27));           /* FRED LKGS MSRLIST */
    expect(ask(0x12, 0), 0, 0, 0, 0);
    expect(ask(0x14, 0), 0, 0, 0, 0);
}

/* Each instruction that a control would turn into #UD is shown only with that control. */
TEST(features_that_follow_a_control)
{
    static const struct {
        uint32_t leaf, subleaf;
        unsigned reg;
        uint64_t bit;
        unsigned control;
    } rows[] = {{7, 0, 1, BIT(10), 12},
                {7, 0, 2, BIT(5), 26},
                {7, 0, 2, BIT(22), 3},
                {0xd, 1, 0, BIT(3), 20},
                {0x80000001, 0, 3, BIT(27), 3}};
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        for (unsigned on = 0; on < 2; on++) {
            start(on ? (uint32_t)BIT(rows[i].control) : ~(uint32_t)BIT(rows[i].control));
            struct cpuid_regs regs = ask(rows[i].leaf, rows[i].subleaf);
            const uint32_t values[] = {regs.eax, regs.ebx, regs.ecx, regs.edx};
            NOTE("row %u, %u", i, on);
            CHECK_EQ((values[rows[i].reg] & rows[i].bit) != 0, on);
        }
    }
}

/* OSXSAVE and OSPKE are the guest's CR4, not Keel's (VM exits load Keel's own). */
TEST(bits_that_follow_the_guests_cr4)
{
    for (unsigned on = 0; on < 2; on++) {
        start(0);
        fake.cr4 = on ? 0 : UINT64_MAX;
        fake_set_vmcs(VMCS_GUEST_CR4, on ? CR4_OSXSAVE | CR4_PKE : 0);
        CHECK_EQ(ask(1, 0).ecx >> 27 & 1, on);
        CHECK_EQ(ask(7, 0).ecx >> 4 & 1, on);
        fake_set_cpuid(1, 0, 0x906ea, 0x12100800, ALL, ALL & ~(uint32_t)BIT(9));
        CHECK_EQ(ask(1, 0).edx >> 9 & 1, 0); /* APIC: turned off in IA32_APIC_BASE */
    }
}

/* "SYSCALL/SYSRET available in 64-bit mode": reads as 0 outside it. */
TEST(syscall_outside_64_bit_mode)
{
    start(0);
    CHECK_EQ(ask(0x80000001, 0).edx >> 11 & 1, 1);
    fake_set_vmcs(VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc09b);
    CHECK_EQ(ask(0x80000001, 0).edx >> 11 & 1, 0);
}

/* The sizes of the XSAVE area follow the XCR0 and XSS of now. */
TEST(xsave_sizes)
{
    start(ALL);
    CHECK_EQ(ask(0xd, 0).ebx, 576);
    fake_set_cpuid(0xd, 0, 0x2e7, 832, 2696, 0);
    CHECK_EQ(ask(0xd, 0).ebx, 832);
    CHECK_EQ(ask(0xd, 0).ecx, 2696);
    CHECK_EQ(ask(0xd, 2).eax, 256);
    expect(ask(0xd, 60), 0, 0, 0, 0);
    expect(ask(0xd, 1000), 0, 0, 0, 0);
}

/* XSS components of hidden features: PT (8), CET_U and CET_S (11, 12), UINTR (14), LBR (15). */
TEST(hidden_state_components)
{
    start(ALL);
    CHECK_EQ(ask(0xd, 1).ecx, 0);
}

/* "For sub-leaves that return an invalid level-type of 0 in ECX[15:8]; ECX[7:0] = ECX, EDX" */
TEST(topology_past_the_last_level)
{
    start(0);
    expect(ask(0xb, 0), 1, 2, 0x100, 0x12);
    expect(ask(0xb, 1), 4, 16, 0x201, 0x12);
    expect(ask(0xb, 2), 0, 0, 2, 0x12);
    expect(ask(0xb, 7), 0, 0, 7, 0x12);
    expect(ask(0xb, 0x1ff), 0, 0, 0xff, 0x12);
}

/* "If a value entered for CPUID.EAX is higher than the maximum ... the highest basic leaf" */
TEST(leaves_that_do_not_exist)
{
    static const uint32_t leaves[] = {0x21,       0x100,      0x3fffffff, 0x40000003, 0x40000100,
                                      0x7fffffff, 0x80000009, 0xc0000000, UINT32_MAX};
    start(0);
    for (unsigned i = 0; i < ARRAY_LENGTH(leaves); i++) {
        NOTE("leaf 0x%x", leaves[i]);
        expect(ask(leaves[i], 0), 0, 0x55, 0, 0);
    }
}

/* A future processor's leaves, which nobody has thought of, are not shown. */
TEST(leaves_that_keel_does_not_know)
{
    start(0);
    fake_set_cpuid(0, 0, 0x50, 1, 2, 3);
    fake_set_cpuid(0x50, 0, 1, 2, 3, 4);
    fake_set_cpuid(0x80000000, 0, 0x80000020, 0, 0, 0);
    cpuid_table_init(&table, 0);
    CHECK_EQ(ask(0, 0).eax, CPUID_BASIC_MAX);
    CHECK_EQ(ask(0x80000000, 0).eax, 0x80000000u + CPUID_EXTENDED_MAX);
    expect(ask(0x50, 0), 0, 0, 0, 0);
}

/* Subleaves without end must not overrun the table. */
TEST(a_processor_with_too_many_subleaves)
{
    start(0);
    for (uint32_t leaf = 0; leaf <= 0x24; leaf++) {
        for (uint32_t i = 0; i < 70; i++)
            fake_set_cpuid(leaf, i, leaf == 0 ? 0x24 : ALL, ALL, ALL, ALL);
    }
    cpuid_table_init(&table, 0);
    for (uint32_t leaf = 0; leaf <= 0x30; leaf++) {
        for (uint32_t i = 0; i < 300; i++)
            (void)ask(leaf, i);
    }
    CHECK(table.entries <= CPUID_ENTRIES);
}

TEST(cr4_bits)
{
    uint64_t allowed = cpuid_cr4_allowed(UINT64_MAX);
    CHECK_EQ(allowed & (CR4_VMXE | CR4_SMXE | CR4_CET | CR4_PKS | CR4_UINTR | CR4_KL), 0);
    CHECK_EQ(allowed & MASK(63, 32), 0);
    CHECK_EQ(allowed & (MASK(10, 0) | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_FSGSBASE),
             MASK(10, 0) | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_FSGSBASE);
    CHECK_EQ(cpuid_cr4_allowed(CR4_PAE | CR4_VMXE), CR4_PAE);
}
