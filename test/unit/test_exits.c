/*
 * The exit handlers but CPUID and MSRs. SDM Vol. 3C, "VM Exits": exit qualifications; the
 * rules of VM entry that an answer must keep.
 */
#include "unit.h"

#include "entry_check.h"
#include "guest/sleep.h"
#include "guest/xcr0.h"
#include "guest_fixture.h"
#include "vmx/controls.h"

#define VALID UINT64_C(0x80000000)
#define BS    BIT(14)

TEST(instructions_that_a_bare_machine_does_not_know)
{
    static const uint8_t reasons[] = {11, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 50, 53, 59};
    fixture_start();
    for (unsigned i = 0; i < ARRAY_LENGTH(reasons); i++) {
        NOTE("reason %u", reasons[i]);
        expect_fault(guest_handle_exit(&cpu, reasons[i]), VECTOR_UD, -1);
    }
}

TEST(exits_that_nobody_thought_of)
{
    static const uint32_t reasons[] = {1,  12, 16, 33, 34,  35,    38,        41,
                                       42, 49, 71, 80, 200, 65535, UINT32_MAX};
    fixture_start();
    for (unsigned i = 0; i < ARRAY_LENGTH(reasons); i++) {
        NOTE("reason %u", reasons[i]);
        CHECK_EQ(guest_handle_exit(&cpu, reasons[i]).kind, ANSWER_STOP);
        CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0xffffffff81000000);
    }
    CHECK_STR(guest_exit_name(10), "CPUID");
    CHECK_STR(guest_exit_name(48), "EPT violation");
    CHECK_STR(guest_exit_name(35), "?");
    CHECK_STR(guest_exit_name(UINT32_MAX), "?");
    CHECK_EQ(guest_handle_exit(&cpu, 2).kind, ANSWER_TRIPLE_FAULT);
    CHECK_EQ(guest_handle_exit(&cpu, 3).kind, ANSWER_INIT);
}

/* INVD would lose what Keel has written: WBINVD in its place. */
TEST(invd)
{
    fixture_start();
    CHECK_EQ(guest_handle_exit(&cpu, 13).kind, ANSWER_ADVANCE);
    CHECK_EQ(fake.wbinvds, 1);
}

/* SDM Vol. 1, "Enabling the XSAVE Feature Set and XSAVE-Enabled Features": walk all of 11 bits. */
TEST(xcr0_values)
{
    uint64_t supported = 0x2ff | XCR0_TILE;
    for (uint64_t low = 0; low < 2048; low++) {
        for (uint64_t tile = 0; tile < 4; tile++) {
            uint64_t value = low | tile << 17;
            bool avx512 = (low & 0xe0) != 0;
            bool valid = (low & 1) && (value & ~supported) == 0 && (!(low & 4) || (low & 2)) &&
                         ((low & 0x18) == 0 || (low & 0x18) == 0x18) &&
                         (!avx512 || ((low & 0xe0) == 0xe0 && (low & 6) == 6)) &&
                         (tile == 0 || tile == 3);
            NOTE("0x%lx", value);
            CHECK_EQ(xcr0_is_valid(value, supported), valid);
        }
    }
    for (unsigned bit = 0; bit < 64; bit++)
        CHECK(!xcr0_is_valid(1 | BIT(bit), 1) || bit == 0);
}

static struct answer xsetbv(uint64_t xcr, uint64_t value)
{
    cpu.vcpu.regs.rcx = xcr;
    cpu.vcpu.regs.rax = value & UINT32_MAX;
    cpu.vcpu.regs.rdx = value >> 32;
    return guest_handle_exit(&cpu, 55);
}

TEST(xsetbv_is_checked_and_executed)
{
    fixture_start();
    CHECK_EQ(xsetbv(0, 7).kind, ANSWER_ADVANCE);
    CHECK_EQ(fake.xcr0, 7);
    expect_fault(xsetbv(0, 6), VECTOR_GP, 0);
    expect_fault(xsetbv(0, BIT(63) | 1), VECTOR_GP, 0);
    expect_fault(xsetbv(1, 7), VECTOR_GP, 0);
    fake.xsetbv_faults = true; /* a rule that Keel does not know */
    expect_fault(xsetbv(0, 3), VECTOR_GP, 0);
    CHECK_EQ(fake.xcr0, 7);
}

