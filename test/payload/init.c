/*
 * INIT and SIPI: the state that they leave, register by register, and storms of them.
 * SDM Vol. 3A, Table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or
 * INIT", "Local APIC State After It Receives an INIT Reset (Wait-for-SIPI State)".
 */
#include "test/payload/lib/payload.h"
#include "test/payload/lib/snapshot.h"

#define AP             1u
#define ROUNDS         100
#define INITS          200 /* in a round, at most */
#define SIPIS          8   /* after each */
#define PAGE           0x08
#define PATTERN        0x5ca1ab1e
#define GARBAGE        0xdeadbeef
#define SETTLE         100000
#define PENDING_VECTOR 0x41
#define SERVICE_VECTOR 0x91

#define MSR_VALUES 6
static const struct {
    const char *name;
    uint32_t msr;
    uint64_t before;
} kept_msrs[MSR_VALUES] = {
    {"KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0x123456789abc},
    {"TSC_AUX", MSR_TSC_AUX, 0x1234567},
    {"SYSENTER_CS", MSR_SYSENTER_CS, 0x77},
    {"PAT", MSR_PAT, 0x0007040600070401},
    {"LSTAR", 0xc0000082, 0x7654321000},
    {"FMASK", 0xc0000084, 0x4700},
};

static const struct {
    const char *name;
    unsigned reg;
    uint32_t before;
    uint32_t after;
} apic_registers[] = {
    {"TPR", APIC_TPR, 0x20, 0},
    {"LDR", APIC_LDR, 0x02000000, 0},
    {"DFR", APIC_DFR, 0x0fffffff, 0xffffffff},
    {"SVR", APIC_SVR, 0x1ff, 0xff},
    {"LVT timer", APIC_TIMER, 0x10055, 0x10000},
    {"LVT LINT0", APIC_LINT0, 0x10056, 0x10000},
    {"LVT LINT1", APIC_LINT1, 0x00400, 0x10000},
    {"LVT error", APIC_ERROR, 0x00057, 0x10000},
    {"timer divide", APIC_TIMER_DIVIDE, 0xb, 0},
    {"timer count", APIC_TIMER_COUNT, 0x7fffffff, 0},
};
#define APIC_REGISTERS (sizeof(apic_registers) / sizeof(apic_registers[0]))

static uint64_t msrs_seen[MSR_VALUES], apic_base_seen, fs_base_seen, xmm_seen;
static uint32_t apic_seen[APIC_REGISTERS], apic_id_seen;
static uint16_t fcw_seen, tr_seen, ldtr_seen;

/* The AP's tasks. None returns but the last one. */

static void fill_registers(void)
{
    static const uint16_t control_word = 0x027f;

    for (unsigned i = 0; i < MSR_VALUES; i++)
        wrmsr(kept_msrs[i].msr, kept_msrs[i].before);
    for (unsigned i = 0; i < APIC_REGISTERS; i++)
        apic_write(apic_registers[i].reg, apic_registers[i].before);
    write_cr4(read_cr4() | CR4_OSFXSR);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1); /* SCE */
    __asm__ volatile("fldcw %0" : : "m"(control_word));
    __asm__ volatile("movq %0, %%xmm5" : : "r"(0x1122334455667788));
    write_cr2(0xfeedface000);
    write_db0(0x1111000);
    write_db1(0x2222000);
    write_db2(0x3333000);
    write_db3(0x4444000);
    write_db6(0xffff4ff5);
    write_db7(0x4c1); /* LE-like bits and DR3's enable: nothing is at its address */
    wrmsr(MSR_FS_BASE, 0x7000000);
    this_cpu()->progress++;
    __asm__ volatile("mov $0xdeadbeefdeadbeef, %%rax\n"
                     "mov %%rax, %%rbx\n mov %%rax, %%rcx\n mov %%rax, %%rdx\n"
                     "mov %%rax, %%rsi\n mov %%rax, %%rdi\n mov %%rax, %%rbp\n"
                     "mov %%rax, %%r8\n mov %%rax, %%r9\n mov %%rax, %%r10\n mov %%rax, %%r11\n"
                     "mov %%rax, %%r12\n mov %%rax, %%r13\n mov %%rax, %%r14\n mov %%rax, %%r15\n"
                     "stc\n std\n"
                     "1: jmp 1b"
                     :
                     :
                     : "memory");
}

