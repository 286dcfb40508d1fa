/*
 * Which handler answers which exit. A reason without one stops the guest by its name:
 * nothing is skipped because nobody thought of it. SDM Vol. 3D, Appendix C, "VMX Basic Exit
 * Reasons".
 */
#include "guest/guest.h"
#include "guest/handlers.h"
#include "lib/log.h"
#include "vmx/event.h"
#include "x86/ops.h"

/* The exits of instructions that a processor without VMX, or SMX, would not know. */
static struct answer handle_undefined(struct guest_cpu *cpu UNUSED)
{
    return answer_inject(VECTOR_UD);
}

/* SDM Vol. 2A, "INVD": it would throw away what Keel has written. */
static struct answer handle_invd(struct guest_cpu *cpu UNUSED)
{
    ops_wbinvd();
    return answer(ANSWER_ADVANCE);
}

static struct answer handle_triple_fault(struct guest_cpu *cpu UNUSED)
{
    return answer(ANSWER_TRIPLE_FAULT);
}

static struct answer handle_init(struct guest_cpu *cpu UNUSED)
{
    return answer(ANSWER_INIT);
}

static struct answer handle_sipi(struct guest_cpu *cpu UNUSED)
{
    return answer(ANSWER_STARTUP);
}

static struct answer handle_nmi_window(struct guest_cpu *cpu)
{
    static struct log_limit limit = {4};
    if (cpu->vcpu.machine_check_pending && log_limited(&limit))
        log_error("machine check in root mode: given to the guest");
    event_nmi_window(&cpu->vcpu);
    return answer(ANSWER_RESUME);
}

typedef struct answer (*handler_fn)(struct guest_cpu *cpu);

static const struct {
    const char *name;
    handler_fn handle;
} table[EXIT_REASON_COUNT] = {
    [0] = {"exception or NMI", handle_exception},
    [1] = {"external interrupt", NULL},
    [2] = {"triple fault", handle_triple_fault},
    [3] = {"INIT signal", handle_init},
    [4] = {"SIPI", handle_sipi},
    [5] = {"I/O SMI", NULL},
    [6] = {"other SMI", NULL},
    [7] = {"interrupt window", NULL},
    [8] = {"NMI window", handle_nmi_window},
    [9] = {"task switch", NULL},
    [10] = {"CPUID", handle_cpuid},
    [11] = {"GETSEC", handle_undefined},
    [12] = {"HLT", NULL},
    [13] = {"INVD", handle_invd},
    [14] = {"INVLPG", NULL},
    [15] = {"RDPMC", NULL},
    [16] = {"RDTSC", NULL},
    [17] = {"RSM", NULL},
    [18] = {"VMCALL", handle_undefined},
    [19] = {"VMCLEAR", handle_undefined},
    [20] = {"VMLAUNCH", handle_undefined},
    [21] = {"VMPTRLD", handle_undefined},
    [22] = {"VMPTRST", handle_undefined},
    [23] = {"VMREAD", handle_undefined},
    [24] = {"VMRESUME", handle_undefined},
    [25] = {"VMWRITE", handle_undefined},
    [26] = {"VMXOFF", handle_undefined},
    [27] = {"VMXON", handle_undefined},
    [28] = {"control-register access", handle_cr_access},
    [29] = {"MOV DR", NULL},
    [30] = {"I/O instruction", handle_io},
    [31] = {"RDMSR", handle_rdmsr},
    [32] = {"WRMSR", handle_wrmsr},
    [33] = {"VM-entry failure: invalid guest state", NULL},
    [34] = {"VM-entry failure: MSR loading", NULL},
    [36] = {"MWAIT", NULL},
    [37] = {"monitor trap flag", NULL},
    [39] = {"MONITOR", NULL},
    [40] = {"PAUSE", NULL},
    [41] = {"VM-entry failure: machine check", NULL},
    [43] = {"TPR below threshold", NULL},
    [44] = {"APIC access", NULL},
    [45] = {"virtualized EOI", NULL},
    [46] = {"access to GDTR or IDTR", NULL},
    [47] = {"access to LDTR or TR", NULL},
    [48] = {"EPT violation", handle_ept_violation},
    [49] = {"EPT misconfiguration", NULL},
    [50] = {"INVEPT", handle_undefined},
    [51] = {"RDTSCP", NULL},
    [52] = {"VMX-preemption timer", NULL},
    [53] = {"INVVPID", handle_undefined},
    [54] = {"WBINVD", NULL},
    [55] = {"XSETBV", handle_xsetbv},
    [56] = {"APIC write", NULL},
    [57] = {"RDRAND", NULL},
    [58] = {"INVPCID", NULL},
    [59] = {"VMFUNC", handle_undefined},
    [60] = {"ENCLS", NULL},
    [61] = {"RDSEED", NULL},
    [62] = {"page-modification log full", NULL},
    [63] = {"XSAVES", NULL},
    [64] = {"XRSTORS", NULL},
    [65] = {"PCONFIG", handle_undefined},
    [66] = {"SPP-related event", NULL},
    [67] = {"UMWAIT", NULL},
    [68] = {"TPAUSE", NULL},
    [69] = {"LOADIWKEY", NULL},
    [70] = {"ENCLV", NULL},
    [72] = {"ENQCMD PASID translation failure", NULL},
    [73] = {"ENQCMDS PASID translation failure", NULL},
    [74] = {"bus lock", NULL},
    [75] = {"instruction timeout", NULL},
    [76] = {"SEAMCALL", handle_undefined},
    [77] = {"TDCALL", handle_undefined},
    [78] = {"RDMSRLIST", NULL},
    [79] = {"WRMSRLIST", NULL},
};

struct answer guest_handle_exit(struct guest_cpu *cpu, uint32_t reason)
{
    if (reason >= EXIT_REASON_COUNT || table[reason].handle == NULL)
        return answer(ANSWER_STOP);
    return table[reason].handle(cpu);
}

const char *guest_exit_name(uint32_t reason)
{
    if (reason >= EXIT_REASON_COUNT || table[reason].name == NULL)
        return "?";
    return table[reason].name;
}
