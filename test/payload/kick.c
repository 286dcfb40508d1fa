/*
 * Changes of the MTRRs, for which a hypervisor has to interrupt all CPUs, while these wait
 * for SIPI, halt, take NMIs, are reset, or change the MTRRs themselves. Wants 4 CPUs.
 */
#include "test/payload/lib/payload.h"

#define PAGE   0x08
#define TARGET 1u
#define SENDER 2u
#define ROUNDS 10
#define SETTLE 20000

#define MTRR_BASE  0x20e /* variable range 7: of device memory that nobody uses */
#define MTRR_MASK  0x20f
#define RANGE      0xe0000000
#define RANGE_MASK 0xfff0000800 /* 1 MiB, valid */
#define WRITE_BACK 6

static volatile bool stop;
static volatile uint32_t sent, came, begun;

static void change_mtrrs(unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        wrmsr(MTRR_BASE, RANGE | WRITE_BACK);
        wrmsr(MTRR_MASK, RANGE_MASK);
        wrmsr(MTRR_MASK, 0);
    }
}

/* Tasks of the target. */
#define TASK(name, code)            \
    static void name(void)          \
    {                               \
        while (!stop) {             \
            this_cpu()->progress++; \
            code;                   \
        }                           \
    }

TASK(spin, )
TASK(loop_cpuid, cpuid(0, 0))
TASK(halt, __asm__ volatile("cli; hlt"))
TASK(halt_with_interrupts, __asm__ volatile("sti; hlt; cli"))
TASK(shadow, __asm__ volatile("mov %%ss, %%edx\n mov %%edx, %%ss\n cpuid\n sti\n cpuid\n cli"
                              :
                              : "a"(0), "c"(0)
                              : "rbx", "rdx", "memory"))
TASK(change_too, change_mtrrs(1))

static void ignore(struct trap_frame *frame)
{
    (void)frame;
}

static bool begin(unsigned cpu, void (*task)(void))
{
    uint64_t before = cpus[cpu].progress;
    cpu_run(cpu, task);
    bool has_begun = wait_change64(&cpus[cpu].progress, before);
    delay(1000);
    return has_begun;
}

static void test_task(const char *name, void (*task)(void))
{
    uint32_t nmis = cpus[TARGET].all_traps;
    stop = false;
    check_of(name, "begun", begin(TARGET, task), true);
    change_mtrrs(ROUNDS);
    delay(SETTLE);
    check_of(name, "no trap comes of it", cpus[TARGET].all_traps, nmis);
    stop = true;
    apic_send(TARGET, ICR_NMI); /* for those that halt */
    check_of(name, "ended", cpu_wait(TARGET), true);
    delay(SETTLE);
    check_of(name, "one NMI", cpus[TARGET].all_traps, nmis + 1);
}

/* What the sender does meanwhile. */

static void send_nmis(void)
{
    for (unsigned i = 0; i < 4 * ROUNDS; i++) {
        uint32_t before = cpus[TARGET].traps[VECTOR_NMI];
        uint64_t start = rdtsc();
        apic_send(TARGET, ICR_NMI);
        sent++;
        while (cpus[TARGET].traps[VECTOR_NMI] == before && rdtsc() - start < 200000)
            pause();
        came += cpus[TARGET].traps[VECTOR_NMI] == before + 1;
        delay(i * 13 % 100);
    }
}

static void send_inits(void)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t before = cpus[TARGET].starts;
        for (unsigned j = 0; j < 100 && cpus[TARGET].starts == before; j++) {
            apic_send(TARGET, ICR_INIT);
            for (unsigned k = 0; k < 20 && cpus[TARGET].starts == before; k++) {
                delay(1000);
                apic_send(TARGET, ICR_STARTUP | PAGE);
            }
        }
        came += cpus[TARGET].starts == before + 1;
        delay(i * 29 % 300);
        begun += begin(TARGET, loop_cpuid);
    }
}

static bool run_sender(void (*task)(void))
{
    stop = false;
    sent = came = begun = 0;
    cpu_run(SENDER, task);
    while (cpus[SENDER].task != NULL && cpus[SENDER].starts != 0)
        change_mtrrs(1);
    return true;
}

void payload_run(void)
{
    trap_handlers[VECTOR_NMI] = ignore;
    if (cpu_count < 4) {
        print("FAIL 4 CPUs are wanted\n");
        return;
    }
    uint64_t start = rdtsc();
    change_mtrrs(ROUNDS);
    print("# %u ticks for each change\n", (unsigned)(rdtsc() - start) / (3 * ROUNDS));
    check_true("no CPU has started yet", true);
    for (unsigned i = 1; i < cpu_count; i++)
        check_true("an AP starts", cpu_start(i, PAGE));
    change_mtrrs(ROUNDS);
    check_true("all are there", true);

    uint32_t before = cpus[TARGET].starts;
    apic_send(TARGET, ICR_INIT);
    change_mtrrs(ROUNDS);
    check("one waits for SIPI", cpus[TARGET].starts, before);
    check_true("it starts", cpu_startup(TARGET, PAGE, before));
    check("without an NMI", cpus[TARGET].all_traps, 0);

    test_task("spin", spin);
    test_task("CPUID", loop_cpuid);
    test_task("halt", halt);
    test_task("halt with interrupts", halt_with_interrupts);
    test_task("shadows", shadow);
    test_task("changes too", change_too);

    stop = false;
    for (unsigned i = 1; i < cpu_count; i++)
        check_of("all change them", "begun", begin(i, change_too), true);
    start = rdtsc();
    change_mtrrs(ROUNDS);
    print("# %u ticks for each change\n", (unsigned)(rdtsc() - start) / (3 * ROUNDS));
    stop = true;
    for (unsigned i = 1; i < cpu_count; i++)
        check_of("all change them", "ended", cpu_wait(i), true);

    stop = false;
    check_true("NMIs meanwhile: begun", begin(TARGET, loop_cpuid));
    before = cpus[TARGET].traps[VECTOR_NMI];
    run_sender(send_nmis);
    check("NMIs meanwhile: each came", came, sent);
    check("NMIs meanwhile: none too many", cpus[TARGET].traps[VECTOR_NMI] - before, sent);
    stop = true;
    check_true("NMIs meanwhile: ended", cpu_wait(TARGET));

    before = cpus[TARGET].starts;
    run_sender(send_inits);
    check("INITs meanwhile: each came", came, ROUNDS);
    check("INITs meanwhile: begun", begun, ROUNDS);
    check("INITs meanwhile: no start too many", cpus[TARGET].starts - before, ROUNDS);
    stop = true;
    check_true("INITs meanwhile: ended", cpu_wait(TARGET));
}
