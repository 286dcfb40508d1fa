/*
 * NMIs: each that is sent with enough distance arrives exactly once, whatever the CPU is
 * doing; those that come during the handler are latched as one; IRET unblocks them.
 * SDM Vol. 3A, "Nonmaskable Interrupt (NMI)", "Handling Multiple NMIs".
 */
#include "test/payload/lib/payload.h"

#define AP     1u
#define PAGE   0x08
#define ROUNDS 300
#define SETTLE 50000

static volatile uint32_t in_handler, release, depth, deepest, nested, bad_place;
extern const char after_mov_ss[], after_mov_ss_2[];

/*
 * The AP's tasks; they end when told to. None has exceptions that do not exit: with several CPUs,
 * Bochs 3.0 saves the faulting instruction's RIP with the handler's RSP when a VM exit for an NMI
 * comes before the first instruction of an exception's handler.
 */
static volatile bool stop;

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
TASK(loop_rdmsr, rdmsr(MSR_FEATURE_CONTROL))
TASK(loop_cr0, write_cr0(read_cr0() ^ 0x20)) /* NE */
TASK(halt, __asm__ volatile("cli; hlt"))
TASK(halt_with_interrupts, __asm__ volatile("sti; hlt; cli"))
TASK(shadow_sti, __asm__ volatile("sti\n cpuid\n cli\n"
                                  :
                                  : "a"(0), "c"(0)
                                  : "rbx", "rdx", "memory"))
TASK(shadow_sti_halt, __asm__ volatile("sti\n cpuid\n hlt\n cli\n"
                                       :
                                       : "a"(0), "c"(0)
                                       : "rbx", "rdx", "memory"))
TASK(shadow_mov_ss, __asm__ volatile("mov %%ss, %%edx\n mov %%edx, %%ss\n"
                                     "after_mov_ss: cpuid\n"
                                     "mov %%ss, %%edx\n mov %%edx, %%ss\n"
                                     "after_mov_ss_2: nop\n"
                                     :
                                     : "a"(0), "c"(0)
                                     : "rbx", "rdx", "memory"))
TASK(loop_vmcall, __asm__ volatile(TRY("vmcall") : : : "memory"))
TASK(loop_int1, __asm__ volatile(TRY(".byte 0xf1") : : : "memory"))

static void look_at_place(struct trap_frame *frame)
{
    if (frame->rip == (uintptr_t)after_mov_ss || frame->rip == (uintptr_t)after_mov_ss_2)
        bad_place++;
}

static void wait_release(struct trap_frame *frame)
{
    (void)frame;
    in_handler++;
    while (in_handler > release)
        cpuid(0, 0);
}

/* The first of two asks for the second with NMIs blocked; then an IRET unblocks them. */
static void end_by_iret(struct trap_frame *frame)
{
    (void)frame;
    if (++depth > deepest)
        deepest = depth;
    if (depth == 1) {
        apic_send(this_cpu()->index, ICR_NMI);
        for (unsigned i = 0; i < 100; i++)
            cpuid(0, 0);
        if (deepest == 1)
            nested |= 1; /* still blocked here */
        __asm__ volatile("int3");
        delay(1000);
        if (deepest == 2)
            nested |= 2; /* the IRET of INT3's handler unblocked them */
    }
    depth--;
}

static void ignore(struct trap_frame *frame)
{
    (void)frame;
}

static bool begin(void (*task)(void))
{
    uint64_t before = cpus[AP].progress;
    stop = false;
    cpu_run(AP, task);
    bool begun = wait_change64(&cpus[AP].progress, before);
    delay(1000);
    return begun;
}

static void end_task(void)
{
    stop = true;
    delay(SETTLE);
    if (cpus[AP].task != NULL)
        apic_send(AP, ICR_NMI); /* for those that halt */
    check_true("the task ends", cpu_wait(AP));
}

static void test_each_once(const char *name, void (*task)(void))
{
    uint32_t start, came = 0, wrong = 0;
    trap_handlers[VECTOR_NMI] = look_at_place;
    check_of(name, "begun", begin(task), true);
    start = cpus[AP].traps[VECTOR_NMI];
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t before = cpus[AP].traps[VECTOR_NMI];
        delay(i * 37 % 200);
        apic_send(AP, ICR_NMI);
        came += wait_change(&cpus[AP].traps[VECTOR_NMI], before);
        delay(500);
        wrong += cpus[AP].traps[VECTOR_NMI] != before + 1;
        if (came != i + 1)
            break;
    }
    check_of(name, "each NMI came", came, ROUNDS);
    check_of(name, "at once", wrong, 0);
    check_of(name, "no NMI too many", cpus[AP].traps[VECTOR_NMI] - start, ROUNDS);
    end_task();
}

