/*
 * A guest that goes for the hypervisor: its memory by every way that leads there, and the
 * instructions and MSRs that would undo it. Each try is answered by a fault, and all goes
 * on. Bare there is no such memory: those checks then print the same without a try.
 *
 *   end=1  CR3 points to that memory      end=2  the IDT lies there
 *   end=3  INIT to the boot CPU           (the machine starts anew)
 */
#include "test/payload/lib/payload.h"

#define PAGE_SIZE 4096u
#define SIZE_2M   0x200000u

#define TABLE      0x3 /* present, writable */
#define PF_WRITE   0x2
#define PF_FETCH   0x10
#define MTRR_VALID 0x800
#define WRITE_BACK 6

enum kind {
    READ,
    WRITE,
    FETCH
};

static uint64_t home, home_size;
extern uint64_t page_pml4[512], gdt[];

/* SDM Vol. 3A, "Memory Map": the reserved range of 2 MiB pages that lies in RAM. */
static void find_home(void)
{
    for (unsigned i = 0; i < memory_count; i++) {
        const struct memory_range *r = &memory_map[i];
        if (r->type != MEMORY_RAM && r->start >= SIZE_2M && r->start < 0xc0000000 &&
            r->start % SIZE_2M == 0 && r->size % SIZE_2M == 0) {
            home = r->start;
            home_size = r->size;
        }
    }
    print("# home at 0x%lx, 0x%lx bytes\n", home, home_size);
}

/* A check of the home: trivial where there is none. */
static void check_home(const char *name, uint64_t got, uint64_t wanted)
{
    check_of("home", name, home != 0 ? got : wanted, wanted);
}

static void touch(uint64_t address, enum kind kind)
{
    switch (kind) {
    case READ:
        __asm__ volatile(TRY("movb (%0), %%al") : : "r"(address) : "rax", "memory");
        break;
    case WRITE:
        __asm__ volatile(TRY("movb %%al, (%0)") : : "r"(address) : "rax", "memory");
        break;
    case FETCH: /* the fault comes at the address, with the return address on the stack */
        __asm__ volatile("mov %%rsp, %%r12\n" TRY("call *%0") "mov %%r12, %%rsp\n"
                         :
                         : "r"(address)
                         : "r12", "memory");
        break;
    }
}

/* How many of the home's pages answer as wanted, mapped from base on. */
static unsigned count_pages(uint64_t base, enum kind kind, uint64_t vector, uint64_t error,
                            bool wants_cr2)
{
    unsigned count = 0;
    for (uint64_t at = 0; at < home_size; at += PAGE_SIZE) {
        uint64_t address = base + home + at + 8 * (at / PAGE_SIZE % 500);
        touch(address, kind);
        const struct trap_record *trap = last_trap();
        count += trap->vector == vector && trap->error == error &&
                 (!wants_cr2 || trap->cr2 == address);
    }
    return count;
}

static void test_pages(void)
{
    uint64_t pages = home_size / PAGE_SIZE;
    check_home("#GP for each page read", count_pages(0, READ, VECTOR_GP, 0, false), pages);
    check_home("#GP for each page written", count_pages(0, WRITE, VECTOR_GP, 0, false), pages);
    check_home("#GP for each page executed", count_pages(0, FETCH, VECTOR_GP, 0, false), pages);
    check_home("#PF for each page read", count_pages(HIGH_HALF, READ, VECTOR_PF, 0, true), pages);
    check_home("#PF for each page written",
               count_pages(HIGH_HALF, WRITE, VECTOR_PF, PF_WRITE, true), pages);
    check_home("#PF for each page executed",
               count_pages(HIGH_HALF, FETCH, VECTOR_PF, PF_FETCH, true), pages);
}

/* Access without paging, in 32-bit mode with an IDT of its own. */
uint32_t flat_vector, flat_error, flat_esp;
static uint64_t flat_idt[32];
static const struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
} flat_idtr = {sizeof(flat_idt) - 1, (uintptr_t)flat_idt};
uint8_t flat_saved_idtr[10];
void flat_access(uint32_t address, uint32_t kind, const void *idtr);
extern const uint8_t flat_df[], flat_gp[], flat_pf[];

