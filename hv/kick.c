/* See kick.h. */
#include "hv/kick.h"

#include "drivers/apic.h"
#include "lib/lock.h"
#include "vmx/vmx.h"
#include "x86/ops.h"

static struct lock kick_lock;
/*
 * Written under kick_lock, before any CPU is marked kicked. A CPU that was given up because
 * it parks may still read it: the old one or the next, and either may run anywhere.
 */
static kick_fn kick_function;
static bool stopping;

static bool is_parked(const struct percpu *cpu)
{
    return __atomic_load_n(&cpu->parked, __ATOMIC_SEQ_CST) != 0;
}

static bool is_kicked(const struct percpu *cpu)
{
    return __atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST) != 0;
}

void kick_all(kick_fn fn)
{
    struct percpu *self = this_cpu();

    lock_acquire(&kick_lock);
    __atomic_store_n(&kick_function, fn, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < cpu_count; i++) {
        struct percpu *cpu = cpu_table[i];
        if (cpu == self || is_parked(cpu))
            continue;
        __atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
        apic_send(cpu->apic_id, APIC_NMI);
    }
    fn();
    for (uint32_t i = 0; i < cpu_count; i++) {
        struct percpu *cpu = cpu_table[i];
        while (is_kicked(cpu)) {
            if (is_parked(cpu)) /* it parked with the NMI still on its way */
                __atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
            ops_pause();
        }
    }
    lock_release(&kick_lock);
}

bool kick_answer(struct percpu *cpu)
{
    if (__atomic_load_n(&stopping, __ATOMIC_RELAXED))
        ops_halt_forever();
    if (!is_kicked(cpu))
        return false;
    __atomic_load_n(&kick_function, __ATOMIC_RELAXED)();
    __atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
    return true;
}

void kick_park(struct percpu *cpu)
{
    __atomic_store_n(&cpu->parked, 1, __ATOMIC_SEQ_CST);
}

void kick_unpark(struct percpu *cpu)
{
    /*
     * An NMI that was sent before it parked has waited with it, and is nobody's now. It
     * must be gone before anyone can ask this CPU again: it would be taken for the new kick.
     */
    ops_unblock_nmi();
    cpu->guest.vcpu.nmi_pending = false;
    __atomic_store_n(&cpu->parked, 0, __ATOMIC_SEQ_CST);
    vmx_flush_ept();
}

void kick_stop_others(void)
{
    if (cpu_count > 1 && !__atomic_exchange_n(&stopping, true, __ATOMIC_SEQ_CST))
        apic_send(0, APIC_ALL_BUT_SELF | APIC_NMI);
}
