/*
 * Starting the CPUs and leading them through the phases of the launch: the contract of
 * hv/smp.h, with threads for CPUs and time that only waits let pass. SDM Vol. 3A,
 * "Typical BSP Initialization Sequence".
 */
#include "unit.h"

#include "drivers/apic.h"
#include "drivers/timer.h"
#include "hv/smp.h"
#include "mm/space.h"
#include "phys.h"
#include "threads.h"

#define CPUS_MAX 9
#define NEVER    UINT64_MAX
#define SECOND   UINT64_C(1000000)

/* hv/cpu.c, mm/space.c and hv/ap.S are not here. */
struct percpu *cpu_table[CPU_MAX];
uint32_t cpu_count;
extern uint32_t ap_arrived;
uint8_t ap_start[256], *const ap_code = ap_start;
extern uint8_t ap_end[], ap_gdt[], ap_gdt_base[], ap_far32[], ap_32[], ap_far64[], ap_64[],
    ap_cr3[], ap_to[];
extern const uint8_t ap_enter[];
__asm__(".globl ap_end, ap_gdt, ap_gdt_base, ap_far32, ap_32, ap_far64, ap_64, ap_cr3, ap_to\n"
        ".globl ap_enter\n"
        ".set ap_32, ap_start + 16\n"
        ".set ap_64, ap_start + 32\n"
        ".set ap_gdt, ap_start + 64\n"
        ".set ap_gdt_base, ap_start + 98\n"
        ".set ap_far32, ap_start + 102\n"
        ".set ap_far64, ap_start + 108\n"
        ".set ap_cr3, ap_start + 120\n"
        ".set ap_to, ap_start + 128\n"
        ".set ap_end, ap_start + 136\n"
        ".set ap_enter, 0x12345678\n");

/* A CPU of the machine beside the boot CPU. */
struct machine_cpu {
    uint32_t apic_id;
    uint64_t delay; /* from the first SIPI to ap_enter, in us */
    uint64_t due;
    bool runs;
};

