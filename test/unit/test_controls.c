/*
 * The control words and the check of capabilities. SDM Vol. 3D, Appendix A, "VMX Capability
 * Reporting Facility": of a control's MSR, bits 31:0 may not be 0, bits 63:32 may be 1.
 */
#include "unit.h"

#include "fake.h"
#include "vmx/controls.h"
#include "x86/msr.h"

/* A processor that allows every setting beside its "default1" class (Appendix A.2 to A.5). */
static const struct vmx_caps flexible = {
    .basic = BIT(55) | UINT64_C(6) << 50 | 0x12,
    .misc = BIT(5) | BIT(6) | BIT(8),
    .pin = 0xffffffff00000016,
    .primary = 0xffffffff04006172,
    .secondary = 0xffffffff00000000,
    .exit = 0xffffffff00036dfb,
    .entry = 0xffffffff000011fb,
    .ept_vpid = 0xf0106734141,
};

/* What Keel cannot do without: word (0 pin to 4 entry), bit, a part of the SDM's name. */
static const struct {
    unsigned word;
    unsigned bit;
    const char *name;
} required[] = {
    {0, 3, "NMI exiting"},
    {0, 5, "irtual NMIs"},
    {1, 28, "MSR bitmaps"},
    {1, 25, "I/O bitmaps"},
    {1, 31, "secondary controls"},
    {2, 1, "EPT"},
    {2, 5, "VPID"},
    {2, 7, "nrestricted guest"},
    {3, 9, "ost address-space size"},
    {3, 18, "save IA32_PAT"},
    {3, 19, "load IA32_PAT"},
    {3, 20, "save IA32_EFER"},
    {3, 21, "load IA32_EFER"},
    {4, 9, "IA-32e mode guest"},
    {4, 14, "load IA32_PAT"},
    {4, 15, "load IA32_EFER"},
};

/* What must never be on: it would make the guest exit, or hide what it may see. */
static const struct {
    unsigned word;
    unsigned bit;
} forbidden[] = {{0, 0}, {1, 7}, {1, 9}, {1, 12}, {1, 15}, {1, 16}, {1, 23}};

static uint64_t *word_of(struct vmx_caps *caps, unsigned word)
{
    uint64_t *const words[] = {&caps->pin, &caps->primary, &caps->secondary, &caps->exit,
                               &caps->entry};
    return words[word];
}

static uint32_t result_of(const struct vmx_controls *controls, unsigned word)
{
    const uint32_t words[] = {controls->pin, controls->primary, controls->secondary, controls->exit,
                              controls->entry};
    return words[word];
}

static void expect_legal(struct vmx_caps *caps, const struct vmx_controls *controls)
{
    for (unsigned word = 0; word < 5; word++) {
        uint64_t capability = *word_of(caps, word);
        uint32_t result = result_of(controls, word);
        NOTE("word %u: 0x%x", word, result);
        CHECK_EQ((uint32_t)capability & ~result, 0);
        CHECK_EQ(result & ~(uint32_t)(capability >> 32), 0);
    }
}

TEST(a_flexible_processor)
{
    struct vmx_caps caps = flexible;
    struct vmx_controls controls;
    const char *missing = NULL;
    CHECK_EQ(vmx_controls_compute(&caps, &controls, &missing), STATUS_OK);
    expect_legal(&caps, &controls);
    for (unsigned i = 0; i < ARRAY_LENGTH(required); i++)
        CHECK(result_of(&controls, required[i].word) >> required[i].bit & 1);
    for (unsigned i = 0; i < ARRAY_LENGTH(forbidden); i++)
        CHECK(!(result_of(&controls, forbidden[i].word) >> forbidden[i].bit & 1));
    /* What CPUID shows to the guest must work: RDTSCP, INVPCID, XSAVES. */
    CHECK_EQ(controls.secondary & (BIT(3) | BIT(12) | BIT(20)), BIT(3) | BIT(12) | BIT(20));
    /* and nothing is on that nobody has asked for */
    CHECK_EQ(
        controls.secondary & ~(BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(12) | BIT(20) | BIT(26)), 0);
}

