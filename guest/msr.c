/* See msr.h. SDM Vol. 4 has the registers. */
#include "guest/msr.h"

#include "guest/handlers.h"
#include "lib/log.h"
#include "vmx/vmcs.h"
#include "x86/cpuid.h"
#include "x86/msr.h"

typedef bool (*read_fn)(struct guest_cpu *cpu, uint32_t msr, uint64_t *value);
typedef bool (*write_fn)(struct guest_cpu *cpu, uint32_t msr, uint64_t value);

/* In the bitmap, so never called for MSRs within its ranges. */
static bool read_pass(struct guest_cpu *cpu UNUSED, uint32_t msr, uint64_t *value)
{
    return ops_rdmsr_safe(msr, value);
}

static bool write_pass(struct guest_cpu *cpu UNUSED, uint32_t msr, uint64_t value)
{
    return ops_wrmsr_safe(msr, value);
}

static bool read_deny(struct guest_cpu *cpu UNUSED, uint32_t msr UNUSED, uint64_t *value UNUSED)
{
    return false;
}

static bool write_deny(struct guest_cpu *cpu UNUSED, uint32_t msr UNUSED, uint64_t value UNUSED)
{
    return false;
}

/* Writes that must not happen, of which drivers need not hear: said once. */
static bool write_swallow(struct guest_cpu *cpu UNUSED, uint32_t msr, uint64_t value UNUSED)
{
    static struct log_limit limit = {1};
    if (log_limited(&limit))
        log_warning("a write to %s was swallowed: its operand is a guest's address", msr_name(msr));
    return true;
}

/*
 * The APIC's page takes precedence over memory, so it may not come to lie on any of Keel's;
 * nor anywhere else, since Keel sends its kicks through it where it is.
 */
static bool write_apic_base(struct guest_cpu *cpu UNUSED, uint32_t msr, uint64_t value)
{
    static struct log_limit limit = {4};
    const uint64_t base = MASK(51, PAGE_SHIFT);
    uint64_t now;

    if (!ops_rdmsr_safe(msr, &now))
        return false;
    if (((value ^ now) & base) != 0) {
        if (log_limited(&limit))
            log_warning("the guest tried to move its local APIC to 0x%lx: refused", value & base);
        return false;
    }
    return ops_wrmsr_safe(msr, value);
}

/* Locked, and VMX off: SDM Vol. 3C, "Enabling and Entering VMX Operation". */
static bool read_feature_control(struct guest_cpu *cpu UNUSED, uint32_t msr, uint64_t *value)
{
    if (!ops_rdmsr_safe(msr, value))
        return false;
    *value &= ~(FEATURE_CONTROL_VMX | FEATURE_CONTROL_VMX_IN_SMX);
    *value |= FEATURE_CONTROL_LOCK;
    return true;
}

static bool read_microcode_revision(struct guest_cpu *cpu, uint32_t msr UNUSED, uint64_t *value)
{
    *value = cpu->microcode_revision;
    return true;
}

/* The way to read the revision is to write 0, execute CPUID and read. */
static bool write_nothing(struct guest_cpu *cpu UNUSED, uint32_t msr UNUSED, uint64_t value UNUSED)
{
    return true;
}

/*
 * Not shown to the guest, so as on a processor without: XD-disable would turn bit 63 of Keel's own
 * page-table entries into a reserved bit, limit-CPUID would change Keel's own CPUID.
 */
static bool write_misc_enable(struct guest_cpu *cpu UNUSED, uint32_t msr, uint64_t value)
{
    static struct log_limit limit = {1};
    const uint64_t refused = MISC_ENABLE_XD_DISABLE | MISC_ENABLE_LIMIT_CPUID;
    uint64_t now;
    if (!ops_rdmsr_safe(msr, &now))
        return false;
    if ((value & ~now & refused) != 0) {
        if (log_limited(&limit))
            log_warning("IA32_MISC_ENABLE: XD-disable and limit-CPUID are refused");
        return false;
    }
    return ops_wrmsr_safe(msr, value);
}

