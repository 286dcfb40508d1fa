/*
 * The local APIC. SDM Vol. 3A, "Interrupt Command Register (ICR)", "Local APIC State After It
 * Receives an INIT Reset (Wait-for-SIPI State)", "Extended XAPIC (x2APIC)". The registers' page
 * is a model that sees each access; those of x2APIC mode are MSRs.
 */
#include "unit.h"

#include "drivers/apic.h"
#include "fake.h"
#include "registers.h"
#include "x86/msr.h"

/* SDM Vol. 3A, Table "Local APIC Register Address Map"; the MSR is 0x800 and a sixteenth. */
#define ID            0x020
#define VERSION       0x030
#define TPR           0x080
#define EOI           0x0b0
#define LDR           0x0d0
#define DFR           0x0e0
#define SVR           0x0f0
#define ISR           0x100
#define TMR           0x180
#define IRR           0x200
#define ESR           0x280
#define CMCI          0x2f0
#define ICR_LOW       0x300
#define ICR_HIGH      0x310
#define LVT_TIMER     0x320
#define LVT_ERROR     0x370
#define INITIAL_COUNT 0x380
#define CURRENT_COUNT 0x390
#define DIVIDE        0x3e0

#define PENDING BIT(12)
#define BASE    UINT64_C(0xfee00000)

struct access {
    unsigned offset;
    uint32_t value;
    bool pending; /* an interrupt was still being sent when it came */
};

static struct access writes[256];
static unsigned write_count, accesses, busy_after, busy;
static uint8_t *page;

static uint32_t get(unsigned offset)
{
    return *(uint32_t *)(page + offset);
}

static void set(unsigned offset, uint32_t value)
{
    *(uint32_t *)(page + offset) = value;
}

/* Delivery status: bit 12 of the ICR is 1 for that many reads of it. */
static void before_read(uint8_t *registers, unsigned offset)
{
    (void)registers;
    accesses++;
    if (offset != ICR_LOW)
        return;
    set(ICR_LOW, (get(ICR_LOW) & ~(uint32_t)PENDING) | (busy > 0 ? PENDING : 0));
    busy -= busy > 0;
}

static void after_write(uint8_t *registers, unsigned offset)
{
    (void)registers;
    accesses++;
    if (write_count < ARRAY_LENGTH(writes))
        writes[write_count++] = (struct access){offset, get(offset), busy > 0};
    if (offset == ICR_LOW)
        busy = busy_after;
    if (offset == EOI) { /* ends the highest interrupt in service */
        for (unsigned reg = ISR + 0x70; reg >= ISR; reg -= 0x10) {
            uint32_t bits = get(reg);
            if (bits != 0) {
                set(reg, bits & ~(UINT32_C(1) << (31 - __builtin_clz(bits))));
                break;
            }
        }
    }
}

static const struct fake_registers model = {before_read, NULL, after_write};

static void start_xapic(void)
{
    fake_reset();
    fake_set_msr(IA32_APIC_BASE, BASE | APIC_BASE_ENABLE | APIC_BASE_BSP);
    write_count = accesses = busy_after = busy = 0;
    page = fake_registers_start(&model);
    apic_init(page);
}

/* Only what x2APIC mode has exists: no DFR, no second half of the ICR; ids are read-only. */
static void start_x2apic(unsigned max_lvt)
{
    static const uint16_t writable[] = {0x808, 0x80b, 0x80f, 0x828, 0x830, 0x832, 0x833,
                                        0x834, 0x835, 0x836, 0x837, 0x838, 0x83e};
    start_xapic();
    fake_set_msr(IA32_APIC_BASE, BASE | APIC_BASE_ENABLE | APIC_BASE_EXTD);
    for (unsigned i = 0; i < ARRAY_LENGTH(writable); i++)
        fake_set_msr(writable[i], 0x5a);
    fake_set_msr_read_only(0x802, 0x12345);
    fake_set_msr_read_only(0x803, max_lvt << 16 | 0x15);
    fake_set_msr_read_only(0x80d, 0x10020);
    fake_set_msr_read_only(0x839, 0x77);
    for (uint32_t msr = 0x810; msr < 0x828; msr++)
        fake_set_msr_read_only(msr, 0);
    if (max_lvt >= 6)
        fake_set_msr(0x82f, 0x5a);
}

