/* See smp.h. SDM Vol. 3A, "Typical AP Initialization Sequence". */
#include "hv/smp.h"

#include "drivers/apic.h"
#include "drivers/timer.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"
#include "mm/space.h"
#include "x86/ops.h"

#define NOBODY          UINT32_MAX /* the APIC id of a CPU that has not come yet */
#define INIT_WAIT_US    10000
#define STARTUP_WAIT_US 200
#define ARRIVE_WAIT_US  1000
#define ARRIVE_TRIES    1000 /* together a second */
#define SETTLE_TRIES    20   /* for CPUs that nobody has listed */

/* See ap.S. */
extern uint8_t ap_start[], ap_end[], ap_gdt[], ap_gdt_base[], ap_far32[], ap_32[], ap_far64[],
    ap_64[], ap_cr3[], ap_to[];
extern const uint8_t ap_enter[];
uint32_t ap_arrived; /* counted by ap.S */

static uint32_t expected_ids[CPU_MAX];
static enum phase current_phase;
static smp_phase_fn do_phase;
static char reason[LOG_LINE_SIZE];

enum status smp_init(struct percpu *boot_cpu, const uint32_t *apic_ids, uint32_t count)
{
    cpu_table[0] = boot_cpu;
    boot_cpu->apic_id = apic_id();
    memcpy(expected_ids, apic_ids, count * sizeof(apic_ids[0]));
    for (uint32_t i = 1; i < count; i++) {
        hpa_t frame;
        enum status status = frame_alloc(space_frames(), &frame);
        if (status != STATUS_OK)
            return status;
        cpu_table[i] = space_pointer(frame);
        cpu_table[i]->index = i;
        cpu_table[i]->apic_id = NOBODY;
        status = cpu_init_stacks(cpu_table[i]);
        if (status != STATUS_OK)
            return status;
    }
    cpu_count = count;
    return STATUS_OK;
}

/* Copies ap.S's code to page and completes its addresses. */
static void write_start_page(uint64_t page)
{
    static uint8_t code[PAGE_SIZE];
    size_t size = (size_t)(ap_end - ap_start);
    const struct {
        const uint8_t *at;
        uint64_t value;
        size_t size;
    } blanks[] = {
        {ap_gdt_base, page + (uint64_t)(ap_gdt - ap_start), 4},
        {ap_far32, page + (uint64_t)(ap_32 - ap_start), 4},
        {ap_far64, page + (uint64_t)(ap_64 - ap_start), 4},
        {ap_cr3, ops_read_cr3(), 8},
        {ap_to, (uintptr_t)ap_enter, 8},
    };

    memcpy(code, ap_start, size);
    for (unsigned i = 0; i < ARRAY_LENGTH(blanks); i++)
        memcpy(code + (blanks[i].at - ap_start), &blanks[i].value, blanks[i].size);
    phys_write(HPA(page), code, size);
}

static uint32_t arrived(void)
{
    return __atomic_load_n(&ap_arrived, __ATOMIC_ACQUIRE);
}

/* Has the CPU that we expect come? */
static bool has_come(uint32_t id)
{
    for (uint32_t i = 0; i < cpu_count; i++) {
        if (__atomic_load_n(&cpu_table[i]->apic_id, __ATOMIC_ACQUIRE) == id)
            return true;
    }
    return false;
}

static const char *who_is_missing(void)
{
    for (uint32_t i = 0; i < cpu_count; i++) {
        if (!has_come(expected_ids[i])) {
            format(reason, sizeof(reason), "the CPU with APIC id %u does not answer (%u of %u do)",
                   expected_ids[i], arrived() + 1, cpu_count);
            return reason;
        }
    }
    return "a CPU does not answer that the MADT lists";
}

static const char *who_is_unlisted(void)
{
    format(reason, sizeof(reason), "%u CPUs answer, and the MADT lists %u", arrived() + 1,
           cpu_count);
    return reason;
}