/* MOV to CR0 exits only where NE differs from what the guest last had. */
TEST(cr0_ne_is_shadowed)
{
    for (unsigned reg = 0; reg < 16; reg++) {
        fixture_start();
        uint64_t value = CR0_PE | CR0_PG | CR0_NE | CR0_WP;
        fake_set_vmcs(VMCS_CR0_READ_SHADOW, CR0_PE | CR0_ET);
        fake_set_vmcs(VMCS_EXIT_QUALIFICATION, (uint64_t)reg << 8);
        if (reg == 4)
            fake_set_vmcs(VMCS_GUEST_RSP, value);
        else
            *vcpu_register(&cpu.vcpu, reg) = value;
        NOTE("register %u", reg);
        struct answer answer = guest_handle_exit(&cpu, 28);
        CHECK(answer.kind == ANSWER_RETRY || answer.kind == ANSWER_ADVANCE);
        CHECK_EQ(fake_vmcs(VMCS_CR0_READ_SHADOW) & CR0_NE, CR0_NE);
        CHECK_EQ(fake_vmcs(VMCS_GUEST_CR0) & CR0_NE, CR0_NE);
        if (answer.kind == ANSWER_RETRY) /* the instruction itself will do the rest */
            CHECK_EQ(fake_vmcs(VMCS_GUEST_CR0), CR0_PE | CR0_PG | CR0_NE);
    }
}

TEST(cr4_bits_that_are_not_shown)
{
    fixture_start();
    fake_set_vmcs(VMCS_EXIT_QUALIFICATION, 4);
    cpu.vcpu.regs.rax = CR4_PAE | CR4_VMXE;
    expect_fault(guest_handle_exit(&cpu, 28), VECTOR_GP, 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_CR4), CR4_PAE);
}

/* PM1 control: SLP_TYP in bits 12:10, SLP_EN bit 13. ACPI 6.5, "PM1 Control Registers". */
TEST(sleep_writes_of_every_width)
{
    const struct guest_sleep sleep = {.control = {0xb004, 0xc004}, .allowed = {1 << 5, 1 << 6}};
    for (unsigned type = 0; type < 8; type++) {
        uint32_t word = type << 10 | 1 << 13 | 1;
        for (unsigned which = 0; which < 2; which++) {
            uint16_t port = sleep.control[which];
            enum sleep_verdict expected = type == 5 + which ? SLEEP_ALLOWED : SLEEP_REFUSED;
            NOTE("type %u, port 0x%x", type, port);
            CHECK_EQ(sleep_check(&sleep, port, 2, word), expected);
            CHECK_EQ(sleep_check(&sleep, port, 4, word), expected);
            CHECK_EQ(sleep_check(&sleep, (uint16_t)(port + 1), 1, word >> 8), expected);
            CHECK_EQ(sleep_check(&sleep, (uint16_t)(port - 2), 4, word << 16), expected);
            CHECK_EQ(sleep_check(&sleep, (uint16_t)(port - 1), 4, word << 8), expected);
            CHECK_EQ(sleep_check(&sleep, port, 1, word), SLEEP_NOTHING);
            CHECK_EQ(sleep_check(&sleep, port, 2, word & ~(1u << 13)), SLEEP_NOTHING);
            CHECK_EQ(sleep_check(&sleep, (uint16_t)(port + 2), 4, 0xffffffff), SLEEP_NOTHING);
            CHECK_EQ(sleep_check(&sleep, (uint16_t)(port - 4), 4, 0xffffffff), SLEEP_NOTHING);
        }
    }
    const struct guest_sleep none = {{0, 0}, {0, 0}};
    CHECK_EQ(sleep_check(&none, 0, 4, 0xffffffff), SLEEP_NOTHING);
}

static struct answer io(uint16_t port, unsigned size, bool in, bool string, uint64_t rax)
{
    fake_set_vmcs(VMCS_EXIT_QUALIFICATION,
                  (size - 1) | (in ? 8 : 0) | (string ? 16 : 0) | (uint64_t)port << 16);
    cpu.vcpu.regs.rax = rax;
    return guest_handle_exit(&cpu, 30);
}

