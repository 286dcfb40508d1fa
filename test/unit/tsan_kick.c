/*
 * Kicks between CPUs that are threads: the contract of hv/kick.h. What a kick is for is
 * modelled as well: a version that a CPU has cached must not be older, while it is in the
 * guest, than one that a kick has made known.
 */
#include "unit.h"

#include "drivers/apic.h"
#include "hv/kick.h"
#include "hv/panic.h"
#include "hv/trap.h"
#include "lib/lock.h"
#include "threads.h"
#include "vmx/event.h"
#include "vmx/vmx.h"

#define CPUS   4
#define ROUNDS 10000
#define LIMIT  60 /* seconds */

struct percpu *cpu_table[CPU_MAX];
uint32_t cpu_count;

/* What hv/trap.c wants beside the handler. */
extern const uint8_t trap_stubs[];
extern const uint64_t fixup_start[], fixup_end[];
const uint8_t trap_stubs[1] = {0};
const uint64_t fixup_start[1] = {0}, fixup_end[1] = {0};

static struct percpu percpu[CPUS];
static uint32_t version, required; /* atomic: in memory, and that each CPU must know of */
static uint32_t cached[CPUS];
static uint32_t runs[CPUS][CPUS]; /* by kicker, and CPU that ran its function */
static bool flushed_unparked[CPUS];
static uint32_t started, finished, guest_nmis, late_nmis, broadcasts;
static struct lock lock;

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void add(uint32_t *word, uint32_t value)
{
    __atomic_add_fetch(word, value, __ATOMIC_SEQ_CST);
}

/* No interrupts come here: only NMIs do. */
void apic_end_interrupt(void)
{
}

void apic_send(uint32_t id, uint32_t command)
{
    static _Thread_local unsigned sends;
    if (command == (APIC_ALL_BUT_SELF | APIC_NMI)) {
        add(&broadcasts, 1);
        for (unsigned i = 0; i < CPUS; i++) {
            if (&percpu[i] != this_cpu())
                threads_send_nmi(i);
        }
        return;
    }
    for (unsigned i = sends++ % 8; i > 0; i--)
        ops_pause(); /* the register may have to become idle */
    EXPECT(command == APIC_NMI && id >= 100 && id < 100 + CPUS && id != this_cpu()->apic_id);
    threads_send_nmi(id - 100);
}

void vmx_flush_ept(void)
{
    flushed_unparked[this_cpu()->index] = this_cpu()->parked == 0;
    cached[this_cpu()->index] = load(&version);
}

void event_nmi(struct vcpu *vcpu)
{
    vcpu->nmi_pending = true;
}

void event_machine_check(struct vcpu *vcpu)
{
    (void)vcpu;
}

void panic_trap(const struct trap_frame *frame)
{
    panic("an exception: %lu", frame->vector);
}

static void nmi(void)
{
    struct trap_frame frame = {.vector = VECTOR_NMI};
    trap_handle(&frame);
}

/* Each kicker has a function of its own, so that it is seen who ran it for whom. */
static void run_for(unsigned kicker)
{
    runs[kicker][this_cpu()->index]++;
    vmx_flush_ept();
}

static void run_for_0(void)
{
    run_for(0);
}

static void run_for_1(void)
{
    run_for(1);
}

static void run_for_2(void)
{
    run_for(2);
}

static void run_for_3(void)
{
    run_for(3);
}

static const kick_fn functions[CPUS] = {run_for_0, run_for_1, run_for_2, run_for_3};

static void begin(void)
{
    memset(percpu, 0, sizeof(percpu));
    memset(runs, 0, sizeof(runs));
    memset(cached, 0, sizeof(cached));
    version = required = started = finished = guest_nmis = late_nmis = broadcasts = 0;
    cpu_count = CPUS;
    for (unsigned i = 0; i < CPUS; i++) {
        cpu_table[i] = &percpu[i];
        percpu[i].index = i;
        percpu[i].apic_id = 100 + i;
        percpu[i].guest_ready = true;
    }
    threads_nmi_handler = nmi;
    threads_set_limit(LIMIT);
}

static void (*body_of_all)(void *);

/* None begins before all can take an NMI. */
static void run_body(void *gs)
{
    add(&started, 1);
    while (load(&started) < CPUS)
        ops_pause();
    body_of_all(gs);
}

