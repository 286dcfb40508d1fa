/*
 * Single steps, breakpoints and the shadows of STI and MOV SS, across instructions that a
 * hypervisor emulates: the traps come where the processor makes them, and each once.
 * SDM Vol. 3B, "Debug Exceptions"; Vol. 2, "MOV", "STI".
 */
#include "test/payload/lib/payload.h"

#define TRAPS_MAX 8
#define VECTOR    0x50

#define DR7_L0           0x1
#define DR7_L1           0x4
#define DR7_GD           0x2000
#define DR7_RW1_WRITE_4  0x00d00000 /* DR1: writes and its length: 4 bytes */
#define DR7_RW1_ACCESS_2 0x00700000
#define DR6_B0           0x1
#define DR6_B1           0x2
#define DR6_BD           0x2000

/* The places of the code that is looked at. */
static uint64_t at_code, at_after, at_next, at_end;

static struct trap_record seen[TRAPS_MAX];
static unsigned count;

/* Notes #DB; goes on over a breakpoint, and ends single steps at the code's end. */
static void note(struct trap_frame *frame)
{
    if (count < TRAPS_MAX)
        seen[count] = *last_trap();
    count++;
    if ((last_trap()->dr6 & (DR6_B0 | DR6_B1)) != 0 && (last_trap()->dr6 & DR6_BS) == 0)
        frame->rflags |= RFLAGS_RF;
    if (frame->rip >= at_next || count >= TRAPS_MAX)
        frame->rflags &= ~(uint64_t)RFLAGS_TF;
    if (frame->vector != VECTOR_DB)
        frame->rip = at_after;
    write_db6(DR6_INIT);
}

static void forget(void)
{
    count = 0;
    for (unsigned i = 0; i < TRAPS_MAX; i++)
        seen[i] = (struct trap_record){NO_TRAP, 0, 0, 0, 0, 0};
    write_db6(DR6_INIT);
}

/* Where in the code, for names that do not depend on addresses. */
static uint64_t place(uint64_t rip)
{
    return rip == at_code ? 0 : rip == at_after ? 1 : rip == at_next ? 2 : rip == at_end ? 3 : rip;
}

/* The code with its places noted before; flags are set as wanted right before. */
#define CODE(flags, before, code, a, c, d)                                                   \
    do {                                                                                     \
        uint32_t a_ = (a), c_ = (c), d_ = (d);                                               \
        __asm__ volatile("movq $1f, %[at]\n movq $2f, %[after]\n"                            \
                         "movq $3f, %[next]\n movq $4f, %[end]\n"                            \
                         "mov %%ss, %%ebx\n"                                                 \
                         "pushfq\n orq $" flags ", (%%rsp)\n popfq\n" before "\n"            \
                         "1: " code "\n2: nop\n3: nop\n4: nop\n"                             \
                         "pushfq\n andq $~0x300, (%%rsp)\n popfq\n"                          \
                         : [at] "=m"(at_code), [after] "=m"(at_after), [next] "=m"(at_next), \
                           [end] "=m"(at_end), "+a"(a_), "+c"(c_), "+d"(d_)                  \
                         :                                                                   \
                         : "rbx", "memory", "cc");                                           \
    } while (0)

static void check_step(const char *name, unsigned i, uint64_t where, uint64_t dr6)
{
    check_of(name, "vector", seen[i].vector, VECTOR_DB);
    check_of(name, "place", place(seen[i].rip), where);
    check_of(name, "DR6", seen[i].dr6, DR6_INIT | dr6);
}

/* A trap behind the code and one behind the next instruction. */
static void check_two_steps(const char *name)
{
    check_of(name, "traps", count, 2);
    check_step(name, 0, 1, DR6_BS);
    check_step(name, 1, 2, DR6_BS);
    check_of(name, "RF and TF", seen[0].rflags & (RFLAGS_RF | RFLAGS_TF), RFLAGS_TF);
}

