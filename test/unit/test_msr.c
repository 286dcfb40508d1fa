/* The guest's MSRs. SDM Vol. 4, "Architectural MSRs"; Vol. 3C, "MSR-Bitmap Address". */
#include "unit.h"

#include "guest_fixture.h"

static struct msr_bitmap bitmap;

static bool exits(uint32_t msr, bool write)
{
    const uint8_t *bytes = (const uint8_t *)&bitmap;
    uint32_t area = (write ? 2048 : 0) + (msr >= 0xc0000000 ? 1024 : 0);
    return bytes[area + (msr & 0x1fff) / 8] >> (msr % 8) & 1;
}

static bool refused(uint32_t msr, uint64_t value)
{
    return !msr_write(&cpu, msr, value);
}

static uint64_t read_back(uint32_t msr)
{
    uint64_t value = 0;
    CHECK(msr_read(&cpu, msr, &value));
    return value;
}

/* What must never get through untouched, whatever else the table says. */
TEST(the_bitmap_guards_what_it_must)
{
    static const struct {
        uint32_t first, last;
        bool reads_too;
    } guarded[] = {
        {IA32_APIC_BASE, IA32_APIC_BASE, false}, /* could be moved onto Keel */
        {IA32_FEATURE_CONTROL, IA32_FEATURE_CONTROL, true},
        {IA32_BIOS_UPDT_TRIG, IA32_BIOS_UPDT_TRIG, false},
        {IA32_SMM_MONITOR_CTL, IA32_SMM_MONITOR_CTL, false},
        {IA32_MISC_ENABLE, IA32_MISC_ENABLE, false},
        {IA32_DEBUGCTL, IA32_DEBUGCTL, true},
        {0x200, 0x276, true}, /* MTRRs */
        {IA32_MTRR_DEF_TYPE, IA32_MTRR_DEF_TYPE, true},
        {IA32_PEBS_ENABLE, IA32_PEBS_ENABLE, false},
        {0x480, 0x493, true},  /* VMX capabilities */
        {0x560, 0x587, false}, /* Intel PT */
        {IA32_DS_AREA, IA32_DS_AREA, false},
        {0x6a0, 0x6a8, false}, /* CET: Keel would run with them */
        {IA32_TME_ACTIVATE, IA32_TME_ACTIVATE, false},
        {IA32_XSS, IA32_XSS, false},
        {IA32_HW_FEEDBACK_PTR, IA32_HW_FEEDBACK_CONFIG, false},
        {0x1200, 0x12ff, true}, /* that nobody has thought of */
    };
    msr_fill_bitmap(&bitmap);
    for (unsigned i = 0; i < ARRAY_LENGTH(guarded); i++) {
        for (uint32_t msr = guarded[i].first; msr <= guarded[i].last; msr++) {
            NOTE("MSR 0x%x", msr);
            if (msr == IA32_PAT)
                continue;
            CHECK(exits(msr, true));
            CHECK(!guarded[i].reads_too || exits(msr, false));
        }
    }
}

/* What Linux touches all the time must not exit: steady state costs nothing. */
TEST(the_bitmap_passes_what_is_frequent)
{
    static const uint32_t frequent[] = {
        0x10,     IA32_SPEC_CTRL,   IA32_PRED_CMD, 0x6e0,      0x830,      0x80b,
        0x838,    IA32_EFER,        0xc0000100,    0xc0000101, 0xc0000102, 0xc0000103,
        IA32_PAT, IA32_SYSENTER_CS, 0x1b0,         0x770};
    msr_fill_bitmap(&bitmap);
    for (unsigned i = 0; i < ARRAY_LENGTH(frequent); i++) {
        NOTE("MSR 0x%x", frequent[i]);
        CHECK(!exits(frequent[i], true));
    }
    CHECK(!exits(0x10, false) && !exits(0x6e0, false) && !exits(IA32_EFER, false));
}

TEST(an_absent_msr_is_gp)
{
    fixture_start();
    cpu.vcpu.regs.rcx = 0x1234;
    expect_fault(handle_rdmsr(&cpu), VECTOR_GP, 0);
    expect_fault(handle_wrmsr(&cpu), VECTOR_GP, 0);
    cpu.vcpu.regs.rcx = 0x4b564d00;
    expect_fault(handle_rdmsr(&cpu), VECTOR_GP, 0);
    cpu.vcpu.regs.rcx = UINT64_MAX;
    expect_fault(handle_rdmsr(&cpu), VECTOR_GP, 0);
}

