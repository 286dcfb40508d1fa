/*
 * Events and progress, on a VMCS that is a map. SDM Vol. 3C, "Event Injection", "Information
 * for VM Exits That Occur During Event Delivery"; Vol. 3A, "Interrupt 8: Double Fault
 * Exception (#DF)".
 */
#include "unit.h"

#include "fake.h"
#include "vmx/controls.h"
#include "vmx/event.h"
#include "vmx/vmcs.h"
#include "x86/msr.h"

#define VALID   UINT64_C(0x80000000)
#define ERROR   UINT64_C(0x800)
#define TYPE(t) ((uint64_t)(t) << 8)
#define BS      BIT(14)

static struct vcpu vcpu;

static void start(uint64_t rip, uint64_t length, uint64_t rflags)
{
    fake_reset();
    memset(&vcpu, 0, sizeof(vcpu));
    fake_set_vmcs(VMCS_GUEST_RIP, rip);
    fake_set_vmcs(VMCS_EXIT_INSTRUCTION_LENGTH, length);
    fake_set_vmcs(VMCS_GUEST_RFLAGS, rflags | 2);
    fake_set_vmcs(VMCS_GUEST_CR0, CR0_PE | CR0_PG);
    fake_set_vmcs(VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa09b);
}

TEST(advancing)
{
    start(0xffffffff81000000, 2, RFLAGS_IF);
    event_advance();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0xffffffff81000002);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RFLAGS), RFLAGS_IF | 2);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), 0);
}

/* An emulated instruction ends the shadow of STI or MOV SS; blocking by NMI and SMI stay. */
TEST(advancing_ends_the_shadow)
{
    for (uint64_t blocking = 0; blocking < 16; blocking++) {
        start(0x1000, 3, 0);
        fake_set_vmcs(VMCS_GUEST_INTERRUPTIBILITY, blocking);
        event_advance();
        CHECK_EQ(fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY), blocking & 12);
    }
}

TEST(advancing_clears_rf_and_steps)
{
    start(0x1000, 2, RFLAGS_RF);
    event_advance();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RFLAGS), 2);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 0);

    start(0x1000, 2, RFLAGS_TF | RFLAGS_RF);
    fake_set_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 1);
    event_advance();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RFLAGS), RFLAGS_TF | 2);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), BS | 1);

    start(0x1000, 2, RFLAGS_TF); /* with BTF only branches are stepped */
    fake_set_vmcs(VMCS_GUEST_IA32_DEBUGCTL, DEBUGCTL_BTF);
    event_advance();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
}

TEST(advancing_at_4_gib)
{
    start(0xfffffffe, 2, 0); /* 64-bit mode goes on */
    fake_set_vmcs(VMCS_GUEST_IA32_EFER, EFER_LMA);
    event_advance();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0x100000000);
    start(0xfffffffe, 2, 0); /* CS.L means nothing outside IA-32e mode */
    event_advance();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0);
    start(0xfffffffe, 2, 0); /* 32-bit code wraps */
    fake_set_vmcs(VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc09b);
    event_advance();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0);
    start(0xfffffffe, 2, 0);
    fake_set_vmcs(VMCS_GUEST_CS_ACCESS_RIGHTS, 0x9b);
    event_advance();
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0);
}

/* SDM Vol. 3A, Table "Conditions for Generating a Double Fault". */
TEST(the_double_fault_table)
{
    static const unsigned benign[] = {1, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19};
    static const unsigned contributory[] = {0, 10, 11, 12, 13, 21};
    for (unsigned i = 0; i < ARRAY_LENGTH(contributory); i++) {
        unsigned vector = contributory[i];
        NOTE("vector %u", vector);
        for (unsigned j = 0; j < ARRAY_LENGTH(contributory); j++)
            CHECK_EQ(event_merge(EVENT_HARDWARE_EXCEPTION, vector, (enum vector)contributory[j]),
                     MERGE_DOUBLE_FAULT);
        CHECK_EQ(event_merge(EVENT_HARDWARE_EXCEPTION, vector, VECTOR_PF), MERGE_SECOND);
        CHECK_EQ(event_merge(EVENT_HARDWARE_EXCEPTION, VECTOR_PF, (enum vector)vector),
                 MERGE_DOUBLE_FAULT);
        CHECK_EQ(event_merge(EVENT_HARDWARE_EXCEPTION, VECTOR_DF, (enum vector)vector),
                 MERGE_TRIPLE_FAULT);
        for (unsigned j = 0; j < ARRAY_LENGTH(benign); j++) {
            CHECK_EQ(event_merge(EVENT_HARDWARE_EXCEPTION, vector, (enum vector)benign[j]),
                     MERGE_SECOND);
            CHECK_EQ(event_merge(EVENT_HARDWARE_EXCEPTION, benign[j], (enum vector)vector),
                     MERGE_SECOND);
        }
        /* Interrupts and INT n are benign, whatever their vector. */
        static const enum event_type others[] = {
            EVENT_EXTERNAL, EVENT_NMI, EVENT_SOFTWARE_INTERRUPT,
            EVENT_PRIVILEGED_SOFTWARE_EXCEPTION, EVENT_SOFTWARE_EXCEPTION};
        for (unsigned j = 0; j < ARRAY_LENGTH(others); j++) {
            CHECK_EQ(event_merge(others[j], 13, (enum vector)vector), MERGE_SECOND);
            CHECK_EQ(event_merge(others[j], 8, (enum vector)vector), MERGE_SECOND);
            CHECK_EQ(event_merge(others[j], 14, VECTOR_PF), MERGE_SECOND);
        }
    }
    CHECK_EQ(event_merge(EVENT_HARDWARE_EXCEPTION, VECTOR_PF, VECTOR_PF), MERGE_DOUBLE_FAULT);
    CHECK_EQ(event_merge(EVENT_HARDWARE_EXCEPTION, VECTOR_DF, VECTOR_PF), MERGE_TRIPLE_FAULT);
}