static void look_at_registers(void)
{
    for (unsigned i = 0; i < MSR_VALUES; i++)
        msrs_seen[i] = rdmsr(kept_msrs[i].msr);
    for (unsigned i = 0; i < APIC_REGISTERS; i++)
        apic_seen[i] = apic_read(apic_registers[i].reg);
    apic_id_seen = apic_read(APIC_ID) >> 24;
    apic_base_seen = rdmsr(MSR_APIC_BASE);
    fs_base_seen = rdmsr(MSR_FS_BASE);
    __asm__ volatile("fnstcw %0" : "=m"(fcw_seen));
    write_cr4(read_cr4() | CR4_OSFXSR);
    __asm__ volatile("movq %%xmm5, %0" : "=r"(xmm_seen));
    __asm__ volatile("str %0\n sldt %1" : "=r"(tr_seen), "=r"(ldtr_seen));
}

static void spin(void)
{
    for (;;)
        this_cpu()->progress++;
}

static void spin_with_interrupts(void)
{
    __asm__ volatile("sti");
    spin();
}

static void halt(void)
{
    for (;;) {
        this_cpu()->progress++;
        __asm__ volatile("cli; hlt");
    }
}

static void halt_with_interrupts(void)
{
    for (;;) {
        this_cpu()->progress++;
        __asm__ volatile("sti; hlt");
    }
}

static void loop_cpuid(void)
{
    for (;;) {
        this_cpu()->progress++;
        cpuid(0, 0);
    }
}

static void loop_rdmsr(void)
{
    for (;;) {
        this_cpu()->progress++;
        rdmsr(MSR_FEATURE_CONTROL);
    }
}

static void stay_in_nmi(struct trap_frame *frame)
{
    (void)frame;
    spin();
}

static void enable_interrupts_a_while(void)
{
    apic_enable();
    __asm__ volatile("sti");
    delay(SETTLE);
    __asm__ volatile("cli");
}

/* Starts task on the AP and waits until it is at it. */
static bool begin(void (*task)(void))
{
    uint64_t before = cpus[AP].progress;
    cpu_run(AP, task);
    bool begun = wait_change64(&cpus[AP].progress, before);
    delay(SETTLE / 10);
    return begun;
}

static void check_snapshot(void)
{
    const struct snapshot *s = snapshot_of(PAGE);
    uint32_t signature = cpuid(1, 0).eax;

    check("EAX", s->eax, 0);
    check("EBX", s->ebx, 0);
    check("ECX", s->ecx, 0);
    check("EDX is the processor's signature", s->edx, signature);
    check("ESI", s->esi, 0);
    check("EDI", s->edi, 0);
    check("EBP", s->ebp, 0);
    check("ESP", s->esp, 0);
    check("EFLAGS", s->eflags, 2);
    /* CD and NW are as they were, which was 0. */
    check("CR0", s->cr0, CR0_ET);
    check("CR2", s->cr2, 0);
    check("CR3", s->cr3, 0);
    check("CR4", s->cr4, 0);
    check("CS", s->cs, PAGE << 8);
    check("DS", s->ds, 0);
    check("ES", s->es, 0);
    check("SS", s->ss, 0);
    check("FS", s->fs, 0);
    check("GS", s->gs, 0);
    check("base of ES", s->es_probe, PATTERN);
    check("base of FS", s->fs_probe, PATTERN);
    check("base of GS", s->gs_probe, PATTERN);
    check("base of GDTR", s->gdtr_base[0] | (uint32_t)s->gdtr_base[1] << 16, 0);
    check("limit of GDTR", s->gdtr_limit, 0xffff);
    check("base of IDTR", s->idtr_base[0] | (uint32_t)s->idtr_base[1] << 16, 0);
    check("limit of IDTR", s->idtr_limit, 0xffff);
    check("DR0", s->dr0, 0);
    check("DR1", s->dr1, 0);
    check("DR2", s->dr2, 0);
    check("DR3", s->dr3, 0);
    check("DR6", s->dr6, DR6_INIT);
    check("DR7", s->dr7, DR7_INIT);
    check("EFER", s->efer, 0);
}

static void check_kept(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE) & ~(uint64_t)0x100; /* this CPU is the boot CPU */
    for (unsigned i = 0; i < MSR_VALUES; i++) {
        check_of("kept over INIT", kept_msrs[i].name, msrs_seen[i], kept_msrs[i].before);
    }
    for (unsigned i = 0; i < APIC_REGISTERS; i++) {
        check_of("APIC as INIT leaves it", apic_registers[i].name, apic_seen[i],
                 apic_registers[i].after);
    }
    check("APIC id", apic_id_seen, AP);
    check("APIC base", apic_base_seen, base);
    check("FS base", fs_base_seen, 0);
    check("x87 control word is kept", fcw_seen, 0x027f);
    check("XMM5 is kept", xmm_seen, 0x1122334455667788);
}