static uint32_t pattern(uint16_t port, unsigned size)
{
    (void)port, (void)size;
    return 0x89abcdef;
}

TEST(port_accesses)
{
    fixture_start();
    guest.sleep = (struct guest_sleep){{0xb004, 0}, {1 << 5, 0}};
    fake.port_in = pattern;
    CHECK_EQ(io(0xb004, 1, true, false, UINT64_MAX).kind, ANSWER_ADVANCE);
    CHECK_EQ(cpu.vcpu.regs.rax, 0xffffffffffffffef);
    (void)io(0xb004, 2, true, false, UINT64_MAX);
    CHECK_EQ(cpu.vcpu.regs.rax, 0xffffffffffffcdef);
    (void)io(0xb004, 4, true, false, UINT64_MAX);
    CHECK_EQ(cpu.vcpu.regs.rax, 0x89abcdef); /* EAX: the upper half is cleared */

    fake.ports = 0;
    CHECK_EQ(io(0xb004, 2, false, false, 0x1234).kind, ANSWER_ADVANCE);
    CHECK_EQ(fake.ports, 1);
    CHECK(fake.port[0].out && fake.port[0].port == 0xb004 && fake.port[0].size == 2);
    CHECK_EQ(fake.port[0].value, 0x1234);
    CHECK_EQ(fixture_leavings, 0);

    (void)io(0xb004, 2, false, false, 1 << 13 | 5 << 10);
    CHECK_EQ(fake.ports, 2);
    CHECK_EQ(fixture_leavings, 1);
    (void)io(0xb004, 2, false, false, 1 << 13 | 1 << 10);
    CHECK_EQ(fake.ports, 2); /* S3 does not reach the machine */
    CHECK_EQ(fixture_leavings, 1);
    (void)io(0xb004, 2, false, true, 0);
    CHECK_EQ(fake.ports, 2);
}

static struct answer violate(uint64_t qualification, uint64_t physical, uint64_t linear)
{
    fake_set_vmcs(VMCS_EXIT_QUALIFICATION, qualification);
    fake_set_vmcs(VMCS_GUEST_PHYSICAL_ADDRESS, physical);
    fake_set_vmcs(VMCS_GUEST_LINEAR_ADDRESS, linear);
    return guest_handle_exit(&cpu, 48);
}

#define LINEAR (BIT(7) | BIT(8))

TEST(a_hole_is_mapped_and_retried)
{
    fixture_start();
    struct answer answer = violate(1 | LINEAR, 0x4000000123, 0xffff888000000000);
    CHECK_EQ(answer.kind, ANSWER_RETRY);
    CHECK(!answer.nmi_unblocked);
    CHECK(pt_lookup(&guest.ept.pt, 0x4000000123).present);
    CHECK_EQ(guest.violations, 0);
    answer = violate(1 | LINEAR | BIT(12), 0x4100000123, 0xffff888000000000);
    CHECK_EQ(answer.kind, ANSWER_RETRY);
    CHECK(answer.nmi_unblocked);
}

/* SDM Vol. 3A, "Page-Fault Exceptions": error code bits W/R, U/S, I/D; P is 0. */
TEST(keels_memory_looks_absent_to_a_kernel)
{
    uint64_t linear = 0xffff888080000040;
    fixture_start();
    fake_set_vmcs(VMCS_GUEST_CR4, CR4_PAE);
    fake_set_vmcs(VMCS_GUEST_IA32_EFER, EFER_LMA | EFER_LME | EFER_NXE);
    expect_fault(violate(1 | LINEAR, 0x80000040, linear), VECTOR_PF, 0);
    CHECK_EQ(fake.cr2, linear);
    expect_fault(violate(2 | LINEAR, 0x80000040, linear + 8), VECTOR_PF, 2);
    CHECK_EQ(fake.cr2, linear + 8);
    expect_fault(violate(3 | LINEAR, 0x80000040, linear), VECTOR_PF, 2);
    expect_fault(violate(4 | LINEAR, 0x80000040, linear), VECTOR_PF, 16);
    fake_set_vmcs(VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc0f3); /* CPL 3 */
    expect_fault(violate(1 | LINEAR, 0x80000040, linear), VECTOR_PF, 4);
    fake_set_vmcs(VMCS_GUEST_IA32_EFER, EFER_LMA | EFER_LME);
    expect_fault(violate(4 | LINEAR, 0x80000040, linear), VECTOR_PF, 4);
    CHECK_EQ(guest.violations, 6);
    CHECK(!pt_lookup(&guest.ept.pt, 0x80000040).present);
}

