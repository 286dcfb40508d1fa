/*
 * What RDMSR says of each MSR of the two ranges, and whether the value that it says may be
 * written back. Those that read as 0 are not named: Bochs knows few, and lets the others be
 * read as 0.
 */
#include "test/payload/lib/payload.h"

/* These change by themselves. */
static bool is_clock(uint32_t msr)
{
    return msr == 0x10 || msr == 0xe7 || msr == 0xe8 || (msr >= 0x30a && msr <= 0x30c);
}

/* Writing back a clock, or the APIC's registers, does something. */
static bool is_plain(uint32_t msr)
{
    return !is_clock(msr) && msr != 0x79 && (msr < 0x800 || msr > 0x8ff);
}

/* One line for MSRs that follow each other. */
static unsigned fault_count;
static void end_faults(uint32_t msr)
{
    if (fault_count == 1)
        print("MSR %x: #GP\n", msr - 1);
    else if (fault_count > 1)
        print("MSR %x to %x: #GP\n", msr - fault_count, msr - 1);
    fault_count = 0;
}

static void look_at(uint32_t msr)
{
    uint32_t low = 0, high = 0;
    __asm__ volatile(TRY("rdmsr") : "+a"(low), "+d"(high) : "c"(msr) : "memory");
    if (last_trap()->vector == VECTOR_GP) {
        fault_count++;
        return;
    }
    end_faults(msr);
    if ((low | high) == 0)
        return;
    if (is_clock(msr)) {
        print("MSR %x: a clock\n", msr);
        return;
    }
    print("MSR %x: 0x%lx", msr, low | (uint64_t)high << 32);
    if (is_plain(msr)) {
        __asm__ volatile(TRY("wrmsr") : : "a"(low), "d"(high), "c"(msr) : "memory");
        print(", %s", last_trap()->vector == NO_TRAP ? "written back" : "read only");
    }
    print("\n");
}

void payload_run(void)
{
    for (uint32_t msr = 0; msr < 0x2000; msr++)
        look_at(msr);
    end_faults(0x2000);
    for (uint32_t msr = 0xc0000000; msr < 0xc0002000; msr++)
        look_at(msr);
    end_faults(0xc0002000);
    check_true("all were read", true);
}