static void test_state(void)
{
    *(volatile uint32_t *)SNAPSHOT_PROBE = PATTERN;
    *(volatile uint32_t *)(0x7000000 + SNAPSHOT_PROBE) = GARBAGE;
    if (!check_true("the AP starts", cpu_start(AP, PAGE)))
        return;
    check("APIC id at the start", this_cpu()->index, 0);
    check_true("the AP fills its registers", begin(fill_registers));
    check_true("the AP starts anew", cpu_start(AP, PAGE));
    check_snapshot();
    cpu_run(AP, look_at_registers);
    check_true("the AP looks at its registers", cpu_wait(AP));
    check_kept();
}

/* As test_state(), with caching off before: INIT keeps CD and NW. */
static void disable_caching(void)
{
    write_cr0(read_cr0() | CR0_CD);
    this_cpu()->progress++;
    for (;;)
        pause();
}

static void test_caching(void)
{
    check_true("the AP turns caching off", begin(disable_caching));
    check_true("and starts anew", cpu_start(AP, PAGE));
    check("CR0 keeps CD", snapshot_of(PAGE)->cr0, CR0_ET | CR0_CD);
}

/*
 * INIT, SIPI, SIPI at once, while the AP is at task. SIPIs may come before the AP waits for
 * them, and Bochs 3.0 drops an INIT that comes in VMX root operation, where a processor
 * keeps it: then once more. What must not happen is two starts, or none.
 */
static void storm(const char *name, void (*task)(void), uint32_t destination)
{
    uint32_t starts = cpus[AP].starts, inits = 0, begun = 0, came = 0;
    for (unsigned round = 0; round < ROUNDS && came == round; round++) {
        uint32_t before = cpus[AP].starts;
        begun += begin(task);
        for (unsigned i = 0; i < INITS && cpus[AP].starts == before; i++) {
            delay(i * 37 % 101); /* not always at the same place of the AP's loop */
            inits++;
            apic_send(AP, destination | ICR_INIT);
            apic_send(AP, destination | ICR_STARTUP | PAGE);
            apic_send(AP, destination | ICR_STARTUP | PAGE);
            for (unsigned j = 0; j < SIPIS && cpus[AP].starts == before; j++) {
                delay(1000);
                apic_send(AP, destination | ICR_STARTUP | PAGE);
            }
        }
        delay(2000);
        came += cpus[AP].starts != before;
    }
    print("# %s: %u INITs in %u rounds\n", name, inits, ROUNDS);
    check_of(name, "begun", begun, ROUNDS);
    check_of(name, "came", came, ROUNDS);
    check_of(name, "no start too many", cpus[AP].starts - starts, ROUNDS);
}

static void test_vectors(void)
{
    static const uint8_t vectors[] = {0x01, 0x10, 0x5a, 0x80};
    for (unsigned i = 0; i < sizeof(vectors); i++) {
        bool started = cpu_start(AP, vectors[i]);
        print("vector 0x%x\n", vectors[i]);
        check("starts there", started ? cpus[AP].page : 0, (uint64_t)vectors[i] << 12);
        check("CS", snapshot_of(vectors[i])->cs, (uint64_t)vectors[i] << 8);
    }
}

static void test_sipi_while_running(void)
{
    uint32_t before = cpus[AP].starts;
    check_true("the AP runs", begin(spin));
    for (unsigned i = 0; i < 10; i++) {
        apic_send(AP, ICR_STARTUP | PAGE);
        delay(1000);
    }
    delay(SETTLE);
    check("SIPI to a running CPU is ignored", cpus[AP].starts, before);
    check_true("which goes on", wait_change64(&cpus[AP].progress, cpus[AP].progress));
}

static void test_no_sipi_before_init(void)
{
    uint32_t before = cpus[AP].starts;
    check_true("the AP runs again", begin(spin));
    apic_send(AP, ICR_STARTUP | PAGE);
    apic_send(AP, ICR_INIT);
    delay(SETTLE);
    check("a SIPI before the INIT is not kept", cpus[AP].starts, before);
    check_true("one after it counts", cpu_startup(AP, PAGE, before));
    delay(SETTLE);
    check("once", cpus[AP].starts, before + 1);
}

static void test_repeated_init(void)
{
    uint32_t before = cpus[AP].starts;
    for (unsigned i = 0; i < 10; i++)
        apic_send(AP, ICR_INIT);
    delay(SETTLE);
    apic_send(AP, ICR_INIT);
    delay(SETTLE);
    check("repeated INIT: the AP waits", cpus[AP].starts, before);
    check_true("repeated INIT: it starts", cpu_startup(AP, PAGE, before));
    apic_send(AP, ICR_INIT_LEVEL);
    delay(SETTLE);
    apic_send(AP, ICR_DEASSERT);
    delay(SETTLE);
    check_true("INIT and its end as Linux sends them", cpu_startup(AP, PAGE, before + 1));
    apic_send(AP, ICR_DEASSERT);
    check_true("the end of an INIT alone does nothing", begin(spin));
}