static bool read_debugctl(struct guest_cpu *cpu UNUSED, uint32_t msr UNUSED, uint64_t *value)
{
    *value = vmcs_read(VMCS_GUEST_IA32_DEBUGCTL);
    return true;
}

/* BTS and TR are not among the valid bits: their records could land in Keel's memory. */
static bool write_debugctl(struct guest_cpu *cpu, uint32_t msr UNUSED, uint64_t value)
{
    if ((value & ~cpu->debugctl_valid) != 0)
        return false;
    vmcs_write(VMCS_GUEST_IA32_DEBUGCTL, value);
    return true;
}

/* PEBS formats and features go with PEBS itself. SDM Vol. 3B, "IA32_PERF_CAPABILITIES MSR". */
static bool read_perf_capabilities(struct guest_cpu *cpu UNUSED, uint32_t msr, uint64_t *value)
{
    if (!ops_rdmsr_safe(msr, value))
        return false;
    *value &= ~(MASK(11, 6) | BIT(14) | BIT(16));
    return true;
}

/* XRSTORS of a hidden component would write registers that the guest may not. */
static bool write_xss(struct guest_cpu *cpu, uint32_t msr, uint64_t value)
{
    return (value & ~cpu->xss_valid) == 0 && ops_wrmsr_safe(msr, value);
}

static bool read_mtrr(struct guest_cpu *cpu, uint32_t msr, uint64_t *value)
{
    const uint64_t *reg = mtrr_register(&cpu->mtrrs, msr);
    if (reg == NULL)
        return false;
    *value = *reg;
    return true;
}

/*
 * The registers are virtual; the EPT follows when the enable bit is on with something
 * changed: Linux turns it off, writes, and turns it on.
 */
static bool write_mtrr(struct guest_cpu *cpu, uint32_t msr, uint64_t value)
{
    uint64_t *reg = mtrr_register(&cpu->mtrrs, msr);
    if (reg == NULL || !mtrr_value_valid(&cpu->mtrrs, msr, value, cpu->guest->physical_bits))
        return false;
    *reg = value;
    if ((cpu->mtrrs.def_type & MTRR_DEF_TYPE_E) != 0)
        guest_mtrrs_on(cpu);
    return true;
}

#define PASS      read_pass, write_pass
#define READ_ONLY read_pass, write_deny
#define DENY      read_deny, write_deny

