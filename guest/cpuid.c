/* See cpuid.h. */
#include "guest/cpuid.h"

#include "guest/handlers.h"
#include "guest/version.h"
#include "lib/string.h"
#include "vmx/vmcs.h"
#include "x86/cpuid.h"

#define EXTENDED_FIRST 0x80000000u

/*
 * State components that the guest may have: x87, SSE, AVX, AVX-512, PKRU, AMX; and of those
 * that only XSAVES knows HDC and HWP, not Intel PT, PASID, CET, UINTR and LBR. MPX is out.
 */
#define SHOWN_XCR0 0x000602e7u
#define SHOWN_XSS  0x00012000u

enum reg {
    EAX,
    EBX,
    ECX,
    EDX
};

/* Bits that are cleared unless a secondary control is on; control 0: always. */
static const struct {
    uint32_t leaf;
    uint32_t subleaf;
    enum reg reg;
    uint64_t bits;
    uint64_t control;
} edits[] = {
    /* VMX and SMX are Keel's; records of DS and PEBS could land in Keel's memory */
    {1, 0, ECX, CPUID_1_ECX_VMX | CPUID_1_ECX_SMX, 0},
    {1, 0, ECX, CPUID_1_ECX_DTES64 | CPUID_1_ECX_DS_CPL, 0},
    {1, 0, EDX, CPUID_1_EDX_DS, 0},
    /* written to physical addresses that the EPT does not guard */
    {6, 0, EAX, CPUID_6_EAX_HFI | CPUID_6_EAX_THREAD_DIRECTOR, 0},
    {7, 0, EBX, CPUID_7_EBX_PT, 0},
    /* instructions or states that need controls which Keel does not use, or that act in root mode
     */
    {7, 0, EBX, CPUID_7_EBX_SGX | CPUID_7_EBX_MPX, 0},
    {7, 0, ECX, CPUID_7_ECX_SGX_LC | CPUID_7_ECX_ENQCMD | CPUID_7_ECX_KL, 0},
    {7, 0, ECX, CPUID_7_ECX_CET_SS | CPUID_7_ECX_PKS, 0},
    {7, 0, EDX, CPUID_7_EDX_CET_IBT | CPUID_7_EDX_UINTR | CPUID_7_EDX_PCONFIG, 0},
    {7, 0, EDX, CPUID_7_EDX_ARCH_LBR, 0},
    {7, 0, EBX, CPUID_7_EBX_INVPCID, SECONDARY_ENABLE_INVPCID},
    {7, 0, ECX, CPUID_7_ECX_WAITPKG, SECONDARY_ENABLE_WAITPKG},
    {7, 0, ECX, CPUID_7_ECX_RDPID, SECONDARY_ENABLE_RDTSCP},
    {0xd, 1, EAX, CPUID_D1_EAX_XSAVES, SECONDARY_ENABLE_XSAVES},
    {EXTENDED_FIRST + 1, 0, EDX, CPUID_EXT1_EDX_RDTSCP, SECONDARY_ENABLE_RDTSCP},
};

/*
 * Where processors to come will announce what nobody knows yet, only these bits are shown.
 * In 7.1: not ArchPerfmonExt (leaf 23H), FRED, LKGS, HRESET, MSRLIST, APX, USER_MSR, MSR_IMM.
 */
static const struct {
    uint32_t leaf;
    uint32_t subleaf;
    struct cpuid_regs shown;
} limits[] = {
    {7,
     1,
     {.eax =
          0x04a81cff, /* SHA512 .. CMPccXADD, FZRM, FSRS, FSRC, WRMSRNS, AMX-FP16, AVX-IFMA, LAM */
      .ebx = 0x00000001,   /* PPIN */
      .edx = 0x00084530}}, /* AVX-VNNI-INT8/16, AVX-NE-CONVERT, AMX-COMPLEX, PREFETCHI, AVX10 */
    {7, 2, {.eax = ~0u, .edx = 0x000000ff}}, /* PSFD .. MONITOR_MITG_NO */
    {0xd, 0, {SHOWN_XCR0, ~0u, ~0u, 0}},
    {0xd, 1, {0x0000001f, ~0u, SHOWN_XSS, 0}}, /* XSAVEOPT .. XFD */
};

static void limit(struct cpuid_regs *regs, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(limits); i++) {
        if (limits[i].leaf == leaf && limits[i].subleaf == subleaf) {
            regs->eax &= limits[i].shown.eax;
            regs->ebx &= limits[i].shown.ebx;
            regs->ecx &= limits[i].shown.ecx;
            regs->edx &= limits[i].shown.edx;
        }
    }
}

/*
 * Leaves that read as zeros: SGX, Intel PT, PCONFIG, key locker, architectural LBRs and
 * performance monitoring's second leaf; subleaves of 7 that nobody knows; state components
 * that are not shown.
 */