static struct machine_cpu machine[CPUS_MAX];
static unsigned machine_count;
static uint64_t now, init_at, startups_at[8];
static unsigned inits, startups, commands, maps, unmaps, entered;
static uint64_t identity;
static bool code_at_last_init;
static _Thread_local uint32_t own_apic_id;
static struct percpu boot_cpu;
static struct frame_pool pool;
static uint8_t pool_memory[64 * PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t low_memory[MIB];
static struct memmap map;

/* What the phases did, by CPU index. */
static uint32_t done[PHASE_BACK + 1][CPUS_MAX];
static int fail_cpu[2];
static enum phase fail_phase;
static bool has_memory;

uint64_t ops_read_cr3(void)
{
    return 0x7fe00000;
}

void ops_write_cr3(uint64_t value)
{
    EXPECT(value == 0x7fe00000);
}

uint32_t apic_id(void)
{
    return own_apic_id;
}

void cpu_init(struct percpu *cpu)
{
    cpu->self = cpu;
}

enum status cpu_init_stacks(struct percpu *cpu)
{
    cpu->stack = cpu + 1;
    return STATUS_OK;
}

struct frame_pool *space_frames(void)
{
    return &pool;
}

void *space_pointer(hpa_t frame)
{
    return frame_pointer(&pool, frame);
}

enum status space_map_identity(uint64_t address)
{
    identity = address;
    maps++;
    return has_memory ? STATUS_OK : STATUS_NO_MEMORY;
}

void space_unmap_identity(uint64_t address)
{
    EXPECT(address == identity);
    unmaps++;
}

/* The code at the SIPI's page, as far as it is data: see ap.S. */
static void check_code(uint64_t page)
{
    const uint8_t *code = fake_phys_at(page, PAGE_SIZE);
    uint32_t gdt, far32, far64;
    uint64_t cr3, to;
    memcpy(&gdt, code + 98, 4);
    memcpy(&far32, code + 102, 4);
    memcpy(&far64, code + 108, 4);
    memcpy(&cr3, code + 120, 8);
    memcpy(&to, code + 128, 8);
    EXPECT(gdt == page + 64 && far32 == page + 16 && far64 == page + 32);
    EXPECT(cr3 == 0x7fe00000 && to == 0x12345678);
    EXPECT(code[0] == 0xfa && code[90] == 0xc3); /* the rest is copied */
}

/* ap_enter: the next place in the table, if there is one. */
static void run_ap(void *argument)
{
    const struct machine_cpu *cpu = argument;
    own_apic_id = cpu->apic_id;
    uint32_t index = __atomic_add_fetch(&ap_arrived, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&entered, 1, __ATOMIC_SEQ_CST);
    if (index < cpu_count)
        ap_main(cpu_table[index]);
    for (;;)
        ops_pause();
}

static void start_due(void)
{
    for (unsigned i = 0; i < machine_count; i++) {
        if (machine[i].runs || machine[i].due > now)
            continue;
        uint32_t before = __atomic_load_n(&entered, __ATOMIC_SEQ_CST);
        machine[i].runs = true;
        threads_start(i, run_ap, &machine[i]);
        while (__atomic_load_n(&entered, __ATOMIC_SEQ_CST) == before)
            ops_pause();
    }
}

void timer_wait_us(uint32_t us)
{
    now += us;
    start_due();
    ops_pause();
}

static void stop_cpus(void)
{
    for (unsigned i = 0; i < machine_count; i++) {
        if (machine[i].runs) {
            threads_kill(i);
            (void)threads_join(i);
        }
        machine[i].runs = false;
        machine[i].due = NEVER;
    }
}

void apic_send(uint32_t id, uint32_t command)
{
    (void)id;
    commands++;
    EXPECT((command & APIC_ALL_BUT_SELF) == APIC_ALL_BUT_SELF);
    if (command == (APIC_ALL_BUT_SELF | APIC_INIT)) {
        inits++;
        init_at = now;
        code_at_last_init = inits > 1 && *fake_phys_at(identity, 1) == 0xfa;
        stop_cpus();
        return;
    }
    EXPECT((command & ~0xffu) == (APIC_ALL_BUT_SELF | APIC_STARTUP));
    uint64_t page = (uint64_t)(command & 0xff) << PAGE_SHIFT;
    EXPECT(page == identity && maps > unmaps);
    check_code(page);
    startups_at[startups++ % 8] = now;
    for (unsigned i = 0; i < machine_count; i++) {
        if (machine[i].due == NEVER && machine[i].delay != NEVER)
            machine[i].due = now + machine[i].delay;
    }
}

static const char *do_phase(struct percpu *cpu, enum phase phase)
{
    EXPECT(phase == PHASE_NONE || cpu->apic_id == own_apic_id);
    __atomic_add_fetch(&done[phase][cpu->index], 1, __ATOMIC_SEQ_CST);
    if (phase == PHASE_RUN)
        ops_halt_forever();
    for (unsigned i = 0; i < 2; i++) {
        if (phase == fail_phase && (int)cpu->index == fail_cpu[i])
            return "told to fail";
    }
    return NULL;
}

/* count CPUs with these ids, of which the MADT lists as many; the first is the boot CPU. */
static void begin(const uint32_t *ids, unsigned count)
{
    const char *why;
    threads_set_limit(60);
    stop_cpus();
    memset(&boot_cpu, 0, sizeof(boot_cpu));
    memset(done, 0, sizeof(done));
    frame_pool_init(&pool, HPA(0x80000000), pool_memory, sizeof(pool_memory));
    for (unsigned i = 0; i < sizeof(low_memory); i++)
        low_memory[i] = (uint8_t)(i * 7 + i / 4096);
    fake_phys_set(0, sizeof(low_memory), low_memory);
    memset(&map, 0, sizeof(map));
    CHECK_EQ(memmap_add(&map, 0, 0x9fc00, MEMMAP_RAM), STATUS_OK);
    memset(ap_code, 0x90, 136);
    ap_code[0] = 0xfa;
    ap_code[90] = 0xc3;
    own_apic_id = ids[0];
    fail_cpu[0] = fail_cpu[1] = -1;
    has_memory = true;
    for (unsigned i = 1; i < count; i++)
        machine[i - 1] = (struct machine_cpu){ids[i], 0, NEVER, false};

    ap_arrived = 0; /* and the phase is none again, by a start of nobody */
    cpu_count = 1;
    cpu_table[0] = &boot_cpu;
    machine_count = 0;
    CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_OK);
    CHECK(smp_do_phase(PHASE_NONE) == NULL);
    memset(done, 0, sizeof(done));
    machine_count = count - 1;
    now = inits = startups = commands = maps = unmaps = entered = 0;
    CHECK_EQ(smp_init(&boot_cpu, ids, count), STATUS_OK);
}