/* Ascending. Where ranges have gaps on a processor, its own #GP comes through. */
static const struct {
    uint32_t first;
    uint32_t last;
    const char *name;
    read_fn read;
    write_fn write;
} table[] = {
    {0x000, 0x001, "IA32_P5_MC_ADDR, IA32_P5_MC_TYPE", READ_ONLY},
    {0x010, 0x010, "IA32_TIME_STAMP_COUNTER", PASS},
    {0x017, 0x017, "IA32_PLATFORM_ID", READ_ONLY},
    {0x01b, 0x01b, "IA32_APIC_BASE", read_pass, write_apic_base},
    {0x02a, 0x02a, "MSR_EBL_CR_POWERON", READ_ONLY},
    {0x033, 0x033, "MSR_TEST_CTRL", PASS},
    {0x034, 0x035, "MSR_SMI_COUNT, MSR_CORE_THREAD_COUNT", READ_ONLY},
    {0x03a, 0x03a, "IA32_FEATURE_CONTROL", read_feature_control, write_deny},
    {0x03b, 0x03b, "IA32_TSC_ADJUST", PASS},
    {0x048, 0x049, "IA32_SPEC_CTRL, IA32_PRED_CMD", PASS},
    {0x04e, 0x04f, "IA32_PPIN_CTL, IA32_PPIN", READ_ONLY},
    {0x079, 0x079, "IA32_BIOS_UPDT_TRIG", read_deny, write_swallow},
    {0x08b, 0x08b, "IA32_BIOS_SIGN_ID", read_microcode_revision, write_nothing},
    {0x08c, 0x08f, "IA32_SGXLEPUBKEYHASH0..3", DENY},
    {0x09b, 0x09b, "IA32_SMM_MONITOR_CTL", DENY},
    {0x0c1, 0x0c8, "IA32_PMC0..7", PASS},
    {0x0ce, 0x0cf, "MSR_PLATFORM_INFO, IA32_CORE_CAPABILITIES", READ_ONLY},
    {0x0e1, 0x0e2, "IA32_UMWAIT_CONTROL, MSR_PKG_CST_CONFIG_CONTROL", PASS},
    {0x0e7, 0x0e8, "IA32_MPERF, IA32_APERF", PASS},
    {0x0fe, 0x0fe, "IA32_MTRRCAP", READ_ONLY},
    {0x10a, 0x10a, "IA32_ARCH_CAPABILITIES", READ_ONLY},
    {0x10b, 0x10b, "IA32_FLUSH_CMD", PASS},
    {0x10f, 0x10f, "IA32_TSX_FORCE_ABORT", PASS},
    {0x122, 0x123, "IA32_TSX_CTRL, IA32_MCU_OPT_CTRL", PASS},
    {0x140, 0x140, "MSR_MISC_FEATURES_ENABLES", PASS},
    {0x174, 0x176, "IA32_SYSENTER_CS, _ESP, _EIP", PASS},
    {0x179, 0x17b, "IA32_MCG_CAP, _STATUS, _CTL", PASS},
    {0x186, 0x18d, "IA32_PERFEVTSEL0..7", PASS},
    {0x198, 0x198, "IA32_PERF_STATUS", READ_ONLY},
    {0x199, 0x19d, "IA32_PERF_CTL, IA32_CLOCK_MODULATION, IA32_THERM_*", PASS},
    {0x1a0, 0x1a0, "IA32_MISC_ENABLE", read_pass, write_misc_enable},
    {0x1a2, 0x1a2, "MSR_TEMPERATURE_TARGET", READ_ONLY},
    {0x1a4, 0x1a4, "MSR_PREFETCH_CONTROL", PASS},
    {0x1a6, 0x1a7, "MSR_OFFCORE_RSP_0, _1", PASS},
    {0x1aa, 0x1b2, "MSR_MISC_PWR_MGMT, turbo limits, IA32_ENERGY_PERF_BIAS, package thermal", PASS},
    {0x1c4, 0x1c5, "IA32_XFD, IA32_XFD_ERR", PASS},
    {0x1c8, 0x1c9, "MSR_LBR_SELECT, MSR_LASTBRANCH_TOS", PASS},
    {0x1d9, 0x1d9, "IA32_DEBUGCTL", read_debugctl, write_debugctl},
    {0x1db, 0x1de, "MSR_LASTBRANCH, MSR_LER", PASS},
    {0x1fc, 0x1fc, "MSR_POWER_CTL", PASS},
    {0x200, 0x276, "IA32_MTRR_*", read_mtrr, write_mtrr},
    {0x277, 0x277, "IA32_PAT", PASS},
    {0x280, 0x29f, "IA32_MC*_CTL2", PASS},
    {0x2ff, 0x2ff, "IA32_MTRR_DEF_TYPE", read_mtrr, write_mtrr},
    {0x309, 0x318, "IA32_FIXED_CTR*", PASS},
    {0x329, 0x329, "IA32_PERF_METRICS", PASS},
    {0x345, 0x345, "IA32_PERF_CAPABILITIES", read_perf_capabilities, write_deny},
    {0x38d, 0x390, "IA32_FIXED_CTR_CTRL, IA32_PERF_GLOBAL_*", PASS},
    {0x391, 0x392, "IA32_PERF_GLOBAL_STATUS_SET, _INUSE", PASS},
    {0x394, 0x396, "MSR_UNC_PERF_FIXED_*, MSR_UNC_CBO_CONFIG", PASS},
    {0x3b0, 0x3c9, "uncore performance counters", PASS},
    {0x3f1, 0x3f2, "IA32_PEBS_ENABLE, MSR_PEBS_DATA_CFG", DENY},
    {0x3f6, 0x3f7, "MSR_PEBS_LD_LAT, MSR_PEBS_FRONTEND", PASS},
    {0x3f8, 0x3ff, "MSR_*_RESIDENCY", READ_ONLY},
    {0x400, 0x47f, "IA32_MC*_CTL, _STATUS, _ADDR, _MISC", PASS},
    {0x480, 0x493, "IA32_VMX_*", DENY},
    {0x4c1, 0x4c8, "IA32_A_PMC0..7", PASS},
    {0x4d0, 0x4d0, "IA32_MCG_EXT_CTL", PASS},
    {0x500, 0x500, "IA32_SGX_SVN_STATUS", DENY},
    {0x560, 0x587, "IA32_RTIT_*", DENY},
    {0x600, 0x600, "IA32_DS_AREA", DENY},
    {0x601, 0x67f, "RAPL, C-state and turbo registers", PASS},
    {0x680, 0x69f, "MSR_LASTBRANCH_*_FROM_IP", PASS},
    {0x6a0, 0x6a8, "IA32_*_CET, IA32_PL*_SSP", DENY},
    {0x6c0, 0x6df, "MSR_LASTBRANCH_*_TO_IP", PASS},
    {0x6e0, 0x6e0, "IA32_TSC_DEADLINE", PASS},
    {0x6e1, 0x6e1, "IA32_PKRS", DENY},
    {0x700, 0x76f, "uncore performance counters", PASS},
    {0x770, 0x777, "IA32_HWP_*", PASS},
    {0x7a3, 0x7a3, "MSR_MISC_PACKAGE", READ_ONLY},
    {0x800, 0x8ff, "x2APIC", PASS},
    {0x981, 0x982, "IA32_TME_CAPABILITY, IA32_TME_ACTIVATE", READ_ONLY},
    {0xc81, 0xd8f, "resource director", PASS},
    {0xd90, 0xd90, "IA32_BNDCFGS", DENY},
    {0xda0, 0xda0, "IA32_XSS", read_pass, write_xss},
    {0xdb0, 0xdb2, "IA32_PKG_HDC_CTL, IA32_PM_CTL1, IA32_THREAD_STALL", PASS},
    {0xdc0, 0xddf, "MSR_LBR_INFO_*", PASS},
    {0xe00, 0xe3f, "uncore performance counters", PASS},
    {0x14ce, 0x14cf, "IA32_LBR_CTL, IA32_LBR_DEPTH", DENY},
    {0x17d0, 0x17d4, "IA32_HW_FEEDBACK_*", DENY},
    {0xc0000080, 0xc0000084, "IA32_EFER, IA32_STAR, IA32_LSTAR, IA32_CSTAR, IA32_FMASK", PASS},
    {0xc0000100, 0xc0000103, "IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE, IA32_TSC_AUX", PASS},
};