TEST(keels_memory_is_a_protection_fault_to_others)
{
    fixture_start();
    expect_fault(violate(1 | LINEAR, 0x80000040, 0x7fff00000000), VECTOR_GP, 0);
    expect_fault(violate(1, 0x80000040, 0), VECTOR_GP, 0); /* no linear address at all */
    fake_set_vmcs(VMCS_GUEST_CR0, CR0_PE | CR0_NE);
    expect_fault(violate(1 | LINEAR, 0x80000040, 0x80000040), VECTOR_GP, 0);
    CHECK_EQ(guest.violations, 3);
}

TEST(violations_cannot_flood_the_log)
{
    fixture_start();
    for (unsigned i = 0; i < 1000; i++)
        (void)violate(1 | LINEAR, 0x80000000 + i * 8, 0xffff888000000000);
    unsigned lines = 0;
    for (const char *at = unit_log(); (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    CHECK(lines <= 20);
    CHECK_EQ(guest.violations, 1000);
}

static struct answer except(unsigned type, unsigned vector, bool has_error)
{
    fake_set_vmcs(VMCS_EXIT_INTERRUPTION_INFO,
                  VALID | (uint64_t)type << 8 | vector | (has_error ? BIT(11) : 0));
    return guest_handle_exit(&cpu, 0);
}

/* SDM Vol. 3B, "Debug Status Register (DR6)"; Vol. 3C, "Exit Qualification for Debug Exceptions".
 */
TEST(a_debug_exception_is_given_back)
{
    fixture_start();
    fake.dr6 = 0xffff0ff0 | 8 | BIT(14);
    fake_set_vmcs(VMCS_GUEST_DR7, 0x400 | BIT(13) | 2);
    fake_set_vmcs(VMCS_GUEST_IA32_DEBUGCTL, DEBUGCTL_LBR | DEBUGCTL_BTF);
    fake_set_vmcs(VMCS_EXIT_QUALIFICATION, 1 | BIT(13));
    expect_fault(except(3, 1, false), VECTOR_DB, -1);
    CHECK_EQ(fake.dr6 & 0xf, 1); /* the others may be cleared; BS stays: software clears it */
    CHECK_EQ(fake.dr6 & (BIT(13) | BIT(14)), BIT(13) | BIT(14));
    CHECK_EQ(fake.dr6 & BIT(16), BIT(16)); /* 1: not in a transaction */
    CHECK_EQ(fake.dr6 & BIT(11), BIT(11)); /* 1: no bus lock */
    CHECK_EQ(fake_vmcs(VMCS_GUEST_DR7) & BIT(13), 0);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF, 0);
    fake_set_vmcs(VMCS_EXIT_QUALIFICATION, BIT(16));
    expect_fault(except(3, 1, false), VECTOR_DB, -1);
    CHECK_EQ(fake.dr6 & BIT(16), 0);
}

TEST(an_alignment_check_is_given_back)
{
    fixture_start();
    fake_set_vmcs(VMCS_EXIT_INTERRUPTION_ERROR_CODE, 0);
    expect_fault(except(3, 17, true), VECTOR_AC, 0);
}

TEST(an_nmi_is_the_tops_to_tell_from_a_kick)
{
    fixture_start();
    CHECK_EQ(except(2, 2, false).kind, ANSWER_NMI);
    event_nmi(&cpu.vcpu);
    CHECK(cpu.vcpu.nmi_pending);
    CHECK_EQ(fake_vmcs(VMCS_PRIMARY_CONTROLS) & PRIMARY_NMI_WINDOW, PRIMARY_NMI_WINDOW);
    CHECK_EQ(guest_handle_exit(&cpu, 8).kind, ANSWER_RESUME);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | 2 << 8 | 2);
}