#define STEP_CODE(name, code)                                                                    \
    static __attribute__((noinline)) void step_##name(uint32_t a, uint32_t c, uint32_t d)        \
    {                                                                                            \
        CODE("0x100", "", code, a, c, d);                                                        \
    }                                                                                            \
    /* With a breakpoint on it, one behind it, and nothing else. */                              \
    static __attribute__((noinline)) void run_##name(uint32_t a, uint32_t c, uint32_t d)         \
    {                                                                                            \
        CODE("0", "", code, a, c, d);                                                            \
    }                                                                                            \
    static __attribute__((noinline)) void step_shadow_##name(uint32_t a, uint32_t c, uint32_t d) \
    {                                                                                            \
        CODE("0x100", "mov %%ebx, %%ss", code, a, c, d);                                         \
    }                                                                                            \
    static __attribute__((noinline)) void sti_##name(uint32_t a, uint32_t c, uint32_t d)         \
    {                                                                                            \
        CODE("0", "sti", code, a, c, d);                                                         \
    }

STEP_CODE(nop, "nop")
STEP_CODE(cpuid, "cpuid")
STEP_CODE(rdmsr_exits, "rdmsr")
STEP_CODE(rdmsr_passes, "rdmsr")
STEP_CODE(wrmsr_exits, "wrmsr")
STEP_CODE(xsetbv, "xsetbv")
STEP_CODE(mov_cr0, "mov %%rax, %%cr0")
STEP_CODE(mov_cr4, "mov %%rax, %%cr4")
STEP_CODE(wbinvd, "wbinvd")
STEP_CODE(in, "inb $0x61, %%al")
STEP_CODE(rdtsc, "rdtsc")

typedef void (*code_fn)(uint32_t a, uint32_t c, uint32_t d);

struct instruction {
    const char *name;
    code_fn step, run, step_shadow, sti;
    uint32_t a, c, d;
    bool flips_ne; /* a is CR0, with NE the other way */
};

#define ROW(name, ...)                                                              \
    {                                                                               \
#name, step_##name, run_##name, step_shadow_##name, sti_##name, __VA_ARGS__ \
    }
static struct instruction instructions[] = {
    ROW(nop, 0, 0, 0, false),
    ROW(cpuid, 0, 0, 0, false),
    ROW(rdmsr_exits, 0, MSR_FEATURE_CONTROL, 0, false),
    ROW(rdmsr_passes, 0, MSR_PAT, 0, false),
    ROW(wrmsr_exits, 0, 0x8b, 0, false),
    ROW(mov_cr0, 0, 0, 0, true),
    ROW(mov_cr4, 0, 0, 0, false),
    ROW(wbinvd, 0, 0, 0, false),
    ROW(in, 0, 0, 0, false),
    ROW(rdtsc, 0, 0, 0, false),
    ROW(xsetbv, 1, 0, 0, false),
};
#define INSTRUCTIONS (sizeof(instructions) / sizeof(instructions[0]))

static char name_buffer[64];
static const char *name_of(const char *what, const struct instruction *instruction)
{
    char *to = name_buffer;
    for (const char *p = what; *p != '\0'; p++)
        *to++ = *p;
    for (const char *p = instruction->name; *p != '\0'; p++)
        *to++ = *p;
    *to = '\0';
    return name_buffer;
}

static void execute(const struct instruction *i, code_fn fn)
{
    uint32_t a = i->a;
    if (i->flips_ne)
        a = (uint32_t)read_cr0() ^ 0x20;
    if (fn == i->step || fn == i->run || fn == i->step_shadow || fn == i->sti)
        fn(a, i->c, i->d);
}

static void test_steps(void)
{
    for (unsigned i = 0; i < INSTRUCTIONS; i++) {
        forget();
        execute(&instructions[i], instructions[i].step);
        check_two_steps(name_of("step over ", &instructions[i]));
        forget();
        execute(&instructions[i], instructions[i].step_shadow);
        check_two_steps(name_of("step over MOV SS and ", &instructions[i]));
    }
}