/* Delivery mode in bits 10:8, level "assert" in 14, trigger mode edge, destination shorthand. */
TEST(command_words)
{
    CHECK_EQ(APIC_NMI, 4 << 8 | 1 << 14);
    CHECK_EQ(APIC_INIT, 5 << 8 | 1 << 14);
    CHECK_EQ(APIC_STARTUP, 6 << 8 | 1 << 14);
    CHECK_EQ(APIC_ALL_BUT_SELF, 3 << 18);
    /* "Typical BSP Initialization Sequence" */
    CHECK_EQ(APIC_ALL_BUT_SELF | APIC_INIT, 0x000c4500);
    CHECK_EQ(APIC_ALL_BUT_SELF | APIC_STARTUP | 0x9a, 0x000c469a);
}

TEST(modes_and_ids)
{
    start_xapic();
    set(ID, 0xab000000);
    CHECK_EQ(apic_id(), 0xab);
    CHECK(apic_is_enabled());
    fake_set_msr(IA32_APIC_BASE, BASE);
    CHECK(!apic_is_enabled());
    start_x2apic(6);
    CHECK(apic_is_enabled());
    CHECK_EQ(apic_id(), 0x12345);
    CHECK_EQ(accesses, 0);
}

/* The high half first, for the write of the low half sends; then the guest's high half again. */
TEST(sending_in_xapic_mode)
{
    static const uint32_t commands[] = {APIC_NMI, APIC_INIT, APIC_STARTUP | 0x9f};
    for (unsigned i = 0; i < ARRAY_LENGTH(commands); i++) {
        for (uint32_t id = 0; id < 255; id++) {
            start_xapic();
            set(ICR_HIGH, 0x5a000000);
            NOTE("command 0x%x to %u", commands[i], id);
            fake_registers_watch(true);
            apic_send(id, commands[i]);
            fake_registers_watch(false);
            CHECK_EQ(write_count, 3);
            CHECK_EQ(writes[0].offset, ICR_HIGH);
            CHECK_EQ(writes[0].value, id << 24);
            CHECK_EQ(writes[1].offset, ICR_LOW);
            CHECK_EQ(writes[1].value, commands[i]);
            CHECK_EQ(writes[2].offset, ICR_HIGH);
            CHECK_EQ(writes[2].value, 0x5a000000);
        }
    }
}

/* One CPU may not write the ICR while its APIC is still sending: the guest's, then Keel's. */
TEST(sending_waits_until_the_register_is_idle)
{
    for (unsigned before = 0; before < 20; before += 3) {
        for (unsigned after = 0; after < 20; after += 3) {
            start_xapic();
            busy = before;
            busy_after = after;
            NOTE("idle after %u reads, then after %u", before, after);
            fake_registers_watch(true);
            apic_send(7, APIC_NMI);
            fake_registers_watch(false);
            CHECK_EQ(write_count, 3);
            for (unsigned i = 0; i < write_count; i++)
                CHECK(!writes[i].pending);
        }
    }
}

/* A register that is never idle does not hang Keel. */
TEST(a_register_that_is_never_idle)
{
    start_xapic();
    set(ICR_LOW, PENDING); /* plain memory: nobody clears it */
    apic_send(7, APIC_NMI);
    CHECK_EQ(get(ICR_LOW), APIC_NMI);
    CHECK_EQ(get(ICR_HIGH), 0);
}

/* "A shorthand ... the destination field is not used"; one command to all but this CPU. */
TEST(broadcasts)
{
    start_xapic();
    set(ICR_HIGH, 0xff000000);
    fake_registers_watch(true);
    apic_send(0, APIC_ALL_BUT_SELF | APIC_STARTUP | 8);
    fake_registers_watch(false);
    unsigned sent = 0;
    for (unsigned i = 0; i < write_count; i++) {
        if (writes[i].offset == ICR_LOW) {
            CHECK_EQ(writes[i].value, 0x000c4608);
            sent++;
        }
    }
    CHECK_EQ(sent, 1);
    CHECK_EQ(get(ICR_HIGH), 0xff000000);
}

/* "ICR Operation in x2APIC Mode": one MSR of 64 bits, ids of 32, no delivery status. */
TEST(sending_in_x2apic_mode)
{
    static const uint32_t ids[] = {0, 1, 254, 255, 256, 0x10000, 0xfffffffe};
    for (unsigned i = 0; i < ARRAY_LENGTH(ids); i++) {
        start_x2apic(6);
        fake_registers_watch(true);
        apic_send(ids[i], APIC_NMI);
        fake_registers_watch(false);
        CHECK_EQ(fake_msr(0x830), (uint64_t)ids[i] << 32 | APIC_NMI);
        CHECK_EQ(accesses, 0);
    }
    apic_send(0, APIC_ALL_BUT_SELF | APIC_INIT);
    CHECK_EQ((uint32_t)fake_msr(0x830), 0x000c4500);
}