static void end(void)
{
    stop_cpus();
    threads_set_limit(0);
    CHECK_EQ(maps, unmaps);
    for (unsigned i = 0; i < sizeof(low_memory); i++)
        CHECK_EQ(low_memory[i], (uint8_t)(i * 7 + i / 4096)); /* the page is as it was */
    CHECK(!threads_failed());
}

static const uint32_t sparse_ids[CPUS_MAX] = {4, 0, 1, 5, 64, 200, 254, 300, 0x10000};

TEST(one_cpu_alone)
{
    const char *why = NULL;
    begin(sparse_ids, 1);
    CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_OK);
    CHECK(smp_do_phase(PHASE_CHECK) == NULL);
    fail_cpu[0] = 0;
    fail_phase = PHASE_VMX;
    CHECK_STR(smp_do_phase(PHASE_VMX), "told to fail");
    CHECK_EQ(inits, 1);
    CHECK_EQ(startups, 2); /* who has not been listed would answer */
    CHECK_EQ(boot_cpu.apic_id, 4);
    end();
}

TEST(all_come_and_go_through_the_phases)
{
    for (unsigned count = 2; count <= CPUS_MAX; count++) {
        const char *why = NULL;
        begin(sparse_ids, count);
        NOTE("%u CPUs", count);
        CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_OK);
        CHECK_EQ(inits, 1);
        CHECK_EQ(startups, 2);
        CHECK(startups_at[0] - init_at >= 10000);
        CHECK(startups_at[1] - startups_at[0] >= 200);
        CHECK_EQ(maps, unmaps);
        for (enum phase phase = PHASE_CHECK; phase <= PHASE_VMX; phase++) {
            CHECK(smp_do_phase(phase) == NULL);
            for (unsigned i = 0; i < count; i++)
                CHECK_EQ(done[phase][i], 1);
        }
        CHECK(smp_do_phase(PHASE_RUN) == NULL);
        for (unsigned i = 0; i < machine_count; i++) {
            CHECK(threads_join(i));
            machine[i].runs = false;
        }
        CHECK_EQ(done[PHASE_RUN][0], 0); /* the boot CPU's is the caller's */
        for (unsigned i = 1; i < count; i++)
            CHECK_EQ(done[PHASE_RUN][i], 1);
        end();
    }
}

/* All or none: whichever CPU fails in whichever phase is named, and all are taken back. */
TEST(a_fault_of_each_cpu_in_each_phase)
{
    for (int bad = 0; bad < 5; bad++) {
        for (enum phase phase = PHASE_CHECK; phase <= PHASE_VMX; phase++) {
            const char *why = NULL;
            char expected[64];
            begin(sparse_ids, 5);
            NOTE("CPU %d in phase %d", bad, phase);
            CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_OK);
            fail_cpu[0] = bad;
            fail_phase = phase;
            if (phase == PHASE_VMX)
                CHECK(smp_do_phase(PHASE_CHECK) == NULL);
            why = smp_do_phase(phase);
            CHECK(why != NULL);
            snprintf(expected, sizeof(expected), "CPU %d (APIC id %u): told to fail", bad,
                     cpu_table[bad]->apic_id);
            CHECK_STR(why, expected);
            for (int i = 0; i < 5; i++)
                CHECK_EQ(done[phase][i], 1); /* the others have done it, or know of it */
            CHECK(smp_do_phase(PHASE_BACK) == NULL);
            for (int i = 0; i < 5; i++)
                CHECK_EQ(done[PHASE_BACK][i], 1);
            smp_give_back();
            CHECK_EQ(inits, 2);
            CHECK_EQ(done[PHASE_RUN][1], 0);
            end();
        }
    }
}

TEST(the_first_of_two_faults)
{
    const char *why = NULL;
    begin(sparse_ids, 6);
    CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_OK);
    fail_cpu[0] = 4;
    fail_cpu[1] = 2;
    fail_phase = PHASE_CHECK;
    why = smp_do_phase(PHASE_CHECK);
    CHECK(why != NULL && strncmp(why, "CPU 2 (", 7) == 0);
    end();
}

