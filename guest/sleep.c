/*
 * The ACPI sleep registers, the only ports that Keel looks at: a machine that sleeps in S3
 * wakes up without Keel, so that is refused until Keel can come back from it.
 * SDM Vol. 3C, Table "Exit Qualification for I/O Instructions".
 */
#include "guest/handlers.h"
#include "guest/sleep.h"
#include "lib/log.h"
#include "vmx/vmcs.h"

#define QUALIFICATION_SIZE   MASK(2, 0) /* in bytes, less one */
#define QUALIFICATION_IN     BIT(3)
#define QUALIFICATION_STRING BIT(4)
#define QUALIFICATION_PORT   MASK(31, 16)

/* SLP_TYP and SLP_EN are both in the register's second byte. */
#define HIGH_BYTE_SLP_TYP MASK(4, 2)
#define HIGH_BYTE_SLP_EN  BIT(5)

/* Does writing size bytes of value to port send the machine to a state that is not allowed? */
enum sleep_verdict sleep_check(const struct guest_sleep *sleep, uint16_t port, unsigned size,
                               uint32_t value)
{
    enum sleep_verdict verdict = SLEEP_NOTHING;
    for (unsigned i = 0; i < ARRAY_LENGTH(sleep->control); i++) {
        uint32_t high = sleep->control[i] + 1u;
        if (sleep->control[i] == 0 || high < port || high >= port + size)
            continue;
        uint64_t byte = value >> (8 * (high - port)) & 0xff;
        if ((byte & HIGH_BYTE_SLP_EN) == 0)
            continue;
        if ((sleep->allowed[i] & BIT(bits_get(byte, HIGH_BYTE_SLP_TYP))) == 0)
            return SLEEP_REFUSED;
        verdict = SLEEP_ALLOWED;
    }
    return verdict;
}

static void write_port(uint16_t port, unsigned size, uint32_t value)
{
    if (size == 1)
        ops_out8(port, (uint8_t)value);
    else if (size == 2)
        ops_out16(port, (uint16_t)value);
    else
        ops_out32(port, value);
}

static void read_port(struct vcpu_regs *regs, uint16_t port, unsigned size)
{
    if (size == 1)
        regs->rax = (regs->rax & ~UINT64_C(0xff)) | ops_in8(port);
    else if (size == 2)
        regs->rax = (regs->rax & ~UINT64_C(0xffff)) | ops_in16(port);
    else
        regs->rax = ops_in32(port);
}

struct answer handle_io(struct guest_cpu *cpu)
{
    static struct log_limit limit = {4};
    uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
    uint16_t port = (uint16_t)bits_get(qualification, QUALIFICATION_PORT);
    unsigned size = (unsigned)bits_get(qualification, QUALIFICATION_SIZE) + 1;
    uint32_t value = (uint32_t)cpu->vcpu.regs.rax;

    if ((qualification & QUALIFICATION_STRING) != 0) {
        /* An access that wraps past port 0xffff exits, too. No driver does this to a sleep
         * register, and its operand is in guest memory. */
        if (log_limited(&limit))
            log_warning("string I/O to port 0x%x is refused: it touches what Keel guards", port);
        return answer_inject_error(VECTOR_GP, 0);
    }
    if ((qualification & QUALIFICATION_IN) != 0) {
        read_port(&cpu->vcpu.regs, port, size);
        return answer(ANSWER_ADVANCE);
    }
    switch (sleep_check(&cpu->guest->sleep, port, size, value)) {
    case SLEEP_REFUSED:
        if (log_limited(&limit))
            log_warning("sleep refused: 0x%x to port 0x%x (Keel cannot come back from S3 yet)",
                        value, port);
        return answer(ANSWER_ADVANCE);
    case SLEEP_ALLOWED:
        guest_leaving(cpu);
        break;
    case SLEEP_NOTHING:
        break;
    }
    write_port(port, size, value);
    return answer(ANSWER_ADVANCE);
}
