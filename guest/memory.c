/*
 * EPT violations and memory types: the guest's own holes are mapped when they are touched,
 * and an access to Keel's memory is logged, counted and answered with a fault that Linux
 * can live with. SDM Vol. 3C, "EPT Violations".
 */
#include "guest/handlers.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"
#include "x86/msr.h"

/* SDM Vol. 3C, Table "Exit Qualification for EPT Violations" */
#define QUALIFICATION_READ          BIT(0)
#define QUALIFICATION_WRITE         BIT(1)
#define QUALIFICATION_FETCH         BIT(2)
#define QUALIFICATION_LINEAR_VALID  BIT(7)
#define QUALIFICATION_NMI_UNBLOCKED BIT(12)

#define RIGHTS_DPL MASK(6, 5)

/* One decoded access; linear is meaningful only with has_linear. */
struct access {
    gpa_t address;
    gva_t linear;
    bool has_linear;
    bool write;
    bool fetch;
    bool nmi_unblocked;
};

static struct access decode_access(void)
{
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
    return (struct access){
        .address = GPA(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS)),
        .linear = GVA(vmcs_read(VMCS_GUEST_LINEAR_ADDRESS)),
        .has_linear = (qualification & QUALIFICATION_LINEAR_VALID) != 0,
        .write = (qualification & QUALIFICATION_WRITE) != 0,
        .fetch = (qualification & QUALIFICATION_FETCH) != 0,
        .nmi_unblocked = (qualification & QUALIFICATION_NMI_UNBLOCKED) != 0,
    };
}

static unsigned guest_privilege(void)
{
    return (unsigned)bits_get(vmcs_read(VMCS_GUEST_SS_ACCESS_RIGHTS), RIGHTS_DPL);
}

/* Is the fetch bit of page-fault error codes in use? SDM Vol. 3A, "Page-Fault Exceptions". */
static bool reports_fetch(void)
{
    uint64_t cr4 = vmcs_read(VMCS_GUEST_CR4);
    return (cr4 & CR4_SMEP) != 0 ||
           ((cr4 & CR4_PAE) != 0 && (vmcs_read(VMCS_GUEST_IA32_EFER) & EFER_NXE) != 0);
}

/*
 * A page fault "not present" is what Linux can fix up in its own half, as it does for a
 * stray load_unaligned_zeropad(); in the user half it would ask for a page again and again,
 * so there, and where no page tables can have led astray, it is a general-protection fault.
 */
static struct answer refuse_access(const struct access *access)
{
    bool paging = (vmcs_read(VMCS_GUEST_CR0) & CR0_PG) != 0;
    bool supervisor_half = (int64_t)access->linear.value < 0;
    uint32_t error = 0;

    if (!paging || !access->has_linear || !supervisor_half)
        return answer_inject_error(VECTOR_GP, 0);
    if (access->write)
        error |= PF_WRITE;
    if (guest_privilege() == 3)
        error |= PF_USER;
    if (access->fetch && reports_fetch())
        error |= PF_FETCH;
    ops_write_cr2(access->linear.value);
    return answer_inject_error(VECTOR_PF, error);
}

/* One line for a run of them by one instruction, such as a loop over all of Keel's pages. */
static void report_violation(struct guest *guest, const struct access *access)
{
    static struct log_limit limit = {16};
    static uint64_t last_run;
    uint64_t rip = vmcs_read(VMCS_GUEST_RIP);
    uint64_t run = access->fetch ? UINT64_MAX : rip; /* a fetch's RIP is its address */

    bool again = guest->violations++ > 0 && run == last_run;
    last_run = run;
    if (!again && log_limited(&limit))
        log_warning(
            "violation: the guest's %s of 0x%lx, which it does not own (linear 0x%lx, RIP 0x%lx)%s",
            access->fetch   ? "fetch"
            : access->write ? "write"
                            : "read",
            access->address.value, access->has_linear ? access->linear.value : 0, rip,
            limit.left == 0 ? "; further ones are counted only" : "");
}

/* The guest's lock is held. */
static void forget_holes(struct guest *guest)
{
    bool flush = false;
    ept_forget_holes(&guest->ept, &flush);
    if (flush)
        guest_flush_ept();
}

struct answer handle_ept_violation(struct guest_cpu *cpu)
{
    struct guest *guest = cpu->guest;
    struct access access = decode_access();

    lock_acquire(&guest->lock);
    enum ept_fault fault = ept_touch(&guest->ept, access.address);
    if (fault == EPT_FAULT_FULL) {
        forget_holes(guest);
        fault = ept_touch(&guest->ept, access.address);
    }
    if (fault != EPT_FAULT_MAPPED)
        report_violation(guest, &access);
    lock_release(&guest->lock);
    if (fault != EPT_FAULT_MAPPED)
        return refuse_access(&access);
    return (struct answer){.kind = ANSWER_RETRY, .nmi_unblocked = access.nmi_unblocked};
}

static void follow_mtrrs(struct guest *guest, const struct mtrrs *mtrrs)
{
    static struct log_limit limit = {1};
    bool flush = false;

    forget_holes(guest);
    guest->mtrrs = *mtrrs;
    if (ept_retype(&guest->ept, &flush) != STATUS_OK) {
        /* Uncached everywhere is always safe, and needs no table that is not there. */
        if (log_limited(&limit))
            log_warning("the guest's MTRRs need more EPT tables than there are: all uncached");
        guest->mtrrs.def_type = 0;
        if (ept_retype(&guest->ept, &flush) != STATUS_OK)
            log_error("the EPT cannot follow the guest's MTRRs");
    }
    ops_wbinvd();
    if (flush)
        guest_flush_ept();
}

void guest_mtrrs_on(struct guest_cpu *cpu)
{
    struct guest *guest = cpu->guest;

    /* Every CPU of Linux's rendezvous comes here; the first brings the change. */
    lock_acquire(&guest->lock);
    if (memcmp(&guest->mtrrs, &cpu->mtrrs, sizeof(guest->mtrrs)) != 0)
        follow_mtrrs(guest, &cpu->mtrrs);
    lock_release(&guest->lock);
}
