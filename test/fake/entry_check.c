/* See entry_check.h. Every condition stands as it must hold; its text is the answer. */
#include "entry_check.h"

#include <stddef.h>

#include "fake.h"
#include "vmx/controls.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"
#include "x86/msr.h"

#define REQUIRE(condition)     \
    do {                       \
        if (!(condition))      \
            return #condition; \
    } while (0)

#define FIELD(name) fake_vmcs(VMCS_##name)

#define HLT           1
#define SHUTDOWN      2
#define WAIT_FOR_SIPI 3

static bool is_set(uint64_t value, unsigned bit)
{
    return (value >> bit & 1) != 0;
}

/* Bits 63:bits-1 are all alike. */
static bool is_canonical(uint64_t address)
{
    int64_t top = (int64_t)address >> (FAKE_LINEAR_BITS - 1);
    return top == 0 || top == -1;
}

static bool is_pat(uint64_t pat)
{
    for (unsigned i = 0; i < 64; i += 8) {
        uint64_t type = pat >> i & 0xff;
        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

/* "Checks on Guest Control Registers, Debug Registers, and MSRs" */
static const char *check_registers(bool ia32e)
{
    uint64_t cr0 = FIELD(GUEST_CR0), cr4 = FIELD(GUEST_CR4), efer = FIELD(GUEST_IA32_EFER);
    uint64_t debugctl = FIELD(GUEST_IA32_DEBUGCTL);
    /* unrestricted guest: PE and PG may be 0; CD and NW are never checked */
    uint64_t cr0_fixed0 = FAKE_CR0_FIXED0 & ~(CR0_PE | CR0_PG);
    uint64_t efer_known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

    REQUIRE((cr0_fixed0 & ~cr0) == 0 && (cr0 & ~(FAKE_CR0_FIXED1 | CR0_CD | CR0_NW)) == 0);
    REQUIRE((cr0 & CR0_PG) == 0 || (cr0 & CR0_PE) != 0);
    REQUIRE((FAKE_CR4_FIXED0 & ~cr4) == 0 && (cr4 & ~FAKE_CR4_FIXED1) == 0);
    REQUIRE((cr4 & CR4_CET) == 0 || (cr0 & CR0_WP) != 0);
    REQUIRE((debugctl & ~UINT64_C(0xffc7)) == 0);
    REQUIRE(!ia32e || ((cr0 & CR0_PG) != 0 && (cr4 & CR4_PAE) != 0));
    REQUIRE(ia32e || (cr4 & CR4_PCIDE) == 0);
    REQUIRE(FIELD(GUEST_CR3) >> FAKE_PHYSICAL_BITS == 0);
    REQUIRE(FIELD(GUEST_DR7) >> 32 == 0);
    REQUIRE(is_canonical(FIELD(GUEST_IA32_SYSENTER_ESP)));
    REQUIRE(is_canonical(FIELD(GUEST_IA32_SYSENTER_EIP)));
    REQUIRE(is_pat(FIELD(GUEST_IA32_PAT)));
    REQUIRE((efer & ~efer_known) == 0);
    REQUIRE(((efer & EFER_LMA) != 0) == ia32e);
    REQUIRE((cr0 & CR0_PG) == 0 || ((efer & EFER_LMA) != 0) == ((efer & EFER_LME) != 0));
    return NULL;
}

struct segment {
    uint64_t selector, base, limit, rights;
    unsigned type, dpl;
    bool usable;
};

/* number: ES CS SS DS FS GS LDTR TR */
static struct segment segment(unsigned number)
{
    unsigned offset = 2 * number;
    struct segment s = {
        .selector = fake_vmcs(VMCS_GUEST_ES_SELECTOR + offset),
        .base = fake_vmcs(VMCS_GUEST_ES_BASE + offset),
        .limit = fake_vmcs(VMCS_GUEST_ES_LIMIT + offset),
        .rights = fake_vmcs(VMCS_GUEST_ES_ACCESS_RIGHTS + offset),
    };
    s.type = s.rights & 15;
    s.dpl = s.rights >> 5 & 3;
    s.usable = !is_set(s.rights, 16);
    return s;
}

enum segment_number {
    ES,
    CS,
    SS,
    DS,
    FS,
    GS,
    LDTR,
    TR
};

/* What holds for the rights of every register that is usable. */
static const char *check_rights(struct segment s, bool is_system)
{
    REQUIRE(is_set(s.rights, 4) == !is_system);
    REQUIRE(is_set(s.rights, 7)); /* present */
    REQUIRE((s.rights & 0xfffe0f00) == 0);
    REQUIRE((s.limit & 0xfff) == 0xfff || !is_set(s.rights, 15));
    REQUIRE(s.limit >> 20 == 0 || is_set(s.rights, 15));
    return NULL;
}

/* "Checks on Guest Segment Registers", but in virtual-8086 mode */
static const char *check_segments(bool ia32e)
{
    struct segment cs = segment(CS), ss = segment(SS), ldtr = segment(LDTR), tr = segment(TR);
    bool real = (FIELD(GUEST_CR0) & CR0_PE) == 0;
    const char *failed = NULL;

    REQUIRE((tr.selector & 4) == 0);
    REQUIRE(!ldtr.usable || (ldtr.selector & 4) == 0);
    REQUIRE(is_canonical(tr.base) && is_canonical(segment(FS).base));
    REQUIRE(is_canonical(segment(GS).base) && (!ldtr.usable || is_canonical(ldtr.base)));
    REQUIRE(cs.base >> 32 == 0);

    REQUIRE(cs.usable);
    REQUIRE(cs.type == 3 || cs.type == 9 || cs.type == 11 || cs.type == 13 || cs.type == 15);
    REQUIRE(cs.type != 3 || cs.dpl == 0);
    REQUIRE((cs.type != 9 && cs.type != 11) || cs.dpl == ss.dpl);
    REQUIRE((cs.type != 13 && cs.type != 15) || cs.dpl <= ss.dpl);
    REQUIRE(!ia32e || !is_set(cs.rights, 13) || !is_set(cs.rights, 14)); /* L and D/B */
    REQUIRE((!real && cs.type != 3) || ss.dpl == 0);
    REQUIRE(!ss.usable || ss.type == 3 || ss.type == 7);
    for (unsigned i = ES; i <= GS && failed == NULL; i++) {
        struct segment s = segment(i);
        if (!s.usable)
            continue;
        REQUIRE(is_set(s.rights, 0)); /* accessed */
        REQUIRE(i == CS || (s.type & 8) == 0 || (s.type & 2) != 0);
        REQUIRE(i == FS || i == GS || s.base >> 32 == 0);
        failed = check_rights(s, false);
    }
    if (failed == NULL && ldtr.usable) {
        REQUIRE(ldtr.type == 2);
        failed = check_rights(ldtr, true);
    }
    REQUIRE(tr.usable && (tr.type == 11 || (tr.type == 3 && !ia32e)));
    if (failed == NULL)
        failed = check_rights(tr, true);
    REQUIRE(is_canonical(FIELD(GUEST_GDTR_BASE)) && is_canonical(FIELD(GUEST_IDTR_BASE)));
    REQUIRE(FIELD(GUEST_GDTR_LIMIT) >> 16 == 0 && FIELD(GUEST_IDTR_LIMIT) >> 16 == 0);
    return failed;
}

/* "VM-Entry Control Fields": the event that is injected */
static const char *check_event(uint64_t info)
{
    unsigned vector = info & 0xff, type = (unsigned)(info >> 8 & 7);
    bool has_error = (info & EVENT_HAS_ERROR) != 0;
    bool pushes_error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;

    if ((info & EVENT_VALID) == 0)
        return NULL;
    REQUIRE(type != 1 && type != 7); /* reserved; and no monitor trap flag */
    REQUIRE(type != EVENT_NMI || vector == 2);
    REQUIRE(type != EVENT_HARDWARE_EXCEPTION || vector <= 31);
    REQUIRE(vector == 21 || has_error == (type == EVENT_HARDWARE_EXCEPTION && pushes_error &&
                                          (FIELD(GUEST_CR0) & CR0_PE) != 0));
    REQUIRE((info & 0x7ffff000) == 0);
    REQUIRE(!has_error || FIELD(ENTRY_EXCEPTION_ERROR_CODE) >> 16 == 0);
    REQUIRE(type < EVENT_SOFTWARE_INTERRUPT ||
            (FIELD(ENTRY_INSTRUCTION_LENGTH) >= 1 && FIELD(ENTRY_INSTRUCTION_LENGTH) <= 15));
    return NULL;
}

/* "Checks on Guest RIP, RFLAGS, and SSP", "Checks on Guest Non-Register State" */
static const char *check_rest(bool ia32e, uint64_t info)
{
    uint64_t rip = FIELD(GUEST_RIP), rflags = FIELD(GUEST_RFLAGS);
    uint64_t activity = FIELD(GUEST_ACTIVITY_STATE), blocking = FIELD(GUEST_INTERRUPTIBILITY);
    uint64_t debug = FIELD(GUEST_PENDING_DEBUG_EXCEPTIONS);
    bool shadow = (blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) != 0;
    bool valid = (info & EVENT_VALID) != 0;
    unsigned type = (unsigned)(info >> 8 & 7), vector = info & 0xff;
    bool steps = (rflags & RFLAGS_TF) != 0 && (FIELD(GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF) == 0;
    int64_t upper = (int64_t)rip >> FAKE_LINEAR_BITS;

    REQUIRE((ia32e && is_set(segment(CS).rights, 13)) || rip >> 32 == 0);
    REQUIRE(upper == 0 || upper == -1);
    REQUIRE((rflags & ~UINT64_C(0x3f7fd7)) == 0 && (rflags & RFLAGS_FIXED) != 0);
    REQUIRE(!is_set(rflags, 17) || (!ia32e && (FIELD(GUEST_CR0) & CR0_PE) != 0)); /* VM */
    REQUIRE(!valid || type != EVENT_EXTERNAL || (rflags & RFLAGS_IF) != 0);

    REQUIRE(activity <= WAIT_FOR_SIPI);
    REQUIRE(activity != HLT || segment(SS).dpl == 0);
    REQUIRE(!shadow || activity == 0);
    REQUIRE(!valid || activity != HLT || type == EVENT_EXTERNAL || type == EVENT_NMI ||
            (type == EVENT_HARDWARE_EXCEPTION && (vector == 1 || vector == 18)));
    REQUIRE(!valid || activity != SHUTDOWN || vector == 2 || vector == 18);
    REQUIRE(!valid || activity != WAIT_FOR_SIPI);
    REQUIRE(blocking >> 4 == 0 && (blocking & BLOCKING_BY_SMI) == 0);
    REQUIRE((blocking & 3) != 3);
    REQUIRE((blocking & BLOCKING_BY_STI) == 0 || (rflags & RFLAGS_IF) != 0);
    REQUIRE(!valid || type != EVENT_EXTERNAL || !shadow);
    REQUIRE(!valid || type != EVENT_NMI || !shadow); /* STI: on some processors */
    REQUIRE(!valid || type != EVENT_NMI || (blocking & BLOCKING_BY_NMI) == 0);
    REQUIRE((debug & ~UINT64_C(0x1500f)) == 0);
    REQUIRE((!shadow && activity != HLT) || is_set(debug, 14) == steps);
    REQUIRE(FIELD(VMCS_LINK_POINTER) == ~UINT64_C(0));
    return NULL;
}

const char *fake_check_entry(void)
{
    bool ia32e = (FIELD(ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST) != 0;
    uint64_t info = FIELD(ENTRY_INTERRUPTION_INFO);
    const char *failed = check_registers(ia32e);

    if (failed == NULL)
        failed = check_segments(ia32e);
    if (failed == NULL)
        failed = check_event(info);
    return failed == NULL ? check_rest(ia32e, info) : failed;
}
