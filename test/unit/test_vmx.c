/*
 * The VMCS and the states that a guest begins in. SDM Vol. 3A, Table "IA-32 and Intel 64
 * Processor States Following Power-up, Reset, or INIT"; Vol. 3C, "VM Entries".
 */
#include "unit.h"

#include "entry_check.h"
#include "fake.h"
#include "vmx/controls.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"
#include "x86/desc.h"
#include "x86/msr.h"

#define GARBAGE UINT64_C(0xdeadbeefdeadbeef)

static const struct vmx_caps caps = {
    .basic = BIT(55) | UINT64_C(6) << 50 | 0x12,
    .misc = BIT(5) | BIT(6) | BIT(8),
    .pin = 0xffffffff00000016,
    .primary = 0xffffffff04006172,
    .secondary = 0xffffffff00000000,
    .exit = 0xffffffff00036dfb,
    .entry = 0xffffffff000011fb,
    .cr0_fixed0 = FAKE_CR0_FIXED0,
    .cr0_fixed1 = FAKE_CR0_FIXED1,
    .cr4_fixed0 = FAKE_CR4_FIXED0,
    .cr4_fixed1 = FAKE_CR4_FIXED1,
    .ept_vpid = 0xf0106734141,
};

static const struct vmx_host host = {0xffffffff80100000, 0xffffffff80100100, 0xffffffff80100200,
                                     0xffffffff80100300};
static const struct vmx_guest guest = {
    .ept_pointer = 0x8000001e,
    .msr_bitmap = {0x80001000},
    .io_bitmap_a = {0x80002000},
    .io_bitmap_b = {0x80003000},
    .exception_bitmap = BIT(1) | BIT(17) | BIT(18),
    .cr0_owned = CR0_NE,
    .cr4_owned = CR4_VMXE | CR4_SMXE,
};

static struct vcpu vcpu;
static struct vmx_controls controls;
static uint8_t region[PAGE_SIZE] __attribute__((aligned(4096)));

/* MSRs that the guest inherits: each another value. */
static const struct {
    uint32_t msr;
    enum vmcs_field field;
    uint64_t value;
} inherited[] = {
    {IA32_PAT, VMCS_GUEST_IA32_PAT, 0x0407050600070106},
    {IA32_SYSENTER_CS, VMCS_GUEST_IA32_SYSENTER_CS, 0x10},
    {IA32_SYSENTER_ESP, VMCS_GUEST_IA32_SYSENTER_ESP, 0xfffffe0000003000},
    {IA32_SYSENTER_EIP, VMCS_GUEST_IA32_SYSENTER_EIP, 0xffffffff81800000},
    {IA32_DEBUGCTL, VMCS_GUEST_IA32_DEBUGCTL, 1},
};

