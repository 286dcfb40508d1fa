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
static unsigned write_count, accesses, busy_before, busy_after, busy;
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
    write_count = accesses = busy_before = busy_after = busy = 0;
    page = fake_registers_start(&model);
    apic_init(page);
}

/* Only what x2APIC mode has exists: no DFR, no second half of the ICR; ids are read-only. */
static void start_x2apic(unsigned max_lvt)
{
    static const uint16_t writable[] = {0x808, 0x80b, 0x80f, 0x828, 0x830, 0x832,
                                        0x833, 0x834, 0x835, 0x836, 0x837, 0x838, 0x83e};
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
    fake_registers_stop();
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

TEST(sending_in_xapic_mode)
{
    static const uint32_t commands[] = {APIC_NMI, APIC_INIT, APIC_STARTUP | 0x9f,
                                        APIC_ALL_BUT_SELF | APIC_INIT};
    for (unsigned i = 0; i < ARRAY_LENGTH(commands); i++) {
        for (uint32_t id = 0; id < 255; id += 17) {
            start_xapic();
            fake_registers_stop();
            set(ICR_HIGH, 0x5a000000);
            set(ID, 0x33000000);
            CHECK_EQ(mprotect_registers(), 0);
            NOTE("command 0x%x to %u", commands[i], id);
            apic_send(id, commands[i]);
            fake_registers_stop();
            CHECK_EQ(write_count, 3);
            CHECK_EQ(writes[0].offset, ICR_HIGH);
            CHECK_EQ(writes[0].value, id << 24);
            CHECK_EQ(writes[1].offset, ICR_LOW);
            CHECK_EQ(writes[1].value, commands[i]);
            CHECK_EQ(get(ICR_HIGH), 0x5a000000);
        }
    }
}