TEST(each_missing_control_is_named)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(required); i++) {
        struct vmx_caps caps = flexible;
        struct vmx_controls controls;
        const char *missing = NULL;
        uint64_t both = BIT(required[i].bit) | BIT(required[i].bit + 32);
        *word_of(&caps, required[i].word) &= ~both;
        NOTE("%s", required[i].name);
        CHECK_EQ(vmx_controls_compute(&caps, &controls, &missing), STATUS_NO_SUPPORT);
        CHECK(missing != NULL && strstr(missing, required[i].name) != NULL);
    }
}

TEST(each_imposed_control_is_named)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(forbidden); i++) {
        struct vmx_caps caps = flexible;
        struct vmx_controls controls;
        const char *missing = NULL;
        *word_of(&caps, forbidden[i].word) |= BIT(forbidden[i].bit);
        NOTE("word %u bit %u", forbidden[i].word, forbidden[i].bit);
        CHECK_EQ(vmx_controls_compute(&caps, &controls, &missing), STATUS_NO_SUPPORT);
        CHECK(missing != NULL && *missing != '\0');
    }
}

TEST(an_optional_control_may_be_absent)
{
    static const unsigned optional[] = {3, 12, 20, 26};
    for (unsigned i = 0; i < ARRAY_LENGTH(optional); i++) {
        struct vmx_caps caps = flexible;
        struct vmx_controls controls;
        const char *missing;
        caps.secondary &= ~BIT(optional[i] + 32);
        CHECK_EQ(vmx_controls_compute(&caps, &controls, &missing), STATUS_OK);
        CHECK(!(controls.secondary >> optional[i] & 1));
        expect_legal(&caps, &controls);
    }
}

TEST(imposed_bits_stay)
{
    struct vmx_caps caps = flexible;
    struct vmx_controls controls;
    const char *missing;
    caps.pin |= BIT(1) | BIT(30);
    caps.exit |= BIT(12);
    CHECK_EQ(vmx_controls_compute(&caps, &controls, &missing), STATUS_OK);
    expect_legal(&caps, &controls);
}

/* Random capabilities (what must be 1 may be 1): the words are legal, or a name is given. */
TEST(random_processors)
{
    unsigned accepted = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct vmx_caps caps = flexible;
        struct vmx_controls controls;
        const char *missing = NULL;
        for (unsigned word = 0; word < 5; word++) {
            uint64_t *capability = word_of(&caps, word);
            *capability &= ~(
                (unit_random() & unit_random() & unit_random() & unit_random() & unit_random())
                << 32);
            *capability |= (uint32_t)(unit_random() & unit_random() & unit_random() &
                                      unit_random() & unit_random()) &
                           (*capability >> 32);
            *capability |= (*capability & UINT32_MAX) << 32;
        }
        NOTE("round %u", round);
        if (vmx_controls_compute(&caps, &controls, &missing) == STATUS_OK) {
            expect_legal(&caps, &controls);
            accepted++;
        } else {
            CHECK(missing != NULL);
        }
    }
    CHECK(accepted > 10);
}

