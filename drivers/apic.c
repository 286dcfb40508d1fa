/* See apic.h. */
#include "drivers/apic.h"

#include "lib/bits.h"
#include "x86/msr.h"
#include "x86/ops.h"

/* Offsets in the page; the x2APIC MSR is IA32_X2APIC_FIRST plus a sixteenth of it. */
enum apic_register {
    APIC_ID = 0x020,
    APIC_TPR = 0x080,
    APIC_EOI = 0x0b0,
    APIC_LDR = 0x0d0,
    APIC_DFR = 0x0e0,
    APIC_SVR = 0x0f0,
    APIC_LVT_CMCI = 0x2f0,
    APIC_VERSION = 0x030,
    APIC_ISR = 0x100, /* eight, 0x10 apart */
    APIC_IRR = 0x200, /* likewise */
    APIC_ESR = 0x280,
    APIC_ICR_LOW = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320, /* then thermal, performance, LINT0, LINT1, error, 0x10 apart */
    APIC_TIMER_COUNT = 0x380,
    APIC_TIMER_DIVIDE = 0x3e0
};

#define ICR_PENDING    BIT(12)
#define LVT_MASKED     0x10000
#define SVR_RESET      0xff
#define SVR_ENABLE     BIT(8)
#define DFR_RESET      0xffffffffu
#define VERSION_MAXLVT MASK(23, 16)
#define MAXLVT_CMCI    6
#define LVT_ENTRIES    6
#define WAIT_LIMIT     1000000

static volatile uint8_t *page;

void apic_init(volatile void *registers)
{
    page = registers;
}

static bool is_x2apic(void)
{
    return (ops_rdmsr(IA32_APIC_BASE) & APIC_BASE_EXTD) != 0;
}

bool apic_is_enabled(void)
{
    return (ops_rdmsr(IA32_APIC_BASE) & APIC_BASE_ENABLE) != 0;
}

static uint32_t msr_of(unsigned reg)
{
    return IA32_X2APIC_FIRST + reg / 16;
}

static uint32_t read_register(unsigned reg)
{
    if (is_x2apic())
        return (uint32_t)ops_rdmsr(msr_of(reg));
    return *(volatile uint32_t *)(page + reg);
}

static void write_register(unsigned reg, uint32_t value)
{
    if (is_x2apic())
        (void)ops_wrmsr_safe(msr_of(reg), value);
    else
        *(volatile uint32_t *)(page + reg) = value;
}

uint32_t apic_id(void)
{
    return is_x2apic() ? read_register(APIC_ID) : read_register(APIC_ID) >> 24;
}

static void wait_idle(void)
{
    for (unsigned i = 0; i < WAIT_LIMIT && (read_register(APIC_ICR_LOW) & ICR_PENDING) != 0; i++)
        ops_pause();
}

void apic_send(uint32_t id, uint32_t command)
{
    if (is_x2apic()) {
        /* The whole register at once, and never pending. SDM Vol. 3A, "ICR Operation in x2APIC
         * Mode". */
        ops_wrmsr(msr_of(APIC_ICR_LOW), (uint64_t)id << 32 | command);
        return;
    }
    wait_idle();
    uint32_t high = read_register(APIC_ICR_HIGH);
    write_register(APIC_ICR_HIGH, id << 24);
    write_register(APIC_ICR_LOW, command);
    wait_idle();
    write_register(APIC_ICR_HIGH, high);
}

void apic_end_interrupt(void)
{
    write_register(APIC_EOI, 0);
}

/* Is there a bit in this register of 256? */
static bool any_vector(unsigned reg)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < 8; i++)
        bits |= read_register(reg + 16 * i);
    return bits != 0;
}

/* What is in service is ended, highest first, and what waits is taken: 256 vectors at most. */
static void drop_interrupts(void)
{
    for (unsigned i = 0; i < 256 && any_vector(APIC_ISR); i++)
        apic_end_interrupt();
    write_register(APIC_TPR, 0);
    write_register(APIC_SVR, SVR_RESET | SVR_ENABLE);
    for (unsigned i = 0; i < 256 && any_vector(APIC_IRR); i++)
        ops_take_interrupts();
}

/* SDM Vol. 3A, "Local APIC State After It Receives an INIT Reset (Wait-for-SIPI State)". */
void apic_reset(void)
{
    if (!apic_is_enabled())
        return;
    bool has_cmci = bits_get(read_register(APIC_VERSION), VERSION_MAXLVT) >= MAXLVT_CMCI;

    for (unsigned i = 0; i < LVT_ENTRIES; i++)
        write_register(APIC_LVT_TIMER + 16 * i, LVT_MASKED);
    if (has_cmci)
        write_register(APIC_LVT_CMCI, LVT_MASKED);
    write_register(APIC_TIMER_COUNT, 0);
    write_register(APIC_TIMER_DIVIDE, 0);
    drop_interrupts();
    write_register(APIC_ESR, 0);
    if (!is_x2apic()) { /* these are read-only, or absent, in x2APIC mode */
        write_register(APIC_LDR, 0);
        write_register(APIC_DFR, DFR_RESET);
    }
    write_register(APIC_SVR, SVR_RESET);
}