__asm__(".text\n"
        "flat_access:\n"
        "  push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "  mov %esp, flat_esp\n"
        "  sidt flat_saved_idtr\n"
        "  movl $0x100, flat_vector\n"
        "  push $0x08\n push $1f\n lretq\n"
        ".code32\n"
        "1: mov %cr0, %eax\n and $0x7fffffff, %eax\n mov %eax, %cr0\n"
        "  lidt (%edx)\n"
        "  cmp $1, %esi\n je 2f\n ja 3f\n"
        "  mov (%edi), %eax\n jmp 4f\n"
        "2: mov %eax, (%edi)\n jmp 4f\n"
        "3: call *%edi\n jmp 4f\n"
        "flat_df: movl $8, flat_vector\n popl flat_error\n jmp 4f\n"
        "flat_gp: movl $13, flat_vector\n popl flat_error\n jmp 4f\n"
        "flat_pf: movl $14, flat_vector\n popl flat_error\n"
        "4: mov %cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
        "  ljmp $0x10, $5f\n"
        ".code64\n"
        "5: mov flat_esp, %esp\n"
        "  lidt flat_saved_idtr\n"
        "  pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
        "  ret\n");

static uint64_t flat_gate(const void *handler)
{
    uint64_t at = (uintptr_t)handler;
    return (at & 0xffff) | (uint64_t)SELECTOR_CODE32 << 16 | (uint64_t)0x8e << 40 |
           (at >> 16 & 0xffff) << 48;
}

static void test_flat(void)
{
    static const char *const names[] = {"#GP without paging: read", "#GP without paging: write",
                                        "#GP without paging: execute"};
    flat_idt[VECTOR_DF] = flat_gate(flat_df);
    flat_idt[VECTOR_GP] = flat_gate(flat_gp);
    flat_idt[VECTOR_PF] = flat_gate(flat_pf);
    for (unsigned kind = READ; kind <= FETCH; kind++) {
        unsigned count = 0;
        for (uint64_t at = 0; at < home_size; at += PAGE_SIZE) {
            flat_access((uint32_t)(home + at), kind, &flat_idtr);
            count += flat_vector == VECTOR_GP && flat_error == 0;
        }
        check_home(names[kind], count, home_size / PAGE_SIZE);
    }
}

/* Page tables in the home, at each level, for an address in each half. */
static uint64_t tables[3][512] __attribute__((aligned(4096)));

static void test_page_tables(void)
{
    static const char *const high[] = {"#PF for a PDPT there", "#PF for a page directory there",
                                       "#PF for a page table there"};
    static const char *const low[] = {"#GP for a PDPT there", "#GP for a page directory there",
                                      "#GP for a page table there"};
    for (unsigned level = 0; level < 3 && home != 0; level++) {
        uint64_t *entry = &page_pml4[300];
        for (unsigned i = 0; i < level; i++) {
            *entry = (uintptr_t)tables[i] | TABLE;
            entry = &tables[i][0];
        }
        *entry = home | TABLE;
        page_pml4[10] = page_pml4[300];
        write_cr3(read_cr3());
        uint64_t address = 0xffff000000000000 | 300ull << 39 | 0x123;
        touch(address, READ);
        check_home(high[level], last_trap()->vector << 16 | last_trap()->error, VECTOR_PF << 16);
        check_home("CR2", last_trap()->cr2, address);
        touch(10ull << 39 | 0x123, WRITE);
        check_home(low[level], last_trap()->vector << 16 | last_trap()->error, VECTOR_GP << 16);
    }
    for (unsigned level = 0; level < 3 && home == 0; level++) {
        check_home(high[level], 0, 0);
        check_home("CR2", 0, 0);
        check_home(low[level], 0, 0);
    }
    page_pml4[10] = page_pml4[300] = 0;
    write_cr3(read_cr3());
}

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* Descriptor tables whose later entries lie in the home, and a stack there. */
static void test_descriptors(void)
{
    struct table_pointer idtr, gdtr, straddling;
    uint64_t idt_vector = 0, idt_error = 0, gdt_vector = 0, gdt_error = 0, stack_vector = 0;

    if (home != 0) {
        __asm__ volatile("sidt %0\n sgdt %1" : "=m"(idtr), "=m"(gdtr));
        straddling = (struct table_pointer){16 * 256 - 1, home - 16 * 0x50};
        for (unsigned i = 0; i < 2 * 0x50; i++)
            ((uint64_t *)straddling.base)[i] = ((uint64_t *)idtr.base)[i];
        __asm__ volatile("lidt %0\n" TRY("int $0x60") "lidt %1"
                         :
                         : "m"(straddling), "m"(idtr)
                         : "memory");
        idt_vector = last_trap()->vector;
        idt_error = last_trap()->error;

        straddling = (struct table_pointer){0xfff, home - 8 * 32};
        for (unsigned i = 0; i < GDT_SIZE / 8; i++)
            ((uint64_t *)straddling.base)[i] = gdt[i];
        __asm__ volatile("lgdt %0\n mov $0x200, %%eax\n" TRY("mov %%eax, %%fs") "lgdt %1"
                         :
                         : "m"(straddling), "m"(gdtr)
                         : "rax", "memory");
        gdt_vector = last_trap()->vector;
        gdt_error = last_trap()->error;

        __asm__ volatile("mov %%rsp, %%r12\n mov %0, %%rsp\n" TRY("push %%rax") "mov %%r12, %%rsp"
                         :
                         : "r"(home + 0x1000)
                         : "r12", "memory");
        stack_vector = last_trap()->vector;
    }
    check_home("#GP for a gate there", idt_vector, VECTOR_GP);
    check_home("error code of it", idt_error, 0);
    check_home("#GP for a descriptor there", gdt_vector, VECTOR_GP);
    check_home("error code of that", gdt_error, 0);
    check_home("#DF for a stack there", stack_vector, VECTOR_DF);
}