static void test_init_in_nmi(void)
{
    uint32_t nmis;
    trap_handlers[VECTOR_NMI] = stay_in_nmi;
    check_true("INIT in an NMI handler: begun", begin(spin));
    nmis = cpus[AP].traps[VECTOR_NMI];
    apic_send(AP, ICR_NMI);
    check_true("INIT in an NMI handler: NMI", wait_change(&cpus[AP].traps[VECTOR_NMI], nmis));
    delay(SETTLE);
    check_true("INIT in an NMI handler: starts", cpu_start(AP, PAGE));
    nmis = cpus[AP].traps[VECTOR_NMI];
    check_true("after it: begun", begin(spin));
    apic_send(AP, ICR_NMI);
    check_true("after it: NMIs come again", wait_change(&cpus[AP].traps[VECTOR_NMI], nmis));
    check_true("after it: starts", cpu_start(AP, PAGE));
    trap_handlers[VECTOR_NMI] = NULL;
}

/* The AP in real mode has no handler: an interrupt that outlives the INIT would show later. */
static void test_pending_interrupt(void)
{
    uint32_t before;
    check_true("an interrupt waits", begin(spin));
    before = cpus[AP].traps[PENDING_VECTOR];
    apic_send(AP, ICR_FIXED | PENDING_VECTOR);
    delay(SETTLE);
    check_true("the AP starts anew after it", cpu_start(AP, PAGE));
    cpu_run(AP, enable_interrupts_a_while);
    check_true("and takes interrupts", cpu_wait(AP));
    check("INIT drops interrupts that wait", cpus[AP].traps[PENDING_VECTOR], before);
}

/* In an interrupt's handler, which has not ended it. */
static void stay_in_interrupt(struct trap_frame *frame)
{
    (void)frame;
    spin();
}

static void enable_and_spin(void)
{
    apic_enable();
    spin_with_interrupts();
}

static void test_interrupt_in_service(void)
{
    uint32_t before = cpus[AP].traps[SERVICE_VECTOR];
    trap_handlers[SERVICE_VECTOR] = stay_in_interrupt;
    check_true("the AP takes interrupts", begin(enable_and_spin));
    apic_send(AP, ICR_FIXED | SERVICE_VECTOR);
    check_true("it serves one", wait_change(&cpus[AP].traps[SERVICE_VECTOR], before));
    check_true("the AP starts anew in it", cpu_start(AP, PAGE));
    before = cpus[AP].traps[PENDING_VECTOR];
    cpu_run(AP, enable_interrupts_a_while);
    delay(SETTLE / 10);
    apic_send(AP, ICR_FIXED | PENDING_VECTOR);
    check_true("and takes interrupts again", cpu_wait(AP));
    check("INIT ends interrupts in service", cpus[AP].traps[PENDING_VECTOR] - before, 1);
    trap_handlers[SERVICE_VECTOR] = NULL;
}

static void storms(void)
{
    storm("spin", spin, 0);
    storm("spin with interrupts", spin_with_interrupts, 0);
    storm("halt", halt, 0);
    storm("halt with interrupts", halt_with_interrupts, 0);
    storm("CPUID", loop_cpuid, 0);
    storm("RDMSR", loop_rdmsr, 0);
    if (cpu_count == 2)
        storm("broadcast", loop_cpuid, ICR_ALL_BUT_SELF);
}

static void enter_x2(void)
{
    apic_enter_x2();
}

static void look_at_apic_mode(void)
{
    apic_base_seen = rdmsr(MSR_APIC_BASE);
}

static void test_x2apic(void)
{
    if (!apic_has_x2()) {
        print("no x2APIC\n");
        return;
    }
    cpu_run(AP, enter_x2);
    check_true("the AP enters x2APIC mode", cpu_wait(AP));
    apic_enter_x2();
    check_true("x2APIC: the AP starts", cpu_start(AP, PAGE));
    cpu_run(AP, look_at_apic_mode);
    check_true("x2APIC: and runs", cpu_wait(AP));
    check("x2APIC: INIT keeps the mode", apic_base_seen, rdmsr(MSR_APIC_BASE) & ~(uint64_t)0x100);
    storm("x2APIC spin", spin, 0);
    storm("x2APIC CPUID", loop_cpuid, 0);
    storm("x2APIC halt", halt, 0);
}

void payload_run(void)
{
    test_state();
    test_caching();
    test_vectors();
    check_true("back to the first page", cpu_start(AP, PAGE));
    storms();
    test_sipi_while_running();
    test_no_sipi_before_init();
    test_repeated_init();
    check_true("the AP starts once more", cpu_start(AP, PAGE));
    test_init_in_nmi();
    test_pending_interrupt();
    test_interrupt_in_service();
    test_x2apic();
}
