/* The local APIC, and the CPUs that it starts. SDM Vol. 3A, "Advanced Programmable
 * Interrupt Controller (APIC)", "Multiple-Processor (MP) Initialization". */
#include "test/payload/lib/payload.h"

#define APIC_PAGE     0xfee00000u
#define ICR_PENDING   0x1000
#define SVR_ENABLE    0x100
#define SPURIOUS      0xff
#define X2APIC_MSR    0x800
#define CPUID_X2APIC  0x200000
#define TSC_TIMEOUT   20000000 /* a second in Bochs as tools/bochs.py sets it */
#define STARTUP_TRIES 50
#define STARTUP_WAIT  20000

struct cpu cpus[CPU_MAX];
unsigned cpu_count;

extern const uint8_t ap_start[], ap_end[];

void ap_main(uint32_t index, uint64_t page);

static bool is_x2(void)
{
    return (rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD) != 0;
}

uint32_t apic_read(unsigned reg)
{
    if (is_x2())
        return (uint32_t)rdmsr(X2APIC_MSR + reg / 16);
    return *(volatile uint32_t *)(uintptr_t)(APIC_PAGE + reg);
}

void apic_write(unsigned reg, uint32_t value)
{
    if (is_x2())
        wrmsr(X2APIC_MSR + reg / 16, value);
    else
        *(volatile uint32_t *)(uintptr_t)(APIC_PAGE + reg) = value;
}

void apic_send(unsigned cpu, uint32_t command)
{
    if (is_x2()) {
        wrmsr(X2APIC_MSR + APIC_ICR / 16, (uint64_t)cpu << 32 | command);
        return;
    }
    apic_write(APIC_ICR2, cpu << 24);
    apic_write(APIC_ICR, command);
    while ((apic_read(APIC_ICR) & ICR_PENDING) != 0)
        pause();
}

void apic_enable(void)
{
    apic_write(APIC_SVR, SVR_ENABLE | SPURIOUS);
}

bool apic_has_x2(void)
{
    return (cpuid(1, 0).ecx & CPUID_X2APIC) != 0;
}

void apic_enter_x2(void)
{
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD);
}

void delay(uint64_t ticks)
{
    uint64_t start = rdtsc();
    while (rdtsc() - start < ticks)
        pause();
}

bool wait_change(const volatile uint32_t *what, uint32_t was)
{
    uint64_t start = rdtsc();
    while (*what == was && rdtsc() - start < TSC_TIMEOUT)
        pause();
    return *what != was;
}

bool wait_change64(const volatile uint64_t *what, uint64_t was)
{
    uint64_t start = rdtsc();
    while (*what == was && rdtsc() - start < TSC_TIMEOUT)
        pause();
    return *what != was;
}

void cpu_install(uint8_t vector)
{
    uint8_t *page = (uint8_t *)(uintptr_t)((uint32_t)vector << 12);
    size_t size = (size_t)(ap_end - ap_start);
    for (size_t i = 0; i < size; i++)
        page[i] = ap_start[i];
}

bool cpu_startup(unsigned cpu, uint8_t vector, uint32_t starts_before)
{
    for (unsigned i = 0; i < STARTUP_TRIES; i++) {
        apic_send(cpu, ICR_STARTUP | vector);
        uint64_t start = rdtsc();
        while (rdtsc() - start < STARTUP_WAIT) {
            if (cpus[cpu].starts != starts_before)
                return true;
            pause();
        }
    }
    return false;
}

bool cpu_start(unsigned cpu, uint8_t vector)
{
    uint32_t before = cpus[cpu].starts;
    cpu_install(vector);
    apic_send(cpu, ICR_INIT);
    delay(STARTUP_WAIT);
    return cpu_startup(cpu, vector, before);
}

void cpu_run(unsigned cpu, void (*task)(void))
{
    cpus[cpu].task = task;
}

bool cpu_wait(unsigned cpu)
{
    uint64_t start = rdtsc();
    while (cpus[cpu].task != NULL && rdtsc() - start < 4ull * TSC_TIMEOUT)
        pause();
    return cpus[cpu].task == NULL;
}

void ap_main(uint32_t index, uint64_t page)
{
    struct cpu *cpu = &cpus[index];
    trap_load();
    cpu->task = NULL;
    cpu->page = page;
    __atomic_fetch_add(&cpu->starts, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        void (*task)(void) = cpu->task;
        if (task == NULL) {
            pause();
            continue;
        }
        task();
        cpu->task = NULL;
    }
}