/* A breakpoint on the instruction and one behind it: RF lets it run, and is gone behind it. */
static void test_breakpoints(void)
{
    for (unsigned i = 0; i < INSTRUCTIONS; i++) {
        const char *name = name_of("breakpoint on ", &instructions[i]);
        forget();
        execute(&instructions[i], instructions[i].run); /* notes the places */
        forget();
        write_db0(at_code);
        write_db1(at_after);
        write_db7(DR7_INIT | DR7_L0 | DR7_L1);
        execute(&instructions[i], instructions[i].run);
        write_db7(DR7_INIT);
        check_of(name, "traps", count, 2);
        check_step(name, 0, 0, DR6_B0);
        check_step(name, 1, 1, DR6_B1);
        /* Of all faults, this one alone does not set it in the frame. */
        check_of(name, "RF", seen[0].rflags & RFLAGS_RF, 0);
    }
}

/* An interrupt that waits is delivered behind the instruction that follows STI. */
static void test_sti(void)
{
    for (unsigned i = 0; i < INSTRUCTIONS; i++) {
        const char *name = name_of("STI and ", &instructions[i]);
        uint32_t before = this_cpu()->traps[VECTOR];
        apic_send(0, ICR_FIXED | VECTOR);
        delay(1000);
        execute(&instructions[i], instructions[i].sti);
        check_of(name, "interrupts", this_cpu()->traps[VECTOR] - before, 1);
        check_of(name, "place", place(last_trap()->rip), 1);
    }
}

/* A watched word that MOV SS reads: its trap waits until the next instruction is done. */
static uint16_t watched = SELECTOR_DATA;

#define PENDING(name, code)                                                                  \
    static __attribute__((noinline)) void pending_##name(uint32_t a, uint32_t c, uint32_t d) \
    {                                                                                        \
        CODE("0", "mov watched_word, %%ss", code, a, c, d);                                  \
    }
__asm__(".set watched_word, watched");
PENDING(nop, "nop")
PENDING(cpuid, "cpuid")
PENDING(rdmsr, "rdmsr")
PENDING(mov_cr0, "mov %%rax, %%cr0")

static void test_pending(void)
{
    static const struct {
        const char *name;
        code_fn run;
        uint32_t c;
    } rows[] = {
        {"watched MOV SS and nop", pending_nop, 0},
        {"watched MOV SS and cpuid", pending_cpuid, 0},
        {"watched MOV SS and rdmsr", pending_rdmsr, MSR_FEATURE_CONTROL},
        {"watched MOV SS and mov_cr0", pending_mov_cr0, 0},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        forget();
        write_db1((uintptr_t)&watched);
        write_db7(DR7_INIT | DR7_L1 | DR7_RW1_ACCESS_2);
        rows[i].run((uint32_t)read_cr0() ^ 0x20, rows[i].c, 0);
        write_db7(DR7_INIT);
        check_of(rows[i].name, "traps", count, 1);
        check_step(rows[i].name, 0, 1, DR6_B1);
    }
}

/* The frame of a fault: RF is set in it, and nothing else has changed. */
#define FAULT(name, wanted_vector, code, a, c, d)                        \
    do {                                                                 \
        uint32_t a_ = (a), c_ = (c), d_ = (d);                           \
        __asm__ volatile("movq $1f, %0\n" TRY("1: " code)                \
                         : "=m"(at_code), "+a"(a_), "+c"(c_), "+d"(d_)   \
                         :                                               \
                         : "memory", "cc");                              \
        check_of(name, "vector", last_trap()->vector, wanted_vector);    \
        check_of(name, "error code", last_trap()->error, 0);             \
        check_of(name, "place", last_trap()->rip, at_code);              \
        check_of(name, "RF", last_trap()->rflags &RFLAGS_RF, RFLAGS_RF); \
    } while (0)

static void test_faults(void)
{
    FAULT("UD2", VECTOR_UD, "ud2", 0, 0, 0);
    FAULT("VMCALL", VECTOR_UD, "vmcall", 0, 0, 0);
    FAULT("VMXOFF", VECTOR_UD, "vmxoff", 0, 0, 0);
    /* These are absent, or read-only, in Bochs too, which lets most others be read and written. */
    FAULT("RDMSR of an absent MSR", VECTOR_GP, "rdmsr", 0, 0x492, 0);
    FAULT("WRMSR of a read-only MSR", VECTOR_GP, "wrmsr", 0, 0xfe, 0);
    FAULT("WRMSR of a bad MTRR", VECTOR_GP, "wrmsr", 0xff, 0x200, 0);
    FAULT("XSETBV of nothing", VECTOR_GP, "xsetbv", 0, 0, 0);
    FAULT("XSETBV of XCR1", VECTOR_GP, "xsetbv", 1, 1, 0);
    FAULT("MOV CR4 of a reserved bit", VECTOR_GP, "mov %%rax, %%cr4", 0x80000020, 0, 0);
}