/* A CPU in root mode as Keel sets it up, and a VMCS in which no field has been written. */
static void start(void)
{
    static const enum vmcs_field fields[] = {
#define ENCODING(name, encoding) VMCS_##name,
        VMCS_FIELDS(ENCODING)
#undef ENCODING
    };
    const char *missing;

    fake_reset();
    memset(&vcpu, 0, sizeof(vcpu));
    memset(region, 0, sizeof(region));
    for (unsigned i = 0; i < ARRAY_LENGTH(fields); i++)
        fake_set_vmcs(fields[i], GARBAGE);
    for (unsigned i = 0; i < ARRAY_LENGTH(inherited); i++)
        fake_set_msr(inherited[i].msr, inherited[i].value);
    fake_set_msr(IA32_EFER, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
    fake_set_cpuid(1, 0, 0x000506e3, 0x00100800, 0x7ffafbff, 0xbfebfbff);
    fake.cr0 = 0x80010033;
    fake.cr3 = 0x7fe00000;
    fake.cr4 = 0x42060;
    fake.dr7 = DR7_INIT;
    CHECK_EQ(vmx_controls_compute(&caps, &controls, &missing), STATUS_OK);
    vmx_vmcs_init(&vcpu, &caps, &controls, &host, &guest, HPA(0x80004000), region);
}

static void expect_entry(void)
{
    const char *failed = fake_check_entry();
    if (failed != NULL)
        NOTE("VM entry fails: %s", failed);
    CHECK(failed == NULL);
}

/* The fields that a processor reads at VM entry and exit, controls of Keel's given. */
static bool is_used(enum vmcs_field field)
{
    switch (field) {
    case VMCS_TSC_OFFSET: /* their controls are off */
    case VMCS_TERTIARY_CONTROLS:
    case VMCS_LOW_PASID_DIRECTORY:
    case VMCS_HIGH_PASID_DIRECTORY:
    case VMCS_SECONDARY_EXIT_CONTROLS:
    case VMCS_GUEST_IA32_PKRS:
    case VMCS_HOST_IA32_PKRS:
    case VMCS_GUEST_IA32_S_CET:
    case VMCS_GUEST_SSP:
    case VMCS_GUEST_IA32_INTERRUPT_SSP_TABLE:
    case VMCS_HOST_IA32_S_CET:
    case VMCS_HOST_SSP:
    case VMCS_HOST_IA32_INTERRUPT_SSP_TABLE:
    case VMCS_GUEST_PDPTE0: /* PAE paging only */
    case VMCS_GUEST_PDPTE1:
    case VMCS_GUEST_PDPTE2:
    case VMCS_GUEST_PDPTE3:
    case VMCS_ENTRY_EXCEPTION_ERROR_CODE: /* no event is injected */
    case VMCS_ENTRY_INSTRUCTION_LENGTH:
        return false;
    default:
        return ((unsigned)field >> 10 & 3) != 1; /* read-only data */
    }
}

static void expect_complete(void)
{
    static const enum vmcs_field fields[] = {
#define ENCODING(name, encoding) VMCS_##name,
        VMCS_FIELDS(ENCODING)
#undef ENCODING
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(fields); i++) {
        if (is_used(fields[i])) {
            NOTE("%s", vmcs_field_name(fields[i]));
            CHECK(fake_vmcs(fields[i]) != GARBAGE);
        }
    }
    NOTE("%s", "");
}

TEST(each_field_that_vm_entry_reads_is_written)
{
    start();
    vmx_set_guest_64bit(&vcpu, &caps, 0x1000200, 0x90000);
    vmx_set_guest_gdt(0x91000, 0x1f);
    expect_complete();
    start();
    vmx_set_guest_32bit(&vcpu, &caps, 0x100000);
    vmx_set_guest_gdt(0x91000, 0x1f);
    expect_complete();
    start();
    vmx_set_guest_init(&vcpu, &caps);
    expect_complete();
}

/* "Checks on VMX Controls", "Checks on Host Control Registers, MSRs, and SSP", and so on. */
TEST(controls_and_host_state)
{
    start();
    CHECK_EQ(*(uint32_t *)region, 0x12); /* the revision identifier */
    CHECK_EQ(fake.current_vmcs, 0x80004000);
    CHECK_EQ(vcpu.launched, 0);
    CHECK_EQ(fake_vmcs(VMCS_PIN_CONTROLS), controls.pin);
    CHECK_EQ(fake_vmcs(VMCS_PRIMARY_CONTROLS), controls.primary);
    CHECK_EQ(fake_vmcs(VMCS_SECONDARY_CONTROLS), controls.secondary);
    CHECK_EQ(fake_vmcs(VMCS_EXIT_CONTROLS), controls.exit);
    CHECK_EQ(fake_vmcs(VMCS_CR3_TARGET_COUNT), 0);
    CHECK_EQ(fake_vmcs(VMCS_EXIT_MSR_STORE_COUNT), 0);
    CHECK_EQ(fake_vmcs(VMCS_EXIT_MSR_LOAD_COUNT), 0);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_MSR_LOAD_COUNT), 0);
    CHECK_EQ(fake_vmcs(VMCS_IO_BITMAP_A), 0x80002000);
    CHECK_EQ(fake_vmcs(VMCS_IO_BITMAP_B), 0x80003000);
    CHECK_EQ(fake_vmcs(VMCS_MSR_BITMAP), 0x80001000);
    CHECK_EQ(fake_vmcs(VMCS_EPT_POINTER), 0x8000001e);
    CHECK(fake_vmcs(VMCS_VPID) != 0 && fake_vmcs(VMCS_VPID) <= 0xffff);
    CHECK_EQ(fake_vmcs(VMCS_XSS_EXITING_BITMAP), 0);
    CHECK_EQ(fake_vmcs(VMCS_EXCEPTION_BITMAP), BIT(1) | BIT(17) | BIT(18));
    CHECK_EQ(fake_vmcs(VMCS_CR0_GUEST_HOST_MASK), CR0_NE);
    CHECK_EQ(fake_vmcs(VMCS_CR4_GUEST_HOST_MASK), CR4_VMXE | CR4_SMXE);
    CHECK_EQ(fake_vmcs(VMCS_VMCS_LINK_POINTER), UINT64_MAX);

    CHECK_EQ(fake_vmcs(VMCS_HOST_CR0), fake.cr0);
    CHECK_EQ(fake_vmcs(VMCS_HOST_CR3), fake.cr3);
    CHECK_EQ(fake_vmcs(VMCS_HOST_CR4), fake.cr4);
    CHECK_EQ(fake_vmcs(VMCS_HOST_IA32_EFER), EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
    CHECK_EQ(fake_vmcs(VMCS_HOST_IA32_PAT), 0x0007040600070406);
    static const enum vmcs_field selectors[] = {
        VMCS_HOST_ES_SELECTOR, VMCS_HOST_CS_SELECTOR, VMCS_HOST_SS_SELECTOR, VMCS_HOST_DS_SELECTOR,
        VMCS_HOST_FS_SELECTOR, VMCS_HOST_GS_SELECTOR, VMCS_HOST_TR_SELECTOR};
    for (unsigned i = 0; i < ARRAY_LENGTH(selectors); i++)
        CHECK_EQ(fake_vmcs(selectors[i]) & 7, 0); /* RPL and TI */
    CHECK(fake_vmcs(VMCS_HOST_CS_SELECTOR) != 0 && fake_vmcs(VMCS_HOST_TR_SELECTOR) != 0);
    CHECK_EQ(fake_vmcs(VMCS_HOST_GS_BASE), host.gs_base);
    CHECK_EQ(fake_vmcs(VMCS_HOST_TR_BASE), host.tss_base);
    CHECK_EQ(fake_vmcs(VMCS_HOST_GDTR_BASE), host.gdt_base);
    CHECK_EQ(fake_vmcs(VMCS_HOST_IDTR_BASE), host.idt_base);
    CHECK_EQ(fake_vmcs(VMCS_HOST_FS_BASE), 0);
    CHECK(fake_vmcs(VMCS_HOST_RIP) != 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(inherited); i++)
        CHECK_EQ(fake_vmcs(inherited[i].field), inherited[i].value);
}