/* A read of an MSR that nobody thought of is executed and said once; a write is denied. */
TEST(an_unknown_msr)
{
    fixture_start();
    fake_set_msr(0x1290, 0x1122334455667788);
    cpu.vcpu.regs = (struct vcpu_regs){
        .rcx = 0xffffffff00001290, .rax = UINT64_MAX, .rdx = UINT64_MAX};
    CHECK_EQ(handle_rdmsr(&cpu).kind, ANSWER_ADVANCE);
    CHECK_EQ(cpu.vcpu.regs.rax, 0x55667788);
    CHECK_EQ(cpu.vcpu.regs.rdx, 0x11223344);
    expect_fault(handle_wrmsr(&cpu), VECTOR_GP, 0);
    CHECK_EQ(fake_msr(0x1290), 0x1122334455667788);
    CHECK(strstr(unit_log(), "0x1290") != NULL);
    const char *first = strstr(unit_log(), "0x1290");
    (void)handle_rdmsr(&cpu);
    CHECK(strstr(first + 1, "0x1290") == NULL);
}

TEST(unknown_msrs_cannot_flood_the_log)
{
    fixture_start();
    for (uint32_t msr = 0x1300; msr < 0x1f00; msr++)
        (void)refused(msr, 0);
    unsigned lines = 0;
    for (const char *at = unit_log(); (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    CHECK(lines <= 40);
}

TEST(feature_control_reads_locked_and_off)
{
    fixture_start();
    uint64_t value;
    CHECK(!msr_read(&cpu, IA32_FEATURE_CONTROL, &value)); /* the processor has none */
    fake_set_msr(IA32_FEATURE_CONTROL, 0x40007);
    CHECK_EQ(read_back(IA32_FEATURE_CONTROL), 0x40001);
    CHECK(refused(IA32_FEATURE_CONTROL, 5)); /* locked: #GP */
}

TEST(the_apic_page_stays_where_it_is)
{
    fixture_start();
    fake_set_msr(IA32_APIC_BASE, 0xfee00900);
    CHECK(refused(IA32_APIC_BASE, 0x80000900)); /* Keel's memory */
    CHECK(refused(IA32_APIC_BASE, 0xfee01900));
    CHECK_EQ(fake_msr(IA32_APIC_BASE), 0xfee00900);
    CHECK(!refused(IA32_APIC_BASE, 0xfee00d00));
    CHECK_EQ(read_back(IA32_APIC_BASE), 0xfee00d00);
}

TEST(misc_enable)
{
    fixture_start();
    fake_set_msr(IA32_MISC_ENABLE, 0x850089);
    CHECK(refused(IA32_MISC_ENABLE, 0x850089 | BIT(34)));
    CHECK(refused(IA32_MISC_ENABLE, 0x850089 | BIT(22)));
    CHECK_EQ(fake_msr(IA32_MISC_ENABLE), 0x850089);
    CHECK(!refused(IA32_MISC_ENABLE, 0x850088));
    CHECK_EQ(fake_msr(IA32_MISC_ENABLE), 0x850088);
}

/* The operand of a microcode update is a guest's linear address: it never reaches the MSR. */
TEST(microcode)
{
    fixture_start();
    fake_set_msr(IA32_BIOS_UPDT_TRIG, 0);
    fake_set_msr(IA32_BIOS_SIGN_ID, UINT64_C(0xea) << 32);
    CHECK(!refused(IA32_BIOS_UPDT_TRIG, 0xffff888000001000));
    CHECK_EQ(fake_msr(IA32_BIOS_UPDT_TRIG), 0);
    CHECK(!refused(IA32_BIOS_SIGN_ID, 0));
    uint64_t value;
    CHECK(!msr_read(&cpu, IA32_BIOS_UPDT_TRIG, &value)); /* write-only */
}

TEST(debugctl_is_the_vmcs_field)
{
    fixture_start();
    fake_set_msr(IA32_DEBUGCTL, 0);
    msr_init_cpu(&cpu);
    CHECK_EQ(fake_msr(IA32_DEBUGCTL), 0); /* probing leaves no trace */
    CHECK(!refused(IA32_DEBUGCTL, 3));
    CHECK_EQ(fake_vmcs(VMCS_GUEST_IA32_DEBUGCTL), 3);
    CHECK_EQ(read_back(IA32_DEBUGCTL), 3);
    CHECK(refused(IA32_DEBUGCTL, BIT(6))); /* TR: trace messages */
    CHECK(refused(IA32_DEBUGCTL, BIT(7))); /* BTS: into the DS area */
    CHECK(refused(IA32_DEBUGCTL, BIT(63)));
    CHECK_EQ(fake_vmcs(VMCS_GUEST_IA32_DEBUGCTL), 3);
    CHECK_EQ(fake_msr(IA32_DEBUGCTL), 0);
}

TEST(xss_takes_only_what_is_shown)
{
    fixture_start();
    fake_set_msr(IA32_XSS, 0);
    CHECK(refused(IA32_XSS, BIT(8))); /* Intel PT state: hidden */
    CHECK(!refused(IA32_XSS, 0));
}

TEST(denied_ones)
{
    static const uint32_t denied[] = {IA32_SMM_MONITOR_CTL,
                                      IA32_PEBS_ENABLE,
                                      IA32_DS_AREA,
                                      0x480,
                                      0x48b,
                                      0x491,
                                      0x560,
                                      0x570,
                                      0x587,
                                      0x6a0,
                                      0x6a8,
                                      0x17d0,
                                      0x17d1};
    fixture_start();
    for (unsigned i = 0; i < ARRAY_LENGTH(denied); i++) {
        uint64_t value;
        NOTE("MSR 0x%x", denied[i]);
        fake_set_msr(denied[i], 0);
        CHECK(refused(denied[i], 1));
        CHECK(!msr_read(&cpu, denied[i], &value));
        CHECK_EQ(fake_msr(denied[i]), 0);
    }
}

/* SDM Vol. 3A, "MTRRs": the guest's are virtual; the EPT follows what is enabled. */
TEST(mtrrs_are_virtual)
{
    fixture_start();
    uint64_t real = fake_msr(IA32_MTRR_PHYSBASE0);
    CHECK_EQ(read_back(IA32_MTRR_PHYSBASE0), real);
    CHECK(refused(IA32_MTRR_PHYSBASE0, 0x1000 | 2));  /* type 2 is reserved */
    CHECK(refused(IA32_MTRR_PHYSBASE0, BIT(39) | 6)); /* beyond MAXPHYADDR */
    CHECK(refused(IA32_MTRRCAP, 0));

    CHECK(!refused(IA32_MTRR_DEF_TYPE, 0)); /* off, change, on again, as Linux does */
    CHECK_EQ(pt_lookup(&guest.ept.pt, 0xe0000000).entry >> 3 & 7, MEMORY_UC);
    CHECK(!refused(0x212, 0xe0000000 | MEMORY_WC));
    CHECK(!refused(0x213, (MASK(38, 12) & ~MASK(27, 12)) | MTRR_PHYSMASK_V));
    CHECK_EQ(fake.invepts, 0);
    CHECK(!refused(IA32_MTRR_DEF_TYPE, MTRR_DEF_TYPE_E | MTRR_DEF_TYPE_FE));
    CHECK_EQ(pt_lookup(&guest.ept.pt, 0xe0000000).entry >> 3 & 7, MEMORY_WC);
    CHECK(fake.invepts > 0);
    CHECK_EQ(read_back(0x212), 0xe0000000 | MEMORY_WC);
    CHECK_EQ(fake_msr(IA32_MTRR_PHYSBASE0), real); /* the processor's own stay */
    CHECK_EQ(pt_lookup(&guest.ept.pt, 0x80000000).present, false);
}

TEST(mtrrs_that_need_too_many_tables)
{
    fixture_start();
    CHECK(!refused(IA32_MTRR_DEF_TYPE, 0));
    CHECK(!refused(0x212, 0x1000 | MEMORY_UC)); /* every second page */
    CHECK(!refused(0x213, 0x1000 | MTRR_PHYSMASK_V));
    CHECK(!refused(IA32_MTRR_DEF_TYPE, MTRR_DEF_TYPE_E | MEMORY_WB));
    CHECK_EQ(pt_lookup(&guest.ept.pt, 0x80000000).present, false);
    CHECK(pt_lookup(&guest.ept.pt, 0x70000000).present);
    CHECK_EQ(pt_lookup(&guest.ept.pt, 0x70001000).entry >> 3 & 7, MEMORY_UC);
}

TEST(names)
{
    CHECK_STR(msr_name(IA32_DEBUGCTL), "IA32_DEBUGCTL");
    CHECK_STR(msr_name(0x4b564d00), "?");
    CHECK(strstr(msr_name(IA32_EFER), "IA32_EFER") != NULL);
}

/* No MSR number, read or written with any value, panics or changes what is Keel's. */
TEST(every_number)
{
    fixture_start();
    for (uint32_t i = 0; i < 0x4000; i++) {
        uint32_t msr = i < 0x2000 ? i : 0xc0000000 + (i - 0x2000);
        uint64_t value;
        (void)msr_read(&cpu, msr, &value);
        (void)msr_write(&cpu, msr, unit_random());
        (void)msr_write(&cpu, msr, 0);
    }
    for (uint64_t page = 0x80000000; page < 0x80400000; page += PAGE_SIZE)
        CHECK(!pt_lookup(&guest.ept.pt, page).present);
}
