/*
 * Kicks on one thread: what is sent to whom, and what a CPU does by itself. tsan_kick.c has
 * the CPUs that run at once.
 */
#include "unit.h"

#include <unistd.h>

#include "drivers/apic.h"
#include "fake.h"
#include "hv/kick.h"

#define CPUS 5

struct percpu *cpu_table[CPU_MAX];
uint32_t cpu_count;

static struct percpu percpu[CPUS];
static bool parks_first; /* CPU 4, with the NMI on its way */
static unsigned sent[CPUS], broadcasts, runs[CPUS], leftovers;

/* The CPU takes its NMI at once; the others' is the guest's. */
static void interrupt(struct percpu *cpu)
{
    void *before = fake_gs_pointer;
    fake_gs_pointer = cpu;
    if (!kick_answer(cpu))
        leftovers++;
    fake_gs_pointer = before;
}

void apic_send(uint32_t id, uint32_t command)
{
    if (command == (APIC_ALL_BUT_SELF | APIC_NMI)) {
        broadcasts++;
        return;
    }
    CHECK_EQ(command, APIC_NMI);
    CHECK(id % 100 == 0 && id / 100 < CPUS);
    sent[id / 100]++;
    if (parks_first && id == 400)
        kick_park(&percpu[4]);
    else
        interrupt(&percpu[id / 100]);
}

static void count_run(void)
{
    runs[this_cpu()->index]++;
}

static void start(uint32_t count)
{
    memset(percpu, 0, sizeof(percpu));
    memset(sent, 0, sizeof(sent));
    memset(runs, 0, sizeof(runs));
    broadcasts = leftovers = 0;
    parks_first = false;
    cpu_count = count;
    for (unsigned i = 0; i < CPUS; i++) {
        cpu_table[i] = &percpu[i];
        percpu[i].index = i;
        percpu[i].apic_id = 100 * i;
    }
    fake_gs_pointer = &percpu[2 % count];
}

TEST(all_but_the_parked_are_asked)
{
    for (unsigned parked = 0; parked < 1 << CPUS; parked++) {
        start(CPUS);
        for (unsigned i = 0; i < CPUS; i++)
            percpu[i].parked = parked >> i & 1;
        percpu[2].parked = 0; /* the kicker */
        NOTE("parked: 0x%x", parked);
        kick_all(count_run);
        kick_all(count_run);
        for (unsigned i = 0; i < CPUS; i++) {
            CHECK_EQ(sent[i], i == 2 || percpu[i].parked ? 0 : 2);
            CHECK_EQ(runs[i], percpu[i].parked ? 0 : 2);
            CHECK_EQ(percpu[i].kicked, 0);
        }
        CHECK_EQ(leftovers, 0);
    }
}

/* It cannot answer, perhaps for ever, and need not. */
TEST(a_cpu_that_parks_with_the_nmi_on_its_way)
{
    start(CPUS);
    parks_first = true;
    alarm(20); /* a kicker that waits for it waits for ever */
    kick_all(count_run);
    alarm(0);
    CHECK_EQ(sent[4], 1);
    CHECK_EQ(runs[4], 0);
    CHECK_EQ(percpu[4].kicked, 0);
    kick_unpark(&percpu[4]);
    CHECK(!kick_answer(&percpu[4]));
    parks_first = false;
    kick_all(count_run); /* from here on it is asked again */
    CHECK_EQ(runs[4], 1);
}

TEST(one_cpu_sends_nothing)
{
    start(1);
    kick_all(count_run);
    CHECK_EQ(runs[0], 1);
    CHECK_EQ(sent[0], 0);
    kick_stop_others();
    CHECK_EQ(broadcasts, 0);
}

TEST(an_nmi_that_is_no_kick)
{
    start(CPUS);
    CHECK(!kick_answer(&percpu[1]));
    CHECK_EQ(runs[1], 0);
}

/* A CPU that starts again drops what it has cached, and the NMI that has waited for it. */
TEST(unparking)
{
    start(CPUS);
    kick_park(&percpu[1]);
    CHECK(percpu[1].parked != 0);
    percpu[1].guest.vcpu.nmi_pending = true;
    kick_unpark(&percpu[1]);
    CHECK_EQ(percpu[1].parked, 0);
    CHECK_EQ(fake.invepts, 1);
    CHECK_EQ(fake.invept_type, 2); /* all contexts */
    CHECK_EQ(fake.nmi_unblocks, 1);
    CHECK(!percpu[1].guest.vcpu.nmi_pending);
}

/*
 * The NMI that has waited comes when they are unblocked. If a kicker could ask this CPU by
 * then, it would be taken for that kicker's, and the kicker's own for one of the guest's.
 */
static void waiting_nmi(void)
{
    CHECK(percpu[1].parked != 0);
    CHECK(!kick_answer(&percpu[1]));
    percpu[1].guest.vcpu.nmi_pending = true;
}

TEST(the_nmi_that_has_waited_is_nobodys)
{
    start(CPUS);
    kick_park(&percpu[1]);
    fake.on_unblock_nmi = waiting_nmi;
    kick_unpark(&percpu[1]);
    CHECK_EQ(fake.nmi_unblocks, 1);
    CHECK(!percpu[1].guest.vcpu.nmi_pending);
    CHECK_EQ(percpu[1].parked, 0);
}