TEST(a_vmcs_that_cannot_be_loaded)
{
    fake.vmx_fails = true;
    CHECK_PANICS(vmx_vmcs_init(&vcpu, &caps, &controls, &host, &guest, HPA(0x80004000), region));
    CHECK(strstr(unit_panic_text, "0x80004000") != NULL);
}

struct segment_state {
    uint64_t selector, base, limit, rights;
};

/* number: ES CS SS DS FS GS LDTR TR, the order of their encodings */
static struct segment_state segment(unsigned number)
{
    return (struct segment_state){fake_vmcs(VMCS_GUEST_ES_SELECTOR + 2 * number),
                                  fake_vmcs(VMCS_GUEST_ES_BASE + 2 * number),
                                  fake_vmcs(VMCS_GUEST_ES_LIMIT + 2 * number),
                                  fake_vmcs(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * number)};
}

#define CS   1
#define FS   4
#define GS   5
#define LDTR 6
#define TR   7

/* What starting in 64-bit and in 32-bit mode share. Multiboot: EFLAGS.IF and VM are 0. */
static void expect_loaders_state(uint64_t rip)
{
    expect_entry();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), rip);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RFLAGS), 2);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_ACTIVITY_STATE), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_DR7), 0x400);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_GDTR_BASE), 0x91000);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_GDTR_LIMIT), 0x1f);
    for (unsigned i = 0; i <= GS; i++) {
        struct segment_state s = segment(i);
        if ((s.rights & BIT(16)) != 0)
            continue;
        CHECK_EQ(s.selector, i == CS ? SELECTOR_CODE : SELECTOR_DATA);
        CHECK_EQ(s.base, 0);
        CHECK_EQ(s.limit, 0xffffffff);
        CHECK_EQ(s.rights & 15, i == CS ? 11 : 3); /* execute/read, read/write */
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(inherited); i++)
        CHECK_EQ(fake_vmcs(inherited[i].field), inherited[i].value);
}