TEST(injecting)
{
    start(0x1000, 2, 0);
    CHECK(event_inject(VECTOR_GP, true, 0x18));
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | ERROR | TYPE(3) | 13);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_EXCEPTION_ERROR_CODE), 0x18);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0x1000); /* a fault: RIP stays */
    start(0x1000, 2, 0);
    CHECK(event_inject(VECTOR_UD, false, 0));
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | TYPE(3) | 6);
}

/* "VM-Entry Controls for Event Injection": with CR0.PE 0 there is no error code. */
TEST(injecting_in_real_mode)
{
    start(0x1000, 2, 0);
    fake_set_vmcs(VMCS_GUEST_CR0, CR0_ET);
    CHECK(event_inject(VECTOR_GP, true, 0));
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | TYPE(3) | 13);
}

TEST(injecting_during_delivery)
{
    start(0x1000, 0, 0);
    fake_set_vmcs(VMCS_IDT_VECTORING_INFO, VALID | ERROR | TYPE(3) | 14);
    CHECK(event_inject(VECTOR_PF, true, 2));
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | ERROR | TYPE(3) | 8);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_EXCEPTION_ERROR_CODE), 0);

    start(0x1000, 0, 0);
    fake_set_vmcs(VMCS_IDT_VECTORING_INFO, VALID | ERROR | TYPE(3) | 8);
    CHECK(!event_inject(VECTOR_PF, true, 2));
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), 0);

    start(0x1000, 0, 0);
    fake_set_vmcs(VMCS_IDT_VECTORING_INFO, VALID | TYPE(0) | 0xec);
    CHECK(event_inject(VECTOR_PF, true, 2));
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | ERROR | TYPE(3) | 14);

    start(0x1000, 0, 0); /* not valid: the other bits are undefined */
    fake_set_vmcs(VMCS_IDT_VECTORING_INFO, ERROR | TYPE(3) | 8);
    CHECK(event_inject(VECTOR_PF, true, 2));
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | ERROR | TYPE(3) | 14);
}

TEST(retrying_delivers_again)
{
    static const struct {
        uint64_t info;
        bool has_length;
    } rows[] = {{TYPE(0) | 0xec, false},      {TYPE(3) | ERROR | 14, false}, {TYPE(3) | 1, false},
                {TYPE(4) | 0x80, true},       {TYPE(5) | 1, true},           {TYPE(6) | 3, true},
                {TYPE(3) | ERROR | 17, false}};
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        start(0x1000, 2, 0);
        fake_set_vmcs(VMCS_IDT_VECTORING_INFO, VALID | BIT(12) | rows[i].info); /* 12: undefined */
        fake_set_vmcs(VMCS_IDT_VECTORING_ERROR_CODE, 0x77);
        event_retry(false);
        NOTE("row %u", i);
        CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | rows[i].info);
        if ((rows[i].info & ERROR) != 0)
            CHECK_EQ(fake_vmcs(VMCS_ENTRY_EXCEPTION_ERROR_CODE), 0x77);
        if (rows[i].has_length)
            CHECK_EQ(fake_vmcs(VMCS_ENTRY_INSTRUCTION_LENGTH), 2);
        CHECK_EQ(fake_vmcs(VMCS_GUEST_RIP), 0x1000);
    }
    start(0x1000, 2, 0);
    event_retry(false);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), 0);
}

/* Injecting an NMI under blocking by NMI fails VM entry: "Checks on Guest Non-Register State". */
TEST(retrying_an_nmi)
{
    start(0x1000, 0, 0);
    fake_set_vmcs(VMCS_IDT_VECTORING_INFO, VALID | TYPE(2) | 2);
    fake_set_vmcs(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI);
    event_retry(false);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | TYPE(2) | 2);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY), 0);
}