/* The table's entry for msr, or -1. */
static int find(uint32_t msr)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(table); i++) {
        if (msr >= table[i].first && msr <= table[i].last)
            return (int)i;
    }
    return -1;
}

const char *msr_name(uint32_t msr)
{
    int i = find(msr);
    return i < 0 ? "?" : table[i].name;
}

void msr_fill_bitmap(struct msr_bitmap *bitmap)
{
    msr_bitmap_init(bitmap);
    for (unsigned i = 0; i < ARRAY_LENGTH(table); i++) {
        for (uint32_t msr = table[i].first; msr <= table[i].last; msr++) {
            if (table[i].read == read_pass)
                msr_bitmap_pass_read(bitmap, msr);
            if (table[i].write == write_pass)
                msr_bitmap_pass_write(bitmap, msr);
        }
    }
}

/* Which bits of an MSR this processor takes: those that a write of each alone does. */
static uint64_t probe_bits(uint32_t msr, uint64_t bits)
{
    uint64_t before;
    uint64_t valid = 0;
    if (!ops_rdmsr_safe(msr, &before))
        return 0;
    for (unsigned i = 0; i < 64; i++) {
        if ((bits & BIT(i)) != 0 && ops_wrmsr_safe(msr, BIT(i)))
            valid |= BIT(i);
    }
    ops_wrmsr(msr, before);
    return valid;
}

