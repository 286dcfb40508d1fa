/*
 * Waiting by ACPI's power management timer, or without it. ACPI Specification 6.5, "Power
 * Management Timer": 3.579545 MHz, 24 or 32 bits.
 */
#include "unit.h"

#include "drivers/timer.h"
#include "fake.h"

#define PORT 0x608

static uint64_t ticks; /* since the machine was switched on */
static uint32_t mask;
static unsigned step, reads;
static bool elsewhere;

static uint32_t count(uint16_t port, unsigned size)
{
    elsewhere = elsewhere || port != PORT || size != 4;
    reads++;
    ticks += step;
    return (uint32_t)ticks & mask;
}

/* How many ticks a wait takes that begins at start. */
static uint64_t wait_from(uint64_t start, uint32_t us)
{
    fake_reset();
    fake.port_in = count;
    elsewhere = false;
    timer_init(PORT); /* sees whether it counts */
    ticks = start;
    reads = 0;
    timer_wait_us(us);
    CHECK(!elsewhere);
    return ticks - start;
}

static void expect_wait(uint64_t start, uint32_t us)
{
    NOTE("%u us from tick 0x%lx, %u a read, mask 0x%x", us, start, step, mask);
    uint64_t waited = wait_from(start, us);
    CHECK(waited * 1000000 >= (uint64_t)us * 3579545);
    /* one for the tick that had begun, one for rounding, and the reads themselves */
    CHECK(waited <= (uint64_t)us * 3579545 / 1000000 + 2 + 3 * step);
}

TEST(a_wait_is_long_enough_and_no_longer)
{
    static const uint32_t waits[] = {0, 1, 2, 10, 200, 1000, 10000, 1000000};
    mask = 0xffffff;
    for (unsigned i = 0; i < ARRAY_LENGTH(waits); i++) {
        step = waits[i] > 10000 ? 64 : 1;
        expect_wait(0x1234, waits[i]);
    }
}

/* Wherever it begins, past the end of 24 bits, or of 32 where there are so many. */
TEST(the_counter_wraps)
{
    static const uint32_t masks[] = {0xffffff, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_LENGTH(masks); i++) {
        mask = masks[i];
        step = 1;
        for (unsigned before = 0; before < 1000; before += 7)
            expect_wait((uint64_t)mask + 1 - before, 200);
        step = 97;
        for (unsigned round = 0; round < 200; round++)
            expect_wait(unit_random() & mask, (uint32_t)unit_random_below(1000001));
        expect_wait(mask, 1000000);
    }
}

/* A timer that stands still must not hang the boot: the TSC takes its place. */
TEST(a_timer_that_does_not_count)
{
    fake_reset();
    fake.port_in = count;
    step = 0;
    mask = 0xffffff;
    timer_init(PORT);
    reads = 0;
    timer_wait_us(1000);
    CHECK_EQ(reads, 0);
}

/* Without a timer by the TSC, as if it were as fast as any: 6 GHz. */
TEST(without_a_timer)
{
    static const uint32_t waits[] = {0, 1, 200};
    for (unsigned i = 0; i < ARRAY_LENGTH(waits); i++) {
        fake_reset();
        fake.tsc = UINT64_MAX - 1000; /* it may wrap */
        timer_init(0);
        timer_wait_us(waits[i]);
        CHECK(fake.tsc + 1000 + 1 >= (uint64_t)waits[i] * 6000);
        CHECK(fake.tsc + 1000 + 1 <= (uint64_t)waits[i] * 6000 + 4);
        CHECK_EQ(fake.ports, 0);
    }
}