static void start_cpus(void (*body)(void *))
{
    body_of_all = body;
    for (unsigned i = 0; i < CPUS; i++)
        threads_start(i, run_body, &percpu[i]);
}

static void run_cpus(void (*body)(void *))
{
    start_cpus(body);
    for (unsigned i = 0; i < CPUS; i++)
        threads_join(i);
    threads_set_limit(0);
    CHECK(!threads_failed());
}

/* The NMI exit of the run loop: see ANSWER_NMI there. */
static void answer_nmi_exit(struct percpu *cpu)
{
    if (!kick_answer(cpu))
        event_nmi(&cpu->guest.vcpu);
    ops_unblock_nmi();
}

/* In the guest for some steps, or until an NMI. */
static void run_in_guest(struct percpu *cpu, unsigned steps)
{
    threads_enter_guest();
    for (unsigned i = 0; i < steps && !threads_nmi_exit(); i++) {
        uint32_t must_know = load(&required);
        EXPECT((int32_t)(cached[cpu->index] - must_know) >= 0);
        ops_pause();
    }
    if (threads_leave_guest())
        answer_nmi_exit(cpu);
    if (cpu->guest.vcpu.nmi_pending) {
        cpu->guest.vcpu.nmi_pending = false;
        add(&guest_nmis, 1);
    }
}