/* Without distance: some are latched as one, but the CPU lives and the next one comes. */
static void test_storm(const char *name, void (*task)(void))
{
    uint32_t start, before;
    trap_handlers[VECTOR_NMI] = look_at_place;
    check_of(name, "storm begun", begin(task), true);
    start = cpus[AP].traps[VECTOR_NMI];
    for (unsigned i = 0; i < 10 * ROUNDS; i++)
        apic_send(AP, ICR_NMI);
    delay(SETTLE);
    before = cpus[AP].traps[VECTOR_NMI];
    print("# %s: %u of %u NMIs of the storm came\n", name, before - start, 10 * ROUNDS);
    check_of(name, "storm: some came", before != start, true);
    check_of(name, "storm: not more than were sent", before - start <= 10 * ROUNDS, true);
    apic_send(AP, ICR_NMI);
    check_of(name, "storm: one after it comes", wait_change(&cpus[AP].traps[VECTOR_NMI], before),
             true);
    delay(SETTLE);
    check_of(name, "storm: once", cpus[AP].traps[VECTOR_NMI], before + 1);
    end_task();
}

static void test_latched(void)
{
    uint32_t start, wrong = 0;
    trap_handlers[VECTOR_NMI] = wait_release;
    check_true("latch: begun", begin(loop_cpuid));
    start = cpus[AP].traps[VECTOR_NMI];
    for (unsigned i = 0; i < 20; i++) {
        uint32_t in = in_handler;
        apic_send(AP, ICR_NMI);
        wait_change(&in_handler, in);
        for (unsigned j = 0; j < 5; j++) {
            apic_send(AP, ICR_NMI);
            delay(300);
        }
        wrong += in_handler != in + 1;
        release = in + 1;
        wait_change(&in_handler, in + 1);
        release = in + 2;
        delay(SETTLE / 10);
        wrong += in_handler != in + 2;
    }
    check("latch: five during the handler are one after it", wrong, 0);
    check("latch: two for each round", cpus[AP].traps[VECTOR_NMI] - start, 40);
    release = UINT32_MAX;
    end_task();
}

static void test_self(void)
{
    uint32_t start = cpus[0].traps[VECTOR_NMI], wrong = 0;
    trap_handlers[VECTOR_NMI] = look_at_place;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t before = cpus[0].traps[VECTOR_NMI];
        apic_send(0, ICR_NMI);
        cpuid(0, 0);
        delay(200);
        wrong += cpus[0].traps[VECTOR_NMI] != before + 1;
    }
    check("to self: each came", wrong, 0);
    check("to self: no NMI too many", cpus[0].traps[VECTOR_NMI] - start, ROUNDS);
}

static void test_iret(void)
{
    uint32_t start = cpus[0].traps[VECTOR_NMI];
    trap_handlers[VECTOR_NMI] = end_by_iret;
    trap_handlers[VECTOR_BP] = ignore;
    apic_send(0, ICR_NMI);
    delay(SETTLE);
    check("IRET: blocked before, not after", nested, 3);
    check("IRET: one in the other", deepest, 2);
    check("IRET: two", cpus[0].traps[VECTOR_NMI] - start, 2);
    trap_handlers[VECTOR_NMI] = look_at_place;
    apic_send(0, ICR_NMI);
    delay(SETTLE);
    check("IRET: unblocked afterwards", cpus[0].traps[VECTOR_NMI] - start, 3);
}

static const struct {
    const char *name;
    void (*task)(void);
} tasks[] = {
    {"spin", spin},
    {"CPUID", loop_cpuid},
    {"RDMSR", loop_rdmsr},
    {"MOV CR0", loop_cr0},
    {"HLT", halt},
    {"HLT with interrupts", halt_with_interrupts},
    {"shadow of STI", shadow_sti},
    {"shadow of STI, HLT", shadow_sti_halt},
    {"shadow of MOV SS", shadow_mov_ss},
    {"#UD by VMCALL", loop_vmcall},
    {"INT1", loop_int1},
};

void payload_run(void)
{
    check_true("the AP starts", cpu_start(AP, PAGE));
    for (unsigned i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        test_each_once(tasks[i].name, tasks[i].task);
        test_storm(tasks[i].name, tasks[i].task);
    }
    check("no NMI right behind MOV SS", bad_place, 0);
    test_latched();
    test_self();
    test_iret();
}