/* Carries the answer out as the run loop does, as far as the VMCS tells. */
static void carry_out(struct answer answer)
{
    if (answer.kind == ANSWER_INJECT)
        CHECK(event_inject((enum vector)answer.vector, answer.has_error, answer.error));
    else if (answer.kind == ANSWER_ADVANCE)
        event_advance();
    else if (answer.kind == ANSWER_RETRY)
        event_retry(answer.nmi_unblocked);
}

/*
 * INT1 (opcode F1) is a trap: its handler finds RIP behind it. A VM exit leaves RIP on it, with
 * its length in the VMCS; so it is injected as what it is (type 5, with a length), or RIP is
 * moved first. SDM Vol. 3C, "Information for VM Exits Due to Vectored Events"; Vol. 2A, "INT n".
 */
TEST(int1_goes_on_behind_itself)
{
    fixture_start();
    fake_set_vmcs(VMCS_EXIT_INSTRUCTION_LENGTH, 1);
    carry_out(except(5, 1, false));
    uint64_t info = fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO);
    CHECK_EQ(info & 0xff, 1);
    if ((info >> 8 & 7) == EVENT_PRIVILEGED_SOFTWARE_EXCEPTION)
        CHECK_EQ(fake_vmcs(VMCS_ENTRY_INSTRUCTION_LENGTH), 1);
    else
        CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0xffffffff81000001);
}

/*
 * SDM Vol. 3C, "Checks on Guest Non-Register State": with blocking by STI or MOV SS and
 * RFLAGS.TF 1 (BTF 0), bit BS of the pending debug exceptions must be 1, or VM entry fails.
 * Any program can get there: TF set, MOV SS, then INT1 or a misaligned access with AC set.
 */
static void expect_entry_possible(void)
{
    bool shadow = (fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY) & 3) != 0;
    bool steps = (fake_vmcs(VMCS_GUEST_RFLAGS) & RFLAGS_TF) != 0 &&
                 (fake_vmcs(VMCS_GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF) == 0;
    if (shadow)
        CHECK_EQ((fake_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS) & BS) != 0, steps);
}

TEST(an_exception_in_a_shadow_under_single_step)
{
    static const struct {
        unsigned type, vector;
    } rows[] = {{5, 1}, {3, 1}, {3, 17}};
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        for (uint64_t blocking = 1; blocking <= 2; blocking++) {
            fixture_start();
            fake_set_vmcs(VMCS_GUEST_RFLAGS, RFLAGS_TF | 2);
            fake_set_vmcs(VMCS_GUEST_INTERRUPTIBILITY, blocking);
            fake_set_vmcs(VMCS_EXIT_INSTRUCTION_LENGTH, 1);
            NOTE("type %u, vector %u, blocking %lu", rows[i].type, rows[i].vector, blocking);
            carry_out(except(rows[i].type, rows[i].vector, rows[i].vector == 17));
            expect_entry_possible();
        }
    }
}

enum mode {
    KERNEL_64BIT,
    USER_64BIT,
    USER_32BIT,
    PROTECTED,
    REAL,
    MODES
};

static bool one_in(unsigned n)
{
    return unit_random_below(n) == 0;
}

/* A guest in one of the modes, at an instruction that exits: all that VM entry checks is right. */
static void set_random_mode(enum mode mode)
{
    static const struct vmx_caps caps = {.cr4_fixed0 = FAKE_CR4_FIXED0};
    bool user = mode == USER_64BIT || mode == USER_32BIT;
    bool wide = mode == KERNEL_64BIT || mode == USER_64BIT;

    fake.cr0 = 0;
    fake_set_vmcs(VMCS_VMCS_LINK_POINTER, UINT64_MAX);
    if (mode <= USER_32BIT) {
        vmx_set_guest_64bit(&cpu.vcpu, &caps, 0, 0x1000);
    } else if (mode == PROTECTED) {
        vmx_set_guest_32bit(&cpu.vcpu, &caps, 0);
    } else {
        vmx_set_guest_init(&cpu.vcpu, &caps);
        vmx_set_guest_startup(8);
    }
    if (user) {
        fake_set_vmcs(VMCS_GUEST_CS_ACCESS_RIGHTS, mode == USER_64BIT ? 0xa0fb : 0xc0fb);
        fake_set_vmcs(VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc0f3);
    }
    uint64_t rip = unit_random() >> (wide ? 17 + unit_random_below(47) : 32);
    if (one_in(4))
        rip = UINT32_MAX - unit_random_below(16);
    if (wide && one_in(4))
        rip = (one_in(2) ? UINT64_C(0x800000000000) : UINT64_MAX) - 1 - unit_random_below(16);
    fake_set_vmcs(VMCS_GUEST_RIP, mode == REAL ? rip & 0xffff : rip);
    fake_set_vmcs(VMCS_EXIT_INSTRUCTION_LENGTH, 1 + unit_random_below(15));
}