TEST(a_guest_in_64_bit_mode)
{
    start();
    vmx_set_guest_64bit(&vcpu, &caps, 0x1000200, 0x90000);
    vmx_set_guest_gdt(0x91000, 0x1f);
    expect_loaders_state(0x1000200);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_CR3), 0x90000);
    CHECK_EQ(fake_vmcs(VMCS_CR0_READ_SHADOW) & CR0_NE, 0);
    CHECK_EQ(fake_vmcs(VMCS_CR4_READ_SHADOW) & CR4_VMXE, 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_IA32_EFER), EFER_LME | EFER_LMA);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_CONTROLS), controls.entry | ENTRY_IA32E_MODE_GUEST);
    CHECK_EQ(segment(CS).rights & (BIT(13) | BIT(14)), BIT(13)); /* L, not D */
}

TEST(a_guest_in_32_bit_mode)
{
    start();
    vmx_set_guest_32bit(&vcpu, &caps, 0x100000);
    vmx_set_guest_gdt(0x91000, 0x1f);
    expect_loaders_state(0x100000);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_CR0) & (CR0_PE | CR0_PG), CR0_PE);
    CHECK_EQ(fake_vmcs(VMCS_CR4_READ_SHADOW), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_IA32_EFER), 0);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST, 0);
    CHECK_EQ(segment(CS).rights & (BIT(13) | BIT(14)), BIT(14));
    for (unsigned i = 0; i <= GS; i++)
        CHECK_EQ(segment(i).rights & BIT(16), 0);
}

/* A CPU that ran anything: every register of the table holds something else than after INIT. */
static void start_used(uint64_t caching)
{
    start();
    vmx_set_guest_64bit(&vcpu, &caps, 0x1000200, 0x90000);
    vmx_set_guest_gdt(0x91000, 0x1f);
    memset(&vcpu.regs, 0x5a, sizeof(vcpu.regs));
    for (unsigned i = 0; i <= TR; i++) {
        fake_set_vmcs(VMCS_GUEST_ES_SELECTOR + 2 * i, 0x2b);
        fake_set_vmcs(VMCS_GUEST_ES_BASE + 2 * i, 0x7fff00000000);
    }
    fake_set_vmcs(VMCS_GUEST_CR0, 0x80050033);
    fake_set_vmcs(VMCS_GUEST_CR4, 0x3726f0);
    fake_set_vmcs(VMCS_CR0_READ_SHADOW, 0x80050033);
    fake_set_vmcs(VMCS_CR4_READ_SHADOW, 0x3706f0);
    fake_set_vmcs(VMCS_GUEST_IA32_EFER, 0xd01);
    fake_set_vmcs(VMCS_GUEST_DR7, 0x7ff);
    fake_set_vmcs(VMCS_GUEST_RFLAGS, 0x10346);
    fake_set_vmcs(VMCS_GUEST_RSP, 0xffffc90000000000);
    fake_set_vmcs(VMCS_GUEST_IDTR_BASE, 0xfffffe0000000000);
    fake_set_vmcs(VMCS_GUEST_IDTR_LIMIT, 0xfff);
    fake_set_vmcs(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI | BLOCKING_BY_STI);
    fake_set_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(14));
    fake_set_vmcs(VMCS_GUEST_ACTIVITY_STATE, 1);
    fake.cr0 |= caching;
    fake.cr2 = fake.dr0 = fake.dr1 = fake.dr2 = fake.dr3 = 0x1234567;
    fake.dr6 = 0xffff4ff3;
    fake.xcr0 = 7;
    event_nmi(&vcpu);
    event_machine_check(&vcpu);
    CHECK(event_inject(VECTOR_GP, true, 0));
}