/* Instructions with odd operands there. */
static void test_operands(void)
{
    uint64_t vector[7] = {0}, cr2 = 0, left = 0;
    static uint8_t area[64];

    if (home != 0) {
        uint64_t count = 64, to = home - 32;
        __asm__ volatile(TRY("rep movsb") : "+c"(count), "+D"(to) : "S"(area) : "memory");
        vector[0] = last_trap()->vector;
        left = count;
        __asm__ volatile(TRY("lock cmpxchg16b (%0)") : : "r"(home) : "rax", "rdx", "memory");
        vector[1] = last_trap()->vector;
        __asm__ volatile(TRY("fxsave64 (%0)") : : "r"(home) : "memory");
        vector[2] = last_trap()->vector;
        count = 1, to = home;
        __asm__ volatile(TRY("rep insb") : "+c"(count), "+D"(to) : "d"(0x61) : "memory");
        vector[3] = last_trap()->vector;
        __asm__ volatile(TRY("mov (%0), %%rax") : : "r"(HIGH_HALF + home - 4) : "rax", "memory");
        vector[4] = last_trap()->vector;
        cr2 = last_trap()->cr2;
        __asm__ volatile(TRY("prefetcht0 (%0)") : : "r"(home) : "memory");
        vector[5] = last_trap()->vector;
        __asm__ volatile(TRY("lgdt (%0)") : : "r"(home) : "memory");
        vector[6] = last_trap()->vector;
    }
    check_home("REP MOVSB into it", vector[0], VECTOR_GP);
    check_home("goes as far as it can", left, 32);
    check_home("LOCK CMPXCHG16B", vector[1], VECTOR_GP);
    check_home("FXSAVE", vector[2], VECTOR_GP);
    check_home("REP INSB", vector[3], VECTOR_GP);
    check_home("a word that begins before it", vector[4], VECTOR_PF);
    check_home("and its CR2", cr2, HIGH_HALF + home);
    check_home("PREFETCH does nothing", vector[5], NO_TRAP);
    check_home("LGDT from it", vector[6], VECTOR_GP);
}

static uint64_t try_wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile(TRY("wrmsr") : : "c"(msr), "a"((uint32_t)value), "d"(value >> 32) : "memory");
    return last_trap()->vector;
}

static uint64_t try_rdmsr(uint32_t msr)
{
    __asm__ volatile(TRY("rdmsr") : : "c"(msr) : "rax", "rdx", "memory");
    return last_trap()->vector;
}

static uint64_t try_cr4(uint64_t bit)
{
    uint64_t before = read_cr4();
    __asm__ volatile(TRY("mov %0, %%cr4") : : "r"(before | bit) : "memory");
    uint64_t vector = last_trap()->vector;
    write_cr4(before);
    return vector;
}

static void test_redirection(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE), vector = VECTOR_GP, moved = 0, type = VECTOR_GP;
    if (home != 0) {
        vector = try_wrmsr(MSR_APIC_BASE, (base & 0xfff) | home);
        moved = rdmsr(MSR_APIC_BASE) != base;
        wrmsr(0x20e, home | WRITE_BACK);
        wrmsr(0x20f, 0xffffe00000 | MTRR_VALID);
        touch(home, READ);
        type = last_trap()->vector;
        wrmsr(0x20f, 0);
        wrmsr(0x20e, 0);
    }
    check_home("the APIC does not move there", vector, VECTOR_GP);
    check_home("and stays", moved, 0);
    check_home("an MTRR does not open it", type, VECTOR_GP);
}

