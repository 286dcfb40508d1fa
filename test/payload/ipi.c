/*
 * Interrupts between CPUs: a token goes round as an interrupt while the CPUs halt, spin or
 * execute what exits, and none is lost. SDM Vol. 3A, "Issuing Interprocessor Interrupts".
 */
#include "test/payload/lib/payload.h"

#define PAGE   0x08
#define ROUNDS 1000
#define TOKEN  0x60
#define OTHER  0x31
#define WAKE   0x32

static volatile uint32_t hops;
static volatile bool stop;
static void (*volatile idle)(void);

static void halt(void)
{
    __asm__ volatile("sti; hlt; cli");
}

static void spin(void)
{
    __asm__ volatile("sti; nop; cli");
}

static void execute_cpuid(void)
{
    __asm__ volatile("sti\n cpuid\n cli" : : "a"(0), "c"(0) : "rbx", "rdx", "memory");
}

static void execute_rdmsr(void)
{
    __asm__ volatile("sti" : : : "memory");
    rdmsr(MSR_FEATURE_CONTROL);
    __asm__ volatile("cli" : : : "memory");
}

static void pass_on(struct trap_frame *frame)
{
    unsigned next = (this_cpu()->index + 1) % cpu_count;
    (void)frame;
    apic_write(APIC_EOI, 0);
    if (++hops < ROUNDS * cpu_count)
        apic_send(next, ICR_FIXED | TOKEN);
}

static void wait_for_token(void)
{
    apic_enable();
    this_cpu()->progress++;
    while (!stop)
        idle();
}

static void test_round(const char *name, void (*how)(void))
{
    uint32_t before[CPU_MAX];
    uint64_t start = rdtsc();
    bool ended = true;

    stop = false;
    hops = 0;
    idle = how;
    for (unsigned i = 0; i < cpu_count; i++)
        before[i] = cpus[i].traps[TOKEN];
    for (unsigned i = 1; i < cpu_count; i++) {
        uint64_t progress = cpus[i].progress;
        cpu_run(i, wait_for_token);
        check_of(name, "begun", wait_change64(&cpus[i].progress, progress), true);
    }
    apic_send(1, ICR_FIXED | TOKEN);
    /* This CPU may not halt: without a token nothing would wake it for the time limit. */
    while (hops < ROUNDS * cpu_count && rdtsc() - start < 100000000)
        (how == halt ? spin : how)();
    stop = true;
    for (unsigned i = 1; i < cpu_count; i++) {
        apic_send(i, ICR_FIXED | WAKE);
        ended = ended && cpu_wait(i);
    }
    check_of(name, "hops", hops, (uint64_t)ROUNDS * cpu_count);
    check_of(name, "ended", ended, true);
    for (unsigned i = 0; i < cpu_count; i++)
        check_of(name, "tokens of a CPU", cpus[i].traps[TOKEN] - before[i], ROUNDS);
}

/* CR8 holds back what is not above it. */
static void test_priority(void)
{
    uint32_t before = cpus[0].traps[OTHER];
    write_cr8(0x3);
    apic_send(0, ICR_FIXED | OTHER);
    __asm__ volatile("sti");
    cpuid(0, 0);
    delay(10000);
    check("CR8 holds an interrupt back", cpus[0].traps[OTHER], before);
    write_cr8(0);
    __asm__ volatile("nop");
    check("and gives it free", cpus[0].traps[OTHER], before + 1);
    __asm__ volatile("cli");
}

static void test_broadcast(void)
{
    uint32_t before[CPU_MAX];
    stop = false;
    idle = execute_cpuid;
    for (unsigned i = 0; i < cpu_count; i++)
        before[i] = cpus[i].traps[OTHER];
    for (unsigned i = 1; i < cpu_count; i++)
        cpu_run(i, wait_for_token);
    delay(100000);
    for (unsigned round = 0; round < 100; round++) {
        uint32_t last = cpus[cpu_count - 1].traps[OTHER];
        apic_send(0, ICR_ALL_BUT_SELF | ICR_FIXED | OTHER);
        wait_change(&cpus[cpu_count - 1].traps[OTHER], last);
        delay(5000);
    }
    stop = true;
    for (unsigned i = 1; i < cpu_count; i++)
        check_true("broadcast: ended", cpu_wait(i));
    check("broadcast: not to self", cpus[0].traps[OTHER], before[0]);
    for (unsigned i = 1; i < cpu_count; i++)
        check("broadcast: each", cpus[i].traps[OTHER] - before[i], 100);
}

void payload_run(void)
{
    trap_handlers[TOKEN] = pass_on;
    for (unsigned i = 1; i < cpu_count; i++)
        check_true("an AP starts", cpu_start(i, PAGE));
    test_round("halt", halt);
    test_round("spin", spin);
    test_round("CPUID", execute_cpuid);
    test_round("RDMSR", execute_rdmsr);
    test_priority();
    test_broadcast();
}