TEST(registers_after_init)
{
    start_used(0);
    vmx_set_guest_init(&vcpu, &caps);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RFLAGS), 2);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0xfff0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RSP), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_CR3), 0);
    CHECK_EQ(fake.cr2, 0);
    CHECK_EQ(fake.dr0 | fake.dr1 | fake.dr2 | fake.dr3, 0);
    CHECK_EQ(fake.dr6, 0xffff0ff0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_DR7), 0x400);
    struct vcpu_regs regs = {.rdx = 0x000506e3}; /* EDX: the processor's signature */
    CHECK(memcmp(&vcpu.regs, &regs, sizeof(regs)) == 0);
    /* what the guest reads: the shadow's bits where Keel owns them, else the register's */
    uint64_t cr0 = (fake_vmcs(VMCS_GUEST_CR0) & ~guest.cr0_owned) |
                   (fake_vmcs(VMCS_CR0_READ_SHADOW) & guest.cr0_owned);
    uint64_t cr4 = (fake_vmcs(VMCS_GUEST_CR4) & ~guest.cr4_owned) |
                   (fake_vmcs(VMCS_CR4_READ_SHADOW) & guest.cr4_owned);
    CHECK_EQ(cr0, 0x10);
    CHECK_EQ(cr4, 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_IA32_EFER), 0);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST, 0);
}

TEST(segments_after_init)
{
    start_used(0);
    vmx_set_guest_init(&vcpu, &caps);
    for (unsigned i = 0; i <= TR; i++) {
        struct segment_state s = segment(i);
        NOTE("segment %u", i);
        CHECK_EQ(s.selector, i == CS ? 0xf000 : 0);
        CHECK_EQ(s.base, i == CS ? 0xffff0000 : 0);
        CHECK_EQ(s.limit, 0xffff);
        if (i <= GS && i != CS)
            CHECK_EQ(s.rights, 0x93); /* "Present, R/W, Accessed" */
    }
    CHECK_EQ(segment(LDTR).rights, 0x82);
    CHECK(segment(TR).rights == 0x8b || segment(TR).rights == 0x83);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_GDTR_BASE), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_GDTR_LIMIT), 0xffff);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_IDTR_BASE), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_IDTR_LIMIT), 0xffff);
}

/* CS, too, is "Present, R/W, Accessed": code that has just started may write through it. */
TEST(the_code_segment_after_init_can_be_written)
{
    start_used(0);
    vmx_set_guest_init(&vcpu, &caps);
    CHECK_EQ(segment(CS).rights, 0x93);
}

/* "The CD and NW flags are unchanged, bit 4 is set to 1, all other bits are cleared." */
TEST(caching_stays_as_it_was)
{
    static const uint64_t values[] = {0, CR0_CD, CR0_NW, CR0_CD | CR0_NW};
    for (unsigned i = 0; i < ARRAY_LENGTH(values); i++) {
        start_used(values[i]);
        vmx_set_guest_init(&vcpu, &caps);
        CHECK_EQ(fake_vmcs(VMCS_GUEST_CR0) & ~CR0_NE, 0x10 | values[i]);
        CHECK_EQ(fake_vmcs(VMCS_CR0_READ_SHADOW) & (CR0_CD | CR0_NW), values[i]);
        expect_entry();
    }
}