TEST(retrying_an_iret)
{
    start(0x1000, 0, 0);
    event_retry(true);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY), BLOCKING_BY_NMI);
    start(0x1000, 0, 0); /* during a delivery that bit says nothing */
    fake_set_vmcs(VMCS_IDT_VECTORING_INFO, VALID | TYPE(0) | 0x20);
    event_retry(true);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY), 0);
}

TEST(an_nmi_is_given_once)
{
    start(0x1000, 0, 0);
    vcpu.primary_controls = 0x12345678 & ~(uint32_t)PRIMARY_NMI_WINDOW;
    event_nmi(&vcpu);
    event_nmi(&vcpu); /* merges */
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO) & VALID, 0);
    CHECK_EQ(fake_vmcs(VMCS_PRIMARY_CONTROLS), vcpu.primary_controls | PRIMARY_NMI_WINDOW);
    event_nmi_window(&vcpu);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | TYPE(2) | 2);
    CHECK_EQ(fake_vmcs(VMCS_PRIMARY_CONTROLS), vcpu.primary_controls);
    fake_set_vmcs(VMCS_ENTRY_INTERRUPTION_INFO, 0);
    event_nmi_window(&vcpu);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), 0);
}

/* An NMI that comes while another exception waits for entry must not overwrite it. */
TEST(an_nmi_and_an_exception)
{
    start(0x1000, 0, 0);
    CHECK(event_inject(VECTOR_UD, false, 0));
    event_nmi(&vcpu);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO), VALID | TYPE(3) | 6);
}

TEST(a_field_that_cannot_be_accessed_is_named)
{
    fake_remove_vmcs(VMCS_GUEST_RIP);
    CHECK_PANICS(event_advance());
    CHECK(strstr(unit_panic_text, "GUEST_RIP") != NULL);
    CHECK_PANICS(vmcs_write(VMCS_GUEST_RIP, 0x1234));
    CHECK(strstr(unit_panic_text, "GUEST_RIP") != NULL && strstr(unit_panic_text, "1234") != NULL);
}

/* SDM Vol. 3D, Appendix B: no two fields share an encoding, and a name is found for each. */
TEST(field_names)
{
    static const uint32_t fields[] = {
#define ENCODING(name, encoding) (encoding),
        VMCS_FIELDS(ENCODING)
#undef ENCODING
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(fields); i++) {
        CHECK(strcmp(vmcs_field_name((enum vmcs_field)fields[i]), "?") != 0);
        CHECK_EQ(fields[i] & 0xffff9001, 0); /* reserved bits; Keel uses full accesses only */
        for (unsigned j = 0; j < i; j++)
            CHECK(fields[i] != fields[j]);
    }
    CHECK_STR(vmcs_field_name((enum vmcs_field)0x7ffe), "?");
    CHECK_EQ(VMCS_GUEST_RIP, 0x681e);
    CHECK_EQ(VMCS_EXIT_REASON, 0x4402);
    CHECK_EQ(VMCS_HOST_RIP, 0x6c16);
    CHECK_EQ(VMCS_EPT_POINTER, 0x201a);
}

/* SDM Vol. 3C, "VM Instruction Error Numbers". */
TEST(instruction_error_names)
{
    CHECK(strstr(vmcs_instruction_error_name(7), "control") != NULL);
    CHECK(strstr(vmcs_instruction_error_name(8), "host") != NULL);
    CHECK(strstr(vmcs_instruction_error_name(12), "nsupported") != NULL);
    for (uint64_t error = 0; error < 40; error++)
        CHECK(vmcs_instruction_error_name(error) != NULL);
    CHECK(vmcs_instruction_error_name(UINT64_MAX) != NULL);
}

/* A processor may refuse an NMI while STI blocks: delivery ends the shadow anyway. */
TEST(an_nmi_ends_the_shadow)
{
    static struct vcpu vcpu;
    vcpu = (struct vcpu){.nmi_pending = true};
    start(0x1000, 2, 0);
    fake_set_vmcs(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI);
    event_nmi_window(&vcpu);
    CHECK_EQ(fake_vmcs(VMCS_GUEST_INTERRUPTIBILITY), 0);
    CHECK_EQ(fake_vmcs(VMCS_ENTRY_INTERRUPTION_INFO) & 0xff, 2);
}

/* SDM Vol. 3B, "Instruction-Breakpoint Exception Condition": faults push RF set. */
TEST(a_fault_sets_the_resume_flag)
{
    start(0x1000, 2, 2);
    CHECK(event_inject(VECTOR_GP, true, 0));
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RFLAGS), RFLAGS_RF | 2);
    start(0x1000, 2, 2);
    CHECK(event_inject(VECTOR_DB, false, 0));
    CHECK_EQ(fake_vmcs(VMCS_GUEST_RFLAGS), 2);
}