/* Flags, shadows and single steps, as a processor can leave them together. */
static void set_random_shadow(bool allowed)
{
    static const uint8_t shadows[] = {0, BLOCKING_BY_STI, BLOCKING_BY_MOV_SS};
    uint64_t rflags = RFLAGS_FIXED | (unit_random() & (RFLAGS_TF | RFLAGS_RF | RFLAGS_IF));
    uint64_t shadow = allowed && one_in(2) ? shadows[unit_random_below(3)] : 0;
    uint64_t debugctl = one_in(4) ? DEBUGCTL_BTF : 0;

    if (shadow == BLOCKING_BY_STI)
        rflags |= RFLAGS_IF;
    bool steps = (rflags & RFLAGS_TF) != 0 && debugctl == 0;
    fake_set_vmcs(VMCS_GUEST_RFLAGS, rflags);
    fake_set_vmcs(VMCS_GUEST_IA32_DEBUGCTL, debugctl);
    fake_set_vmcs(VMCS_GUEST_INTERRUPTIBILITY, shadow | (one_in(4) ? BLOCKING_BY_NMI : 0));
    fake_set_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
                  (shadow != 0 && steps ? BS : 0) | (shadow == 2 ? unit_random() & 0xf : 0));
}

/* The event that was being delivered. "Information for VM Exits During Event Delivery" */
static void set_random_delivery(enum mode mode)
{
    static const struct {
        unsigned type, vector;
        bool has_error;
    } events[] = {{0, 0xec, false}, {2, 2, false},  {3, 0, false}, {3, 1, false}, {3, 6, false},
                  {3, 8, true},     {3, 11, true},  {3, 13, true}, {3, 14, true}, {3, 18, false},
                  {4, 0x80, false}, {4, 14, false}, {5, 1, false}, {6, 3, false}, {6, 4, false}};
    unsigned i = (unsigned)unit_random_below(ARRAY_LENGTH(events));
    bool has_error = events[i].has_error && mode != REAL;

    fake_set_vmcs(VMCS_IDT_VECTORING_INFO, VALID | (one_in(2) ? BIT(12) : 0) |
                                               (uint64_t)events[i].type << 8 | events[i].vector |
                                               (has_error ? BIT(11) : 0));
    fake_set_vmcs(VMCS_IDT_VECTORING_ERROR_CODE, unit_random() & 0xffff);
    if (events[i].type == EVENT_EXTERNAL)
        fake_set_vmcs(VMCS_GUEST_RFLAGS, fake_vmcs(VMCS_GUEST_RFLAGS) | RFLAGS_IF);
    if (events[i].type == EVENT_NMI)
        fake_set_vmcs(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI);
}

/* What an exit by an exception or an NMI says of itself; now and then what none can say. */
static void set_random_exception(enum mode mode)
{
    static const uint16_t infos[] = {0x202, 0x301, 0x501, 0xb11, 0x312};
    uint64_t info = infos[unit_random_below(ARRAY_LENGTH(infos))];
    if (mode == REAL && info == 0xb11)
        info = 0x301;
    if (one_in(8))
        info = unit_random() & 0xfff;
    fake_set_vmcs(VMCS_EXIT_INTERRUPTION_INFO, VALID | info);
    fake_set_vmcs(VMCS_EXIT_INTERRUPTION_ERROR_CODE, 0);
    fake_set_vmcs(VMCS_GUEST_CR4, fake_vmcs(VMCS_GUEST_CR4) | CR4_MCE);
}