enum status smp_start(const struct memmap *map, smp_phase_fn run, const char **why)
{
    static uint8_t saved[PAGE_SIZE];
    uint64_t page;

    do_phase = run; /* even with one CPU listed: others may answer, and none may be left out */
    *why = "no page below 640 KiB to start the other CPUs in";
    if (memmap_find_lowest(map, PAGE_SIZE, 640 * KIB, PAGE_SIZE, PAGE_SIZE, NULL, 0, &page) !=
            STATUS_OK ||
        space_map_identity(page) != STATUS_OK)
        return STATUS_NO_MEMORY;
    phys_read(saved, HPA(page), sizeof(saved));
    write_start_page(page);

    apic_send(0, APIC_ALL_BUT_SELF | APIC_INIT);
    timer_wait_us(INIT_WAIT_US);
    for (unsigned i = 0; i < 2; i++) {
        apic_send(0, APIC_ALL_BUT_SELF | APIC_STARTUP | (uint32_t)(page >> PAGE_SHIFT));
        timer_wait_us(STARTUP_WAIT_US);
    }
    for (unsigned i = 0; i < ARRIVE_TRIES && arrived() + 1 < cpu_count; i++)
        timer_wait_us(ARRIVE_WAIT_US);
    for (unsigned i = 0; i < SETTLE_TRIES && arrived() + 1 == cpu_count; i++)
        timer_wait_us(ARRIVE_WAIT_US);

    bool all = arrived() + 1 == cpu_count;
    if (!all) {
        *why = arrived() + 1 > cpu_count ? who_is_unlisted() : who_is_missing();
        smp_give_back(); /* before the page is: some may be in it */
    }
    phys_write(HPA(page), saved, sizeof(saved));
    space_unmap_identity(page);
    return all ? STATUS_OK : STATUS_INVALID;
}

static void wait_for_others(enum phase phase)
{
    for (uint32_t i = 1; i < cpu_count; i++) {
        while (__atomic_load_n(&cpu_table[i]->phase_done, __ATOMIC_ACQUIRE) != phase)
            ops_pause();
    }
}

const char *smp_do_phase(enum phase phase)
{
    __atomic_store_n(&current_phase, phase, __ATOMIC_RELEASE);
    if (phase == PHASE_RUN) {
        wait_for_others(phase);
        return NULL;
    }
    cpu_table[0]->why = do_phase(cpu_table[0], phase);
    cpu_table[0]->phase_done = phase;
    wait_for_others(phase);
    const char *why = NULL;
    for (uint32_t i = 0; i < cpu_count; i++) {
        struct percpu *cpu = cpu_table[i];
        if (why == NULL && cpu->why != NULL) {
            format(reason, sizeof(reason), "CPU %u (APIC id %u): %s", i, cpu->apic_id, cpu->why);
            why = cpu_count == 1 ? cpu->why : reason;
        }
    }
    return why;
}

void smp_give_back(void)
{
    apic_send(0, APIC_ALL_BUT_SELF | APIC_INIT);
    timer_wait_us(INIT_WAIT_US);
}

void ap_main(struct percpu *cpu)
{
    cpu_init(cpu);
    __atomic_store_n(&cpu->apic_id, apic_id(), __ATOMIC_RELEASE);
    for (;;) {
        enum phase phase = __atomic_load_n(&current_phase, __ATOMIC_ACQUIRE);
        if (phase == cpu->phase_done) {
            ops_pause();
            continue;
        }
        ops_write_cr3(ops_read_cr3()); /* drops the page that it started in */
        if (phase == PHASE_RUN)        /* it does not come back to say so */
            __atomic_store_n(&cpu->phase_done, phase, __ATOMIC_RELEASE);
        cpu->why = do_phase(cpu, phase);
        __atomic_store_n(&cpu->phase_done, phase, __ATOMIC_RELEASE);
    }
}