static void test_instructions(void)
{
    static uint64_t operand[2];
#define UNDEFINED(name, code)                                                                     \
    __asm__ volatile(TRY(code) : : "r"(operand), "a"(0), "c"(0), "b"(0) : "rdx", "memory", "cc"); \
    check_of("#UD", name, last_trap()->vector, VECTOR_UD)
    UNDEFINED("VMCALL", "vmcall");
    UNDEFINED("VMLAUNCH", "vmlaunch");
    UNDEFINED("VMRESUME", "vmresume");
    UNDEFINED("VMXOFF", "vmxoff");
    UNDEFINED("VMXON", "vmxon (%0)");
    UNDEFINED("VMCLEAR", "vmclear (%0)");
    UNDEFINED("VMPTRLD", "vmptrld (%0)");
    UNDEFINED("VMPTRST", "vmptrst (%0)");
    UNDEFINED("VMREAD", "vmread %%rax, %%rcx");
    UNDEFINED("VMWRITE", "vmwrite %%rax, %%rcx");
    UNDEFINED("VMFUNC", ".byte 0x0f, 0x01, 0xd4");
    UNDEFINED("INVEPT", "invept (%0), %%rax");
    UNDEFINED("INVVPID", "invvpid (%0), %%rax");
    UNDEFINED("GETSEC", ".byte 0x0f, 0x37");
    UNDEFINED("RSM", "rsm");
    UNDEFINED("ENCLS", ".byte 0x0f, 0x01, 0xcf");
#undef UNDEFINED
    operand[0] = 0x1234;
    __asm__ volatile(TRY("invd") : : : "memory");
    check("INVD: no fault", last_trap()->vector, NO_TRAP);
    check("INVD: nothing is lost", operand[0], 0x1234);
    check("WRMSR of a microcode update", try_wrmsr(0x79, 0x100000), NO_TRAP);
}

/* What Keel hides by its policy: bare these are there. */
static void test_hidden(void)
{
    check_of("hidden", "CPUID's VMX", cpuid(1, 0).ecx >> 5 & 1, 0);
    check_of("hidden", "CPUID's SMX", cpuid(1, 0).ecx >> 6 & 1, 0);
    check_of("hidden", "CPUID's DS", cpuid(1, 0).edx >> 21 & 1, 0);
    check_of("hidden", "CPUID's Intel PT", cpuid(7, 0).ebx >> 25 & 1, 0);
    check_of("hidden", "CPUID's SGX", cpuid(7, 0).ebx >> 2 & 1, 0);
    check_of("hidden", "CR4.VMXE", try_cr4(CR4_VMXE), VECTOR_GP);
    check_of("hidden", "CR4.SMXE", try_cr4(CR4_SMXE), VECTOR_GP);
    check_of("hidden", "FEATURE_CONTROL is locked without VMX", rdmsr(MSR_FEATURE_CONTROL) & 7, 1);
    check_of("hidden", "WRMSR of FEATURE_CONTROL", try_wrmsr(MSR_FEATURE_CONTROL, 5), VECTOR_GP);
    check_of("hidden", "IA32_VMX_BASIC", try_rdmsr(0x480), VECTOR_GP);
    check_of("hidden", "DEBUGCTL.TR and BTS", try_wrmsr(MSR_DEBUGCTL, 0xc0), VECTOR_GP);
    check_of("hidden", "DS_AREA", try_wrmsr(0x600, home), VECTOR_GP);
    check_of("hidden", "PEBS_ENABLE", try_wrmsr(0x3f1, 1), VECTOR_GP);
    check_of("hidden", "RTIT_OUTPUT_BASE", try_wrmsr(0x560, home), VECTOR_GP);
    check_of("hidden", "RTIT_CTL", try_wrmsr(0x570, 1), VECTOR_GP);
    check_of("hidden", "HW_FEEDBACK_PTR", try_wrmsr(0x17d0, home | 1), VECTOR_GP);
    check_of("hidden", "SMM_MONITOR_CTL", try_rdmsr(0x9b), VECTOR_GP);
    check_of("hidden", "XD-disable", try_wrmsr(0x1a0, 0x400000000), VECTOR_GP);
}

static void end_machine(unsigned how)
{
    static struct table_pointer idtr;
    print("the end: %u\n", how);
    delay(1000000);
    if (how == 1) {
        write_cr3(home);
    } else if (how == 2) {
        idtr = (struct table_pointer){0xfff, home};
        __asm__ volatile("lidt %0\n ud2" : : "m"(idtr));
    } else {
        apic_send(0, ICR_SELF | ICR_INIT);
        apic_send(0, ICR_INIT);
        delay(10000000);
    }
    print("FAIL the machine lives on\n");
}

void payload_run(void)
{
    find_home();
    if (argument("end", 0) != 0)
        end_machine(argument("end", 0));
    write_cr4(read_cr4() | CR4_OSFXSR);
    test_pages();
    test_flat();
    test_page_tables();
    test_descriptors();
    test_operands();
    test_redirection();
    test_instructions();
    test_hidden();
}