static bool is_hidden(uint32_t leaf, uint32_t subleaf)
{
    switch (leaf) {
    case 0x7:
        return subleaf > 2;
    case 0xd:
        return subleaf > 1 && ((SHOWN_XCR0 | SHOWN_XSS) & BIT(subleaf)) == 0;
    case 0x12:
    case 0x14:
    case 0x19:
    case 0x1b:
    case 0x1c:
    case 0x23:
        return true;
    default:
        return false;
    }
}

/* How many subleaves the leaf has on this CPU, from its answers as the manual says. */
static uint32_t count_subleaves(uint32_t leaf)
{
    uint32_t count = 0;
    switch (leaf) {
    case 0x4: /* the cache type of the last one is 0 */
        while (count < 16 && (ops_cpuid(leaf, count++).eax & 0x1f) != 0)
            ;
        return count;
    case 0xb:
    case 0x1f: /* the level type of the last one is 0 */
        while (count < 8 && (ops_cpuid(leaf, count++).ecx & 0xff00) != 0)
            ;
        return count;
    case 0xd: /* one for each state component */
        return 63;
    case 0x7:
    case 0x17:
    case 0x18:
    case 0x1d:
    case 0x20: /* EAX of the first is the number of the last */
        count = ops_cpuid(leaf, 0).eax;
        return count < 16 ? count + 1 : 16;
    case 0xf:
        return 2;
    case 0x10:
    case 0x23:
        return 6;
    default:
        return 1;
    }
}

static uint8_t leaf_flags(uint32_t leaf, uint32_t count)
{
    uint8_t flags = 0;
    if (leaf == 1 || leaf == 7 || leaf == 0xd || leaf == EXTENDED_FIRST + 1)
        flags |= CPUID_VARIES;
    if (count > 1 || leaf == 7)
        flags |= CPUID_SUBLEAF;
    if (leaf == 0xb || leaf == 0x1f)
        flags |= CPUID_TOPOLOGY;
    return flags;
}

static void edit(struct cpuid_regs *regs, uint32_t leaf, uint32_t subleaf, uint32_t secondary)
{
    uint32_t *const reg[] = {&regs->eax, &regs->ebx, &regs->ecx, &regs->edx};
    for (unsigned i = 0; i < ARRAY_LENGTH(edits); i++) {
        if (edits[i].leaf == leaf && edits[i].subleaf == subleaf &&
            (secondary & edits[i].control) == 0)
            *reg[edits[i].reg] &= (uint32_t)~edits[i].bits;
    }
}

static void read_leaf(struct cpuid_table *table, struct cpuid_leaf *slot, uint32_t leaf,
                      uint32_t secondary)
{
    uint32_t count = count_subleaves(leaf);
    if (count > (uint32_t)(CPUID_ENTRIES - table->entries))
        count = (uint32_t)(CPUID_ENTRIES - table->entries);

    slot->first = table->entries;
    slot->count = (uint8_t)count;
    slot->flags = leaf_flags(leaf, count);
    for (uint32_t i = 0; i < count; i++) {
        struct cpuid_regs *regs = &table->entry[table->entries++];
        if (!is_hidden(leaf, i))
            *regs = ops_cpuid(leaf, i);
        edit(regs, leaf, i, secondary);
        limit(regs, leaf, i);
    }
}

void cpuid_table_init(struct cpuid_table *table, uint32_t secondary)
{
    memset(table, 0, sizeof(*table));
    table->basic_last = (uint32_t)min_u64(ops_cpuid(0, 0).eax, CPUID_BASIC_MAX);
    table->extended_last = (uint32_t)min_u64(ops_cpuid(EXTENDED_FIRST, 0).eax - EXTENDED_FIRST,
                                             CPUID_EXTENDED_MAX);
    for (uint32_t i = 0; i <= table->basic_last; i++)
        read_leaf(table, &table->basic[i], i, secondary);
    for (uint32_t i = 0; i <= table->extended_last; i++)
        read_leaf(table, &table->extended[i], EXTENDED_FIRST + i, secondary);
    table->entry[table->basic[0].first].eax = table->basic_last;
    table->entry[table->extended[0].first].eax = EXTENDED_FIRST + table->extended_last;
}

/* A leaf above the last is answered with the highest basic leaf's data. SDM Vol. 2A, "CPUID". */
static const struct cpuid_leaf *find_leaf(const struct cpuid_table *table, uint32_t leaf)
{
    if (leaf <= table->basic_last)
        return &table->basic[leaf];
    if (leaf - EXTENDED_FIRST <= table->extended_last)
        return &table->extended[leaf - EXTENDED_FIRST];
    return &table->basic[table->basic_last];
}