/* The table's "Unchanged": MTRRs, PAT, all other MSRs, XCR0, the TSC, the FPU. */
TEST(what_init_keeps)
{
    start_used(0);
    static const uint32_t msrs[] = {IA32_PAT, IA32_SYSENTER_CS, IA32_SYSENTER_ESP,
                                    IA32_SYSENTER_EIP, IA32_EFER};
    uint64_t before[ARRAY_LENGTH(msrs)];
    for (unsigned i = 0; i < ARRAY_LENGTH(msrs); i++)
        before[i] = fake_msr(msrs[i]);
    uint64_t tsc = fake.tsc, host_cr3 = fake_vmcs(VMCS_HOST_CR3);
    vmx_set_guest_init(&vcpu, &caps); /* one that it did not know would fault */
    for (unsigned i = 0; i < ARRAY_LENGTH(msrs); i++)
        CHECK_EQ(fake_msr(msrs[i]), before[i]);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(fake_vmcs(inherited[i].field), inherited[i].value);
    CHECK_EQ(fake.xcr0, 7);
    CHECK_EQ(fake.tsc, tsc);
    CHECK_EQ(fake_vmcs(VMCS_HOST_CR3), host_cr3);
    CHECK_EQ(fake_vmcs(VMCS_VMCS_LINK_POINTER), UINT64_MAX);
    CHECK_EQ(fake_vmcs(VMCS_EPT_POINTER), guest.ept_pointer);
}

/* Nothing that was under way is there afterwards; the CPU waits, and VM entry is possible. */
TEST(init_forgets_what_was_pending)
{
    start_used(0);
    vmx_set_guest_init(&vcpu, &caps);
    CHECK(!vcpu.nmi_pending && !vcpu.machine_check_pending);
    CHECK_EQ(fake_vmcs(VMCS_PRIMARY_CONTROLS), controls.primary);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO) & EVENT_VALID, 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_ACTIVITY_STATE), 3); /* wait-for-SIPI */
    expect_entry();
}

/* "The CPU starts at 000VV000H": CS:IP is VV00:0000. */
TEST(startup)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        start_used(0);
        vmx_set_guest_init(&vcpu, &caps);
        uint64_t rights = segment(CS).rights;
        vmx_set_guest_startup((uint8_t)vector);
        NOTE("vector 0x%x", vector);
        CHECK_EQ(segment(CS).selector, vector << 8);
        CHECK_EQ(segment(CS).base, vector << 12);
        CHECK_EQ(segment(CS).limit, 0xffff);
        CHECK_EQ(segment(CS).rights, rights);
        CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0);
        CHECK_EQ(fake_vmcs(VMCS_GUEST_ACTIVITY_STATE), 0);
        CHECK_EQ(fake_vmcs(VMCS_GUEST_RFLAGS), 2);
        CHECK_EQ(vcpu.regs.rdx, 0x000506e3);
        expect_entry();
    }
}

/* NMIs and machine checks that come to the new CPU find their way as ever. */
TEST(an_nmi_after_startup)
{
    start_used(0);
    vmx_set_guest_init(&vcpu, &caps);
    vmx_set_guest_startup(8);
    event_nmi(&vcpu);
    expect_entry();
    event_nmi_window(&vcpu);
    expect_entry();
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), EVENT_VALID | EVENT_NMI << 8 | 2);
}

/* The helper itself: each of these states is refused. SDM Vol. 3C, "Checks on the Guest State
 * Area".
 */