void msr_init_cpu(struct guest_cpu *cpu)
{
    mtrr_read(&cpu->mtrrs);
    cpu->debugctl_valid = probe_bits(
        IA32_DEBUGCTL, DEBUGCTL_LBR | DEBUGCTL_BTF | DEBUGCTL_BLD | DEBUGCTL_FREEZE_LBRS_ON_PMI |
                           DEBUGCTL_FREEZE_PERFMON_ON_PMI | DEBUGCTL_UNCORE_PMI |
                           DEBUGCTL_FREEZE_WHILE_SMM | DEBUGCTL_RTM);

    struct cpuid_regs xcr0 = cpuid_lookup(cpu->cpuid, 0xd, 0);
    struct cpuid_regs xss = cpuid_lookup(cpu->cpuid, 0xd, 1);
    cpu->xcr0_valid = xcr0.eax | (uint64_t)xcr0.edx << 32;
    cpu->xss_valid = xss.ecx | (uint64_t)xss.edx << 32;

    /* SDM Vol. 3A, "Determining the Signature": write 0, CPUID, read. */
    uint64_t unused;
    cpu->microcode_revision = 0;
    if (ops_rdmsr_safe(IA32_BIOS_SIGN_ID, &unused) && ops_wrmsr_safe(IA32_BIOS_SIGN_ID, 0)) {
        (void)ops_cpuid(1, 0);
        cpu->microcode_revision = ops_rdmsr(IA32_BIOS_SIGN_ID);
    }
}

/* Says once for each of the first MSRs that nobody thought of what became of the access. */
static void log_unknown(uint32_t msr, bool write)
{
    static struct lock lock; /* of the two below */
    static uint32_t seen[32];
    static unsigned count;

    lock_acquire(&lock);
    unsigned i = 0;
    while (i < count && seen[i] != msr)
        i++;
    if (i == count && count < ARRAY_LENGTH(seen)) {
        seen[count++] = msr;
        log_warning("MSR 0x%x is not in Keel's table: the guest's %s%s", msr,
                    write ? "write was denied" : "read was executed",
                    count == ARRAY_LENGTH(seen) ? "; no further ones are named" : "");
    }
    lock_release(&lock);
}

bool msr_read(struct guest_cpu *cpu, uint32_t msr, uint64_t *value)
{
    int i = find(msr);
    if (i >= 0)
        return table[i].read(cpu, msr, value);
    log_unknown(msr, false);
    return ops_rdmsr_safe(msr, value);
}

bool msr_write(struct guest_cpu *cpu, uint32_t msr, uint64_t value)
{
    int i = find(msr);
    if (i >= 0)
        return table[i].write(cpu, msr, value);
    log_unknown(msr, true);
    return false;
}

struct answer handle_rdmsr(struct guest_cpu *cpu)
{
    struct vcpu_regs *regs = &cpu->vcpu.regs;
    uint64_t value;
    if (!msr_read(cpu, (uint32_t)regs->rcx, &value))
        return answer_inject_error(VECTOR_GP, 0);
    regs->rax = (uint32_t)value;
    regs->rdx = value >> 32;
    return answer(ANSWER_ADVANCE);
}

struct answer handle_wrmsr(struct guest_cpu *cpu)
{
    const struct vcpu_regs *regs = &cpu->vcpu.regs;
    uint64_t value = (uint32_t)regs->rax | regs->rdx << 32;
    if (!msr_write(cpu, (uint32_t)regs->rcx, value))
        return answer_inject_error(VECTOR_GP, 0);
    return answer(ANSWER_ADVANCE);
}