static struct cpuid_regs answer_leaf(const struct cpuid_table *table, const struct cpuid_leaf *slot,
                                     uint32_t subleaf)
{
    if ((slot->flags & CPUID_SUBLEAF) == 0)
        return table->entry[slot->first];
    if (subleaf < slot->count)
        return table->entry[slot->first + subleaf];
    if ((slot->flags & CPUID_TOPOLOGY) != 0)
        return (struct cpuid_regs){.ecx = subleaf & 0xff, .edx = table->entry[slot->first].edx};
    return (struct cpuid_regs){0};
}

static bool is_keels(uint32_t leaf)
{
    return leaf - CPUID_KEEL_FIRST < CPUID_KEEL_COUNT;
}

static struct cpuid_regs answer_keels(uint32_t leaf)
{
    static const struct cpuid_regs answers[CPUID_KEEL_COUNT] = {
        /* "KeelKeelKeel" in EBX, ECX, EDX, as hypervisors do; the last leaf in EAX */
        {CPUID_KEEL_FIRST + CPUID_KEEL_COUNT - 1, 0x6c65654b, 0x6c65654b, 0x6c65654b},
        {KEEL_VERSION_MAJOR << 16 | KEEL_VERSION_MINOR, 0, 0, 0},
        {0, 0, 0, 0},
    };
    return answers[leaf - CPUID_KEEL_FIRST];
}

struct cpuid_regs cpuid_lookup(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
    if (is_keels(leaf))
        return answer_keels(leaf);
    return answer_leaf(table, find_leaf(table, leaf), subleaf);
}

uint64_t cpuid_cr4_allowed(uint64_t cr4_fixed1)
{
    /* Bits whose feature Keel hides are not named here; nor are those that nobody knows. */
    uint64_t known = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE |
                     CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_LA57 | CR4_FSGSBASE |
                     CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_LASS |
                     CR4_LAM_SUP;
    return known & cr4_fixed1;
}

static void set_bit(uint32_t *reg, uint64_t bit, bool on)
{
    *reg = (uint32_t)((*reg & ~bit) | (on ? bit : 0));
}

/* What depends on the guest's present state. SDM Vol. 2A, "CPUID": the bits' descriptions. */
static void fill_in(const struct cpuid_table *table, const struct cpuid_leaf *slot,
                    uint32_t subleaf, struct cpuid_regs *regs)
{
    if (slot == &table->basic[1]) {
        set_bit(&regs->ecx, CPUID_1_ECX_OSXSAVE, (vmcs_read(VMCS_GUEST_CR4) & CR4_OSXSAVE) != 0);
        /* These follow IA32_MISC_ENABLE and IA32_APIC_BASE, which the guest writes itself. */
        struct cpuid_regs live = ops_cpuid(1, 0);
        set_bit(&regs->ecx, CPUID_1_ECX_MONITOR, (live.ecx & CPUID_1_ECX_MONITOR) != 0);
        set_bit(&regs->edx, CPUID_1_EDX_APIC, (live.edx & CPUID_1_EDX_APIC) != 0);
    } else if (slot == &table->basic[7]) {
        if (subleaf == 0) {
            /* IA32_TSX_CTRL takes HLE and RTM away. */
            const uint32_t tsx = CPUID_7_EBX_HLE | CPUID_7_EBX_RTM;
            regs->ebx = (regs->ebx & ~tsx) | (ops_cpuid(7, 0).ebx & tsx);
            set_bit(&regs->ecx, CPUID_7_ECX_OSPKE, (vmcs_read(VMCS_GUEST_CR4) & CR4_PKE) != 0);
        }
    } else if (slot == &table->basic[0xd]) {
        /* The sizes for the present XCR0 and XSS, which are the guest's. */
        if (subleaf <= 1)
            regs->ebx = ops_cpuid(0xd, subleaf).ebx;
    } else {
        uint64_t rights = vmcs_read(VMCS_GUEST_CS_ACCESS_RIGHTS);
        set_bit(&regs->edx, CPUID_EXT1_EDX_SYSCALL, (rights & BIT(13)) != 0);
    }
}

/* What the guest's CPUID answers now. */
static struct cpuid_regs answer_now(const struct cpuid_table *table, uint32_t leaf,
                                    uint32_t subleaf)
{
    if (is_keels(leaf))
        return answer_keels(leaf);
    const struct cpuid_leaf *slot = find_leaf(table, leaf);
    struct cpuid_regs regs = answer_leaf(table, slot, subleaf);
    if ((slot->flags & CPUID_VARIES) != 0)
        fill_in(table, slot, subleaf, &regs);
    return regs;
}

struct answer handle_cpuid(struct guest_cpu *cpu)
{
    struct vcpu_regs *guest = &cpu->vcpu.regs;
    struct cpuid_regs regs = answer_now(cpu->cpuid, (uint32_t)guest->rax, (uint32_t)guest->rcx);

    guest->rax = regs.eax;
    guest->rbx = regs.ebx;
    guest->rcx = regs.ecx;
    guest->rdx = regs.edx;
    return answer(ANSWER_ADVANCE);
}