/* INT1, INT3, INT n and a fault of MOV DR, with what they leave in DR6. */
static void test_software(void)
{
    forget();
    CODE("0", "", ".byte 0xf1", 0, 0, 0);
    check("INT1: traps", count, 1);
    check_step("INT1", 0, 1, 0);
    check("INT1: RF", seen[0].rflags & RFLAGS_RF, 0);
    forget();
    CODE("0", "", "int $1", 0, 0, 0);
    check("INT 1: traps", count, 1);
    check_step("INT 1", 0, 1, 0);
    forget();
    CODE("0", "", "int3", 0, 0, 0);
    check("INT3: traps", count, 1);
    check("INT3: vector", seen[0].vector, VECTOR_BP);
    check("INT3: place", place(seen[0].rip), 1);
    forget();
    CODE("0", "", "int $3", 0, 0, 0);
    check("INT 3: vector", seen[0].vector, VECTOR_BP);
    check("INT 3: place", place(seen[0].rip), 1);
    forget();
    CODE("0x100", "", ".byte 0xf1", 0, 0, 0);
    print("step over INT1: %u traps, the first at %x with DR6 0x%lx, the second at %x with 0x%lx\n",
          count, (unsigned)place(seen[0].rip), seen[0].dr6, (unsigned)place(seen[1].rip),
          seen[1].dr6);

    forget();
    write_db7(DR7_INIT | DR7_GD);
    CODE("0", "", "mov %%db7, %%rax", 0, 0, 0);
    check("general detect: traps", count, 1);
    check_step("general detect", 0, 0, DR6_BD);
    check("general detect: DR7", read_db7(), DR7_INIT);
}

/* INTO exists outside 64-bit mode only. */
static void test_into(void)
{
    trap_handlers[4] = note;
    forget();
    __asm__ volatile("movq $2f, %0\n movq $3f, %1\n"
                     "push $0x08\n push $1f\n lretq\n"
                     ".code32\n"
                     "1: mov $0x7fffffff, %%eax\n add $1, %%eax\n into\n"
                     "2: nop\n"
                     "3: ljmp $0x10, $4f\n"
                     ".code64\n"
                     "4:\n"
                     : "=m"(at_after), "=m"(at_next)
                     :
                     : "rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory",
                       "cc");
    check("INTO: traps", count, 1);
    check("INTO: vector", seen[0].vector, 4);
    check("INTO: place", place(seen[0].rip), 1);
}

/* Single steps of the other modes: CPUID in compatibility mode. */
static void test_compatibility(void)
{
    forget();
    __asm__ volatile("movq $2f, %0\n movq $3f, %1\n"
                     "push $0x08\n push $1f\n lretq\n"
                     ".code32\n"
                     "1: xor %%eax, %%eax\n"
                     "pushf\n orl $0x100, (%%esp)\n popf\n"
                     "cpuid\n"
                     "2: nop\n"
                     "3: ljmp $0x10, $4f\n"
                     ".code64\n"
                     "4:\n"
                     : "=m"(at_after), "=m"(at_next)
                     :
                     : "rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory",
                       "cc");
    check_two_steps("32-bit: step over CPUID");
}

void payload_run(void)
{
    trap_handlers[VECTOR_DB] = note;
    trap_handlers[VECTOR_BP] = note;
    if ((cpuid(1, 0).ecx & 1u << 26) != 0)
        write_cr4(read_cr4() | CR4_OSXSAVE);
    for (unsigned i = 0; i < INSTRUCTIONS; i++) {
        if (instructions[i].run == run_mov_cr4)
            instructions[i].a = (uint32_t)read_cr4();
    }
    test_steps();
    test_breakpoints();
    test_sti();
    test_pending();
    test_faults();
    test_software();
    test_into();
    test_compatibility();
}