TEST(states_that_vm_entry_refuses)
{
    static const struct {
        enum vmcs_field field;
        uint64_t value;
    } rows[] = {
        {VMCS_GUEST_CR0, 0x80000011},
        {VMCS_GUEST_CR0, 0x80000030},
        {VMCS_GUEST_CR0, 0x31}, /* 64-bit mode without paging */
        {VMCS_GUEST_CR4, CR4_PAE},
        {VMCS_GUEST_CR4, CR4_VMXE},
        {VMCS_GUEST_CR3, BIT(46)},
        {VMCS_GUEST_IA32_EFER, EFER_LME},
        {VMCS_GUEST_IA32_EFER, EFER_LMA},
        {VMCS_GUEST_IA32_PAT, 2},
        {VMCS_GUEST_DR7, BIT(32)},
        {VMCS_GUEST_IA32_SYSENTER_ESP, BIT(47)},
        {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xe09b}, /* L and D */
        {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa0fb}, /* DPL 3, and SS's 0 */
        {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa01b}, /* not present */
        {VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc09b},
        {VMCS_GUEST_DS_ACCESS_RIGHTS, 0x4093}, /* G is 0 with a limit of 4 GiB */
        {VMCS_GUEST_DS_BASE, BIT(32)},
        {VMCS_GUEST_FS_BASE, BIT(47)},
        {VMCS_GUEST_TR_ACCESS_RIGHTS, 0x89},
        {VMCS_GUEST_TR_ACCESS_RIGHTS, 0x10000},
        {VMCS_GUEST_GDTR_LIMIT, 0x10000},
        {VMCS_GUEST_RIP, BIT(48)},
        {VMCS_GUEST_RFLAGS, 0},
        {VMCS_GUEST_RFLAGS, 2 | BIT(17)},
        {VMCS_GUEST_ACTIVITY_STATE, 4},
        {VMCS_GUEST_INTERRUPTIBILITY, 1}, /* STI's shadow with IF 0 */
        {VMCS_GUEST_INTERRUPTIBILITY, 4},
        {VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(4)},
        {VMCS_VMCS_LINK_POINTER, 0},
        {VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | 0x20}, /* an interrupt with IF 0 */
        {VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | 3 << 8 | 13},
        {VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | EVENT_HAS_ERROR | 3 << 8 | 6},
        {VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | 1 << 8},
        {VMCS_ENTRY_CONTROLS, 0},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        start();
        vmx_set_guest_64bit(&vcpu, &caps, 0x1000200, 0x90000);
        vmx_set_guest_gdt(0x91000, 0x1f);
        CHECK(fake_check_entry() == NULL);
        fake_set_vmcs(rows[i].field, rows[i].value);
        NOTE("%s 0x%lx", vmcs_field_name(rows[i].field), rows[i].value);
        CHECK(fake_check_entry() != NULL);
    }
}

/* The CPU's part of switching VMX on and off. SDM Vol. 3C, "Enabling and Entering VMX Operation".
 */
TEST(switching_vmx_on_and_off)
{
    static const uint64_t feature[] = {0, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX};
    const char *why = NULL;
    for (unsigned i = 0; i < ARRAY_LENGTH(feature); i++) {
        start();
        fake_set_cpuid(1, 0, 0x000506e3, 0, 1 << 5, 0);
        fake_set_msr(IA32_FEATURE_CONTROL, feature[i]);
        fake.cr0 = 0x80010013;
        memset(region, 0, sizeof(region));
        CHECK_EQ(vmx_on(&caps, HPA(0x80005000), region, &why), STATUS_OK);
        CHECK(fake.vmx_on);
        CHECK_EQ(*(uint32_t *)region, 0x12);
        CHECK_EQ(fake_msr(IA32_FEATURE_CONTROL), FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
        CHECK_EQ(FAKE_CR0_FIXED0 & ~fake.cr0, 0);
        CHECK_EQ(FAKE_CR4_FIXED0 & ~fake.cr4, 0);
        vmx_off();
        CHECK(!fake.vmx_on);
        CHECK_EQ(fake.cr4 & CR4_VMXE, 0);
    }
    start();
    fake_set_cpuid(1, 0, 0x000506e3, 0, 1 << 5, 0);
    fake_set_msr(IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK);
    CHECK_EQ(vmx_on(&caps, HPA(0x80005000), region, &why), STATUS_NO_SUPPORT);
    CHECK(why != NULL && strstr(why, "firmware") != NULL);
    start(); /* no VMX: IA32_FEATURE_CONTROL need not exist */
    fake_set_cpuid(1, 0, 0x000506e3, 0, 0, 0);
    CHECK_EQ(vmx_on(&caps, HPA(0x80005000), region, &why), STATUS_NO_SUPPORT);
    CHECK(!fake.vmx_on);
}
