/* The log from several CPUs at once: whole lines, and no more of them than the budget. */
#include "unit.h"

#include "lib/log.h"
#include "threads.h"
#include "x86/ops.h"

#define CPUS  4
#define LINES 2000

static char sink_text[CPUS * LINES * 64];
static size_t sink_length;
static uint32_t allowed;
static struct log_limit limit;

/* Runs under the log's lock. */
static void sink(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        sink_text[sink_length++] = text[i];
        if (i % 16 == 0)
            ops_pause();
    }
}

static void write_lines(void *gs)
{
    for (unsigned line = 0; line < LINES; line++)
        log_info("cpu %lu line %06u: the quick brown fox", (uint64_t)(uintptr_t)gs, line);
}

static void run_cpus(void (*body)(void *))
{
    threads_set_limit(60);
    for (unsigned i = 0; i < CPUS; i++)
        threads_start(i, body, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < CPUS; i++)
        threads_join(i);
    threads_set_limit(0);
}

TEST(lines_are_whole)
{
    unsigned next[CPUS] = {0}, lines = 0;
    sink_length = 0;
    log_set_sink(sink);
    run_cpus(write_lines);
    sink_text[sink_length] = '\0';
    for (char *line = sink_text; *line != '\0'; lines++) {
        char expected[64];
        char *end = strchr(line, '\n');
        unsigned cpu = (unsigned)(line[10] - '0');
        CHECK(end != NULL);
        *end = '\0';
        CHECK(cpu < CPUS);
        snprintf(expected, sizeof(expected), "keel: cpu %u line %06u: the quick brown fox", cpu,
                 next[cpu]++);
        CHECK_STR(line, expected);
        line = end + 1;
    }
    CHECK_EQ(lines, CPUS * LINES);
}

static void take_all(void *gs)
{
    (void)gs;
    for (unsigned i = 0; i < 3000; i++) {
        if (log_limited(&limit))
            __atomic_add_fetch(&allowed, 1, __ATOMIC_SEQ_CST);
    }
}

TEST(a_budget_is_never_overdrawn)
{
    static const uint32_t budgets[] = {0, 1, 4, 100, 5000};
    for (unsigned i = 0; i < ARRAY_LENGTH(budgets); i++) {
        limit = (struct log_limit){budgets[i]};
        allowed = 0;
        run_cpus(take_all);
        NOTE("budget %u", budgets[i]);
        CHECK_EQ(allowed, budgets[i]);
        CHECK_EQ(limit.left, 0);
    }
}
