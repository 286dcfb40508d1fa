/* See timer.h. ACPI Specification 6.5, "Power Management Timer". */
#include "drivers/timer.h"

#include "x86/ops.h"

#define PM_TIMER_HZ  3579545u
#define PM_TIMER_MAX 0xffffffu /* it has 24 bits, perhaps more */
#define TSC_MHZ_MAX  6000u
#define COUNT_TRIES  10000 /* reads, of a microsecond or so: it counts in that time, or never */

static uint16_t timer_port;

void timer_init(uint16_t port)
{
    uint32_t start = port != 0 ? ops_in32(port) : 0;
    timer_port = 0;
    for (unsigned i = 0; port != 0 && i < COUNT_TRIES; i++) {
        if (ops_in32(port) != start) {
            timer_port = port;
            break;
        }
    }
}

void timer_wait_us(uint32_t us)
{
    if (timer_port == 0) {
        uint64_t start = ops_rdtsc();
        while (ops_rdtsc() - start < (uint64_t)us * TSC_MHZ_MAX)
            ops_pause();
        return;
    }
    uint32_t ticks = (uint32_t)((uint64_t)us * PM_TIMER_HZ / 1000000) + 1;
    uint32_t start = ops_in32(timer_port);
    while (((ops_in32(timer_port) - start) & PM_TIMER_MAX) < ticks)
        ops_pause();
}