/* Every register holds something; the ids, and what cannot be written, are what they are. */
static void fill_registers(unsigned max_lvt)
{
    start_xapic();
    for (unsigned offset = 0; offset < 0x400; offset += 16)
        set(offset, 0x00a5a5a5);
    set(ID, 0x33000000);
    set(VERSION, max_lvt << 16 | 0x15);
    for (unsigned i = 0; i < 8; i++) {
        set(ISR + 16 * i, 0);
        set(IRR + 16 * i, 0);
    }
}

static bool is_read_only(unsigned offset)
{
    return offset == VERSION || offset == 0x0a0 || (offset >= ISR && offset < ESR) ||
           offset == CURRENT_COUNT;
}

/* "... the APIC ID register is unaffected"; the others as after power-up. */
TEST(the_state_that_an_init_leaves)
{
    for (unsigned max_lvt = 5; max_lvt <= 6; max_lvt++) {
        fill_registers(max_lvt);
        NOTE("the highest LVT entry is %u", max_lvt);
        fake_registers_watch(true);
        apic_reset();
        fake_registers_watch(false);
        CHECK_EQ(get(TPR), 0);
        CHECK_EQ(get(LDR), 0);
        CHECK_EQ(get(DFR), 0xffffffff);
        CHECK_EQ(get(SVR), 0xff);
        CHECK_EQ(get(INITIAL_COUNT), 0);
        CHECK_EQ(get(DIVIDE), 0);
        for (unsigned entry = LVT_TIMER; entry <= LVT_ERROR; entry += 16)
            CHECK_EQ(get(entry), 0x10000);
        CHECK_EQ(get(CMCI), max_lvt == 6 ? 0x10000 : 0x00a5a5a5);
        CHECK_EQ(get(ID), 0x33000000);
        for (unsigned i = 0; i < write_count; i++) {
            CHECK(!is_read_only(writes[i].offset));
            CHECK(writes[i].offset != ICR_LOW); /* that would send something */
            CHECK(writes[i].offset != ID);
        }
    }
}

/* "IRR, ISR, TMR ...: reset to 0s": software can only end what is in service. */
TEST(an_init_leaves_nothing_in_service)
{
    fill_registers(6);
    set(ISR + 0x10, 1 << 3);
    set(ISR + 0x70, BIT(15) | 1);
    fake_registers_watch(true);
    apic_reset();
    fake_registers_watch(false);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(get(ISR + 16 * i), 0);
}

/* "After a software disable ... LVT entries' mask bits are set, and attempts to reset them are
 * ignored": the values must be there before; a timer that runs is stopped. */
TEST(an_init_in_x2apic_mode)
{
    for (unsigned max_lvt = 5; max_lvt <= 6; max_lvt++) {
        start_x2apic(max_lvt);
        fake_registers_watch(true);
        apic_reset();
        fake_registers_watch(false);
        CHECK_EQ(accesses, 0);
        CHECK_EQ(fake_msr(0x808), 0);
        CHECK_EQ(fake_msr(0x80f), 0xff);
        CHECK_EQ(fake_msr(0x828), 0); /* anything else faults */
        CHECK_EQ(fake_msr(0x830), 0x5a);
        CHECK_EQ(fake_msr(0x838), 0);
        CHECK_EQ(fake_msr(0x83e), 0);
        for (uint32_t msr = 0x832; msr <= 0x837; msr++)
            CHECK_EQ(fake_msr(msr), 0x10000);
        if (max_lvt == 6)
            CHECK_EQ(fake_msr(0x82f), 0x10000);
        CHECK_EQ(fake_msr(0x802), 0x12345);
        CHECK_EQ(fake_msr(IA32_APIC_BASE), BASE | APIC_BASE_ENABLE | APIC_BASE_EXTD);
    }
}

TEST(an_apic_that_is_off_is_left_alone)
{
    fill_registers(6);
    fake_set_msr(IA32_APIC_BASE, BASE);
    fake_registers_watch(true);
    apic_reset();
    fake_registers_watch(false);
    CHECK_EQ(accesses, 0);
}