/* Slow ones are waited for; one that never comes is named, in bounded time. */
TEST(a_cpu_that_does_not_answer)
{
    for (unsigned missing = 0; missing < 4; missing++) {
        const char *why = NULL;
        char id[32];
        begin(sparse_ids, 5);
        for (unsigned i = 0; i < machine_count; i++)
            machine[i].delay = i == missing ? NEVER : 5000 * (i + 1);
        NOTE("%u", machine[missing].apic_id);
        CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_INVALID);
        snprintf(id, sizeof(id), "APIC id %u ", machine[missing].apic_id);
        CHECK(why != NULL && strstr(why, id) != NULL);
        CHECK(strstr(why, "4 of 5") != NULL);
        CHECK(now >= SECOND / 2 && now <= 2 * SECOND);
        CHECK_EQ(inits, 2); /* and they wait for SIPI again */
        end();
    }
}

TEST(cpus_that_are_slow)
{
    const char *why = NULL;
    begin(sparse_ids, 5);
    for (unsigned i = 0; i < machine_count; i++)
        machine[i].delay = 100000 * i;
    CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_OK);
    CHECK(now <= 2 * SECOND);
    CHECK(smp_do_phase(PHASE_CHECK) == NULL);
    end();
}

/* It comes in the very last moment, or nobody does. */
TEST(a_cpu_that_comes_while_others_are_given_up)
{
    const char *why = NULL;
    begin(sparse_ids, 4);
    machine[0].delay = NEVER;
    machine[2].delay = 995000;
    CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_INVALID);
    CHECK(why != NULL && strstr(why, "APIC id 0 ") != NULL);
    end();
    begin(sparse_ids, 4);
    for (unsigned i = 0; i < machine_count; i++)
        machine[i].delay = NEVER;
    CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_INVALID);
    CHECK(why != NULL && strstr(why, "APIC id 0 ") != NULL);
    CHECK(now <= 2 * SECOND);
    CHECK_EQ(inits, 2); /* they may be on their way still */
    end();
}

/* Who comes while all are given up must find the code, not what was in its page before. */
TEST(cpus_are_stopped_before_their_page_is_taken_away)
{
    const char *why = NULL;
    begin(sparse_ids, 4);
    machine[1].delay = NEVER;
    CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_INVALID);
    CHECK_EQ(inits, 2);
    CHECK(code_at_last_init);
    end();
}

/* The CPU that nobody has listed would be one that runs outside Keel. */
TEST(more_cpus_than_are_listed)
{
    static const uint64_t delays[] = {0, 1000, 15000};
    for (unsigned i = 0; i < ARRAY_LENGTH(delays); i++) {
        const char *why = NULL;
        begin(sparse_ids, 4);
        machine[machine_count++] = (struct machine_cpu){77, delays[i], NEVER, false};
        NOTE("it comes after %lu us", delays[i]);
        CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_INVALID);
        CHECK(why != NULL && strstr(why, "5 CPUs") != NULL && strstr(why, "4") != NULL);
        CHECK(now <= 2 * SECOND);
        CHECK_EQ(inits, 2);
        end();
    }
}

TEST(no_place_to_start_in)
{
    const char *why = NULL;
    begin(sparse_ids, 3);
    memset(&map, 0, sizeof(map));
    CHECK_EQ(memmap_add(&map, MIB, MIB, MEMMAP_RAM), STATUS_OK);
    CHECK_EQ(smp_start(&map, do_phase, &why), STATUS_NO_MEMORY);
    CHECK(why != NULL && strstr(why, "640 KiB") != NULL);
    CHECK_EQ(commands, 0);
    threads_set_limit(0);
}

TEST(a_home_that_is_too_small)
{
    begin(sparse_ids, 2);
    frame_pool_init(&pool, HPA(0x80000000), pool_memory, 3 * PAGE_SIZE);
    memset(&boot_cpu, 0, sizeof(boot_cpu));
    CHECK_EQ(smp_init(&boot_cpu, sparse_ids, 5), STATUS_NO_MEMORY);
    cpu_count = 1;
    threads_set_limit(0);
}