static void set_random_exit(uint32_t reason)
{
    uint64_t *regs = (uint64_t *)&cpu.vcpu.regs;
    enum mode mode = (enum mode)unit_random_below(MODES);
    bool delivering = (reason == 0 || reason == 48) && one_in(2);

    set_random_mode(mode);
    set_random_shadow(!delivering);
    fake_set_vmcs(VMCS_IDT_VECTORING_INFO, unit_random() & 0x7fffffff); /* undefined: not valid */
    fake_set_vmcs(VMCS_ENTRY_INTERRUPTION_INFO, 0);                     /* an exit clears it */
    if (delivering)
        set_random_delivery(mode);
    set_random_exception(mode);
    if (reason == 8) { /* the NMI window: it opens under blocking by STI at most */
        fake_set_vmcs(VMCS_GUEST_INTERRUPTIBILITY,
                      fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_STI);
        cpu.vcpu.nmi_pending = one_in(2);
        cpu.vcpu.machine_check_pending = one_in(2);
    }
    for (unsigned i = 0; i < sizeof(cpu.vcpu.regs) / 8; i++)
        regs[i] = unit_random() >> unit_random_below(64);
    if (reason == 30) /* what a processor can report: 1, 2 or 4 bytes */
        fake_set_vmcs(VMCS_EXIT_QUALIFICATION,
                      (BIT(unit_random_below(3)) - 1) | (unit_random() & 0xffff0018));
    else
        fake_set_vmcs(VMCS_EXIT_QUALIFICATION, unit_random() >> unit_random_below(64));
    fake_set_vmcs(VMCS_GUEST_PHYSICAL_ADDRESS, unit_random() >> unit_random_below(64));
    fake_set_vmcs(VMCS_GUEST_LINEAR_ADDRESS, unit_random());
    fake.ports = fake.stores = 0;
}

/* As the run loop; false: the guest does not run again. */
static bool carry_out_any(struct answer answer)
{
    switch (answer.kind) {
    case ANSWER_INJECT:
        return event_inject((enum vector)answer.vector, answer.has_error, answer.error);
    case ANSWER_NMI:
        event_nmi(&cpu.vcpu);
        event_retry(false);
        return true;
    case ANSWER_ADVANCE:
    case ANSWER_RETRY:
        carry_out(answer);
        return true;
    default:
        return answer.kind == ANSWER_RESUME;
    }
}

/*
 * No qualification, register or address makes a handler panic, shows Keel's memory, or leads
 * to a state that VM entry refuses.
 */
TEST(random_exits)
{
    static const uint8_t reasons[] = {0, 8, 10, 13, 18, 28, 30, 31, 32, 48, 55};
    unsigned entries = 0;
    fixture_start();
    fake_set_vmcs(VMCS_GUEST_IA32_PAT, PAT_RESET);
    for (unsigned round = 0; round < 60000; round++) {
        uint32_t reason = reasons[unit_random_below(ARRAY_LENGTH(reasons))];
        set_random_exit(reason);
        NOTE("round %u, reason %u, before: %s", round, reason, fake_check_entry());
        CHECK(fake_check_entry() == NULL);
        struct answer answer = guest_handle_exit(&cpu, reason);
        CHECK(answer.kind <= ANSWER_STOP);
        if (carry_out_any(answer)) {
            NOTE("round %u, reason %u, answer %u: %s", round, reason, answer.kind,
                 fake_check_entry());
            CHECK(fake_check_entry() == NULL);
            entries++;
        }
    }
    CHECK(entries > 30000);
    for (uint64_t page = 0x80000000; page < 0x80400000; page += PAGE_SIZE)
        CHECK(!pt_lookup(&guest.ept.pt, page).present);
}

/* A user program can put an INT1 at the end of the first 4 GiB in compatibility mode. */
TEST(int1_wraps_as_eip_does)
{
    fixture_start();
    fake_set_vmcs(VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc0fb);
    fake_set_vmcs(VMCS_GUEST_IA32_EFER, EFER_LMA);
    fake_set_vmcs(VMCS_GUEST_RIP, 0xffffffff);
    fake_set_vmcs(VMCS_EXIT_INSTRUCTION_LENGTH, 1);
    CHECK_EQ(except(5, 1, false).kind, ANSWER_INJECT);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0);
}