/* SDM Vol. 3D, Appendix A.10, "VPID and EPT Capabilities"; A.1; A.6. */
TEST(capabilities_beside_the_controls)
{
    static const unsigned needed[] = {6, 14, 16, 20, 26};
    struct vmx_caps caps = flexible;
    const char *missing = NULL;
    CHECK_EQ(vmx_caps_check(&caps, 39, &missing), STATUS_OK);
    CHECK_EQ(vmx_caps_check(&caps, 48, &missing), STATUS_OK);
    CHECK_EQ(vmx_caps_check(&caps, 52, &missing), STATUS_NO_SUPPORT);
    CHECK(strstr(missing, "5") != NULL);
    caps.ept_vpid |= BIT(7);
    CHECK_EQ(vmx_caps_check(&caps, 52, &missing), STATUS_OK);
    for (unsigned i = 0; i < ARRAY_LENGTH(needed); i++) {
        caps = flexible;
        caps.ept_vpid &= ~BIT(needed[i]);
        missing = NULL;
        CHECK_EQ(vmx_caps_check(&caps, 46, &missing), STATUS_NO_SUPPORT);
        CHECK(missing != NULL && *missing != '\0');
    }
    caps = flexible;
    caps.misc &= ~BIT(8);
    CHECK_EQ(vmx_caps_check(&caps, 46, &missing), STATUS_NO_SUPPORT);
    CHECK(strstr(missing, "wait-for-SIPI") != NULL);
    caps = flexible;
    caps.basic &= ~(UINT64_C(15) << 50); /* the VMCS must be accessed as UC */
    CHECK_EQ(vmx_caps_check(&caps, 46, &missing), STATUS_NO_SUPPORT);
}

static void set_basic_msrs(uint64_t basic)
{
    fake_set_msr_read_only(IA32_VMX_BASIC, basic);
    for (uint32_t msr = IA32_VMX_PINBASED_CTLS; msr <= IA32_VMX_CR4_FIXED1; msr++)
        fake_set_msr_read_only(msr, msr);
}

/* Appendix A.2: which MSR exists follows from bits of the others; the fake faults on the rest. */
TEST(only_msrs_that_exist_are_read)
{
    struct vmx_caps caps;
    set_basic_msrs(0x12);
    vmx_caps_read(&caps);
    CHECK_EQ(caps.pin, IA32_VMX_PINBASED_CTLS);
    CHECK_EQ(caps.entry, IA32_VMX_ENTRY_CTLS);
    CHECK_EQ(caps.secondary, 0);
    CHECK_EQ(caps.ept_vpid, 0);

    set_basic_msrs(BIT(55) | 0x12);
    fake_set_msr_read_only(IA32_VMX_TRUE_PINBASED_CTLS, flexible.pin);
    fake_set_msr_read_only(IA32_VMX_TRUE_PROCBASED_CTLS, flexible.primary & ~BIT(49));
    fake_set_msr_read_only(IA32_VMX_TRUE_EXIT_CTLS, flexible.exit & ~BIT(63));
    fake_set_msr_read_only(IA32_VMX_TRUE_ENTRY_CTLS, flexible.entry);
    fake_set_msr_read_only(IA32_VMX_PROCBASED_CTLS2, BIT(32 + 7));
    vmx_caps_read(&caps);
    CHECK_EQ(caps.pin, flexible.pin);
    CHECK_EQ(caps.secondary, BIT(32 + 7));
    CHECK_EQ(caps.ept_vpid, 0); /* neither EPT nor VPID: that MSR is not there */
    CHECK_EQ(caps.tertiary, 0);

    fake_set_msr_read_only(IA32_VMX_PROCBASED_CTLS2, flexible.secondary);
    fake_set_msr_read_only(IA32_VMX_EPT_VPID_CAP, flexible.ept_vpid);
    fake_set_msr_read_only(IA32_VMX_TRUE_PROCBASED_CTLS, flexible.primary);
    fake_set_msr_read_only(IA32_VMX_PROCBASED_CTLS3, 0x33);
    fake_set_msr_read_only(IA32_VMX_TRUE_EXIT_CTLS, flexible.exit);
    fake_set_msr_read_only(IA32_VMX_EXIT_CTLS2, 0x44);
    vmx_caps_read(&caps);
    CHECK_EQ(caps.ept_vpid, flexible.ept_vpid);
    CHECK_EQ(caps.tertiary, 0x33);
    CHECK_EQ(caps.exit2, 0x44);
}