/* Changes memory, has all drop what they have cached, and says so; as guest/memory.c does. */
static void change_and_kick(struct percpu *cpu)
{
    uint32_t mine = __atomic_add_fetch(&version, 1, __ATOMIC_RELAXED);
    kick_all(functions[cpu->index]);
    uint32_t known = load(&required);
    while ((int32_t)(known - mine) < 0 &&
           !__atomic_compare_exchange_n(&required, &known, mine, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
        ;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* CPU 0 kicks, the others are in the guest or between two exits: each answers each kick once. */
static void kick_always(void *gs)
{
    struct percpu *cpu = gs;
    if (cpu->index != 0) {
        while (load(&finished) == 0)
            run_in_guest(cpu, 20);
        return;
    }
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        change_and_kick(cpu);
        for (unsigned i = 0; i < CPUS; i++)
            EXPECT(runs[0][i] == round);
    }
    add(&finished, 1);
}

TEST(each_cpu_answers_each_kick_once)
{
    begin();
    run_cpus(kick_always);
    for (unsigned i = 0; i < CPUS; i++)
        CHECK_EQ(runs[0][i], ROUNDS);
    CHECK_EQ(guest_nmis, 0); /* no kick is taken for an NMI of the guest's */
}

/* All kick: one that waits for its turn must answer meanwhile. */
static void all_kick(void *gs)
{
    struct percpu *cpu = gs;
    for (uint32_t round = 1; round <= ROUNDS / CPUS; round++) {
        change_and_kick(cpu);
        for (unsigned i = 0; i < CPUS; i++)
            EXPECT(runs[cpu->index][i] == round);
        run_in_guest(cpu, round % 3);
    }
    add(&finished, 1);
    while (load(&finished) < CPUS)
        run_in_guest(cpu, 20);
}

TEST(kickers_take_turns)
{
    begin();
    run_cpus(all_kick);
    for (unsigned i = 0; i < CPUS; i++) {
        for (unsigned j = 0; j < CPUS; j++)
            CHECK_EQ(runs[i][j], ROUNDS / CPUS);
    }
    CHECK_EQ(guest_nmis, 0);
}

/* The kicker holds a lock that the others spin for: they answer from there. */
static void kick_under_a_lock(void *gs)
{
    struct percpu *cpu = gs;
    for (uint32_t round = 1; round <= ROUNDS / CPUS; round++) {
        lock_acquire(&lock);
        change_and_kick(cpu);
        for (unsigned i = 0; i < CPUS; i++)
            EXPECT(runs[cpu->index][i] == round);
        lock_release(&lock);
    }
    add(&finished, 1);
    while (load(&finished) < CPUS)
        run_in_guest(cpu, 20);
}

TEST(who_spins_for_a_lock_answers)
{
    begin();
    run_cpus(kick_under_a_lock);
    CHECK_EQ(runs[3][0], ROUNDS / CPUS);
}

/* An INIT takes the CPU out of the guest, a SIPI brings it back: as hv/run.c does both. */
static void park_and_start_again(struct percpu *cpu, unsigned steps)
{
    kick_park(cpu);
    ops_pause(); /* an NMI may still come before it waits, and be answered or not */
    threads_block_nmi();
    for (unsigned i = 0; i < steps; i++)
        ops_pause();
    if (threads_nmi_latched())
        add(&late_nmis, 1);
    flushed_unparked[cpu->index] = false;
    kick_unpark(cpu);
    /* who has been started must not be passed over while it looks at memory */
    EXPECT(flushed_unparked[cpu->index]);
    EXPECT(!cpu->guest.vcpu.nmi_pending); /* the NMI that has waited is nobody's */
}

static void park_and_kick(void *gs)
{
    struct percpu *cpu = gs;
    uint32_t state = cpu->index * 77 + 1;
    for (uint32_t round = 0; round < 10 * ROUNDS / CPUS; round++) {
        switch (next_random(&state) % 4) {
        case 0:
            park_and_start_again(cpu, next_random(&state) % 8);
            break;
        case 1:
            change_and_kick(cpu);
            break;
        default:
            run_in_guest(cpu, next_random(&state) % 8);
            break;
        }
    }
    kick_park(cpu); /* this CPU is gone, and nobody may wait for it */
}

TEST(cpus_park_while_others_kick)
{
    begin();
    run_cpus(park_and_kick);
    CHECK(version > ROUNDS / 8);
    CHECK(late_nmis > 0); /* else the test has not met what it is for */
    CHECK_EQ(guest_nmis, 0);
    for (unsigned i = 0; i < CPUS; i++) {
        uint32_t kicks = runs[i][i], others = 0;
        for (unsigned j = 0; j < CPUS; j++) {
            others += runs[i][j];
            CHECK(runs[i][j] <= version);
        }
        CHECK(kicks > 0 && others > kicks);
    }
}

/* Most are parked for long: a kick costs nobody's answer. */
static void park_for_long(void *gs)
{
    struct percpu *cpu = gs;
    if (cpu->index == 0) {
        for (uint32_t round = 1; round <= ROUNDS / 4; round++) {
            change_and_kick(cpu);
            EXPECT(runs[0][0] == round);
        }
        add(&finished, 1);
        return;
    }
    for (uint32_t round = 0; load(&finished) == 0; round++) {
        park_and_start_again(cpu, 100 * cpu->index);
        run_in_guest(cpu, 10);
    }
}

TEST(parked_cpus_are_not_waited_for)
{
    begin();
    run_cpus(park_for_long);
    CHECK_EQ(runs[0][0], ROUNDS / 4);
}

/* NMIs of the guest's own between kicks: some merge, as in hardware; never is one made up. */
static void kick_among_nmis(void *gs)
{
    struct percpu *cpu = gs;
    if (cpu->index == 0) {
        for (uint32_t round = 1; round <= ROUNDS / 8; round++)
            change_and_kick(cpu);
        add(&finished, 1);
        return;
    }
    for (uint32_t round = 0; load(&finished) == 0; round++) {
        if (cpu->index == 1 && round % 8 == 0 && load(&late_nmis) < 1000) {
            add(&late_nmis, 1);
            threads_send_nmi(2);
        }
        run_in_guest(cpu, 10);
    }
}

TEST(nmis_of_the_guest)
{
    begin();
    run_cpus(kick_among_nmis);
    CHECK(guest_nmis > 0 && guest_nmis <= late_nmis);
    for (unsigned i = 0; i < CPUS; i++)
        CHECK_EQ(runs[0][i], ROUNDS / 8);
}

/* The last test: the CPUs stay stopped. Two panic at once, and one of them sends. */
static void stop_all(void *gs)
{
    struct percpu *cpu = gs;
    if (cpu->index < 2)
        kick_stop_others();
    for (unsigned i = 0; i < 100 || cpu->index >= 2; i++)
        run_in_guest(cpu, 20);
    if (cpu->index < 2)
        add(&finished, 1);
}

TEST(stopping_the_others)
{
    unsigned stopped = 0;
    begin();
    start_cpus(stop_all);
    for (unsigned i = 0; i < CPUS; i++)
        stopped += threads_join(i);
    threads_set_limit(0);
    CHECK_EQ(broadcasts, 1);
    CHECK_EQ(stopped, CPUS - 1); /* all but the one whose panic came first */
    CHECK_EQ(finished, 1);
}
