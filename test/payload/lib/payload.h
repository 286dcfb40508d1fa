/*
 * What every payload has: output on COM1, checks, traps, CPUs and their APICs. A payload
 * defines payload_run(), which CPU 0 executes; only CPU 0 prints.
 */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/payload/lib/layout.h"
#include "test/payload/lib/x86.h"

void payload_run(void);

/* Output: %s, %d (unsigned int), %x (unsigned int), %lx (uint64_t). Lines that begin with '#'
 * are remarks: two runs may differ in them. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints "PASS name" or "FAIL name: got ..., wanted ..."; check_of() prints "group: name". */
bool check(const char *name, uint64_t got, uint64_t wanted);
bool check_of(const char *group, const char *name, uint64_t got, uint64_t wanted);
bool check_true(const char *name, bool is_true);

/* Prints the verdict and turns the machine off. */
void finish(void) __attribute__((noreturn));

/* The command line's number after "name=", or otherwise. */
unsigned argument(const char *name, unsigned otherwise);

/* The Multiboot memory map. */
#define MEMORY_RAM 1
struct memory_range {
    uint64_t start;
    uint64_t size;
    uint32_t type;
};
extern struct memory_range memory_map[64];
extern unsigned memory_count;

/* Traps. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

#define NO_TRAP 0x100

struct trap_record {
    uint64_t vector; /* NO_TRAP if there was none */
    uint64_t error;
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr2;
    uint64_t dr6;
};

/* A handler has the trap to itself; without one an exception goes to cpu->recover and an
 * interrupt is counted and ended. */
typedef void (*trap_fn)(struct trap_frame *frame);
extern trap_fn trap_handlers[256];
void trap_load(void);

struct cpu {
    struct cpu *self;
    volatile uint64_t recover; /* where an exception without a handler goes on; used once */
    unsigned index;
    volatile uint32_t starts; /* by SIPI; kept over INIT */
    volatile uint64_t page;   /* where it started */
    void (*volatile task)(void);
    volatile uint64_t progress; /* for the task's own use */
    volatile uint32_t traps[256];
    volatile uint32_t all_traps;
    struct trap_record trap; /* the last one */
    uint32_t tss[26];
};
extern struct cpu cpus[CPU_MAX];
extern unsigned cpu_count;

static inline struct cpu *this_cpu(void)
{
    struct cpu *cpu;
    __asm__ volatile("mov %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

/* Executes code, which may fault: then it goes on behind it. Look at last_trap(). */
#define TRY(code)                                                                               \
    "movq $0x100, %%gs:" STRING(CPU_TRAP_VECTOR) "\n"                                           \
                                                 "movq $777f, %%gs:" STRING(                    \
                                                     CPU_RECOVER) "\n" code "\n"                \
                                                                  "777: movq $0, %%gs:" STRING( \
                                                                      CPU_RECOVER) "\n"
#define STRING(x)  STRING_(x)
#define STRING_(x) #x

#define CPU_TRAP_VECTOR 1080
_Static_assert(offsetof(struct cpu, self) == CPU_SELF, "layout.h");
_Static_assert(offsetof(struct cpu, recover) == CPU_RECOVER, "layout.h");
_Static_assert(offsetof(struct cpu, trap) == CPU_TRAP_VECTOR, "payload.h");

static inline const struct trap_record *last_trap(void)
{
    return &this_cpu()->trap;
}

/* Local APIC. */
#define ICR_FIXED        0x4000u
#define ICR_NMI          0x4400u
#define ICR_INIT         0x4500u
#define ICR_INIT_LEVEL   0xc500u /* as Linux sends it ... */
#define ICR_DEASSERT     0x8500u /* ... and takes it back */
#define ICR_STARTUP      0x4600u
#define ICR_SELF         0x40000u
#define ICR_ALL_BUT_SELF 0xc0000u

#define APIC_ID           0x020
#define APIC_TPR          0x080
#define APIC_EOI          0x0b0
#define APIC_LDR          0x0d0
#define APIC_DFR          0x0e0
#define APIC_SVR          0x0f0
#define APIC_ICR          0x300
#define APIC_ICR2         0x310
#define APIC_TIMER        0x320
#define APIC_LINT0        0x350
#define APIC_LINT1        0x360
#define APIC_ERROR        0x370
#define APIC_TIMER_COUNT  0x380
#define APIC_TIMER_DIVIDE 0x3e0

uint32_t apic_read(unsigned reg);
void apic_write(unsigned reg, uint32_t value);
void apic_send(unsigned cpu, uint32_t command);
void apic_enable(void);
bool apic_has_x2(void);
void apic_enter_x2(void);

/* Time, by TSC: as many ticks as Bochs executes instructions for one CPU. */
void delay(uint64_t ticks);

/* Waits until *what is no longer was, or for some seconds; did it change? */
bool wait_change(const volatile uint32_t *what, uint32_t was);
bool wait_change64(const volatile uint64_t *what, uint64_t was);

/* CPUs. Puts the start code into the page of a SIPI's vector. */
void cpu_install(uint8_t vector);
/* INIT, SIPI, and more SIPIs until it has come; false if it never does. */
bool cpu_start(unsigned cpu, uint8_t vector);
/* SIPIs until it has come. */
bool cpu_startup(unsigned cpu, uint8_t vector, uint32_t starts_before);
/* Has cpu, which waits for work, execute task; does not wait for its end. */
void cpu_run(unsigned cpu, void (*task)(void));
/* Waits for the end of its task. */
bool cpu_wait(unsigned cpu);

#endif
