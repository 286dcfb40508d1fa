/* The harness: see unit.h. Each test starts with fake hardware that has just been reset. */
#include "unit.h"

#include <stdarg.h>

#include "fake.h"
#include "lib/log.h"
#include "lib/panic.h"

static struct unit_test *first;
static struct unit_test **last = &first;
static jmp_buf failed;
static uint64_t random_state;
static char log_text[1 << 16];
static size_t log_length;

char unit_note[256];
char unit_panic_text[256];
bool unit_expect_panic;
jmp_buf unit_panic_jump;

void unit_register(struct unit_test *test)
{
    *last = test;
    last = &test->next;
}

void unit_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    printf("%s:%d: ", file, line);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("%s%s%s\n", *unit_note ? " [" : "", unit_note, *unit_note ? "]" : "");
    longjmp(failed, 1);
}

void panic(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(unit_panic_text, sizeof(unit_panic_text), fmt, args);
    va_end(args);
    if (!unit_expect_panic)
        unit_fail("panic", 0, "%s", unit_panic_text);
    unit_expect_panic = false;
    longjmp(unit_panic_jump, 1);
}

uint64_t unit_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

uint64_t unit_random_below(uint64_t limit)
{
    return unit_random() % limit;
}

static void log_sink(const char *text, size_t length)
{
    if (length > sizeof(log_text) - 1 - log_length)
        length = sizeof(log_text) - 1 - log_length;
    memcpy(log_text + log_length, text, length);
    log_length += length;
    log_text[log_length] = '\0';
}

const char *unit_log(void)
{
    return log_text;
}

static bool run(const struct unit_test *test)
{
    const char *seed = getenv("UNIT_SEED");
    random_state = UINT64_C(0x9e3779b97f4a7c15) + (seed ? strtoull(seed, NULL, 0) : 0);
    log_length = 0;
    log_text[0] = '\0';
    unit_note[0] = '\0';
    unit_expect_panic = false;
    fake_reset();
    log_set_sink(log_sink);
    log_set_level(LOG_DEBUG);
    if (setjmp(failed) != 0) {
        printf("FAIL %s\n", test->name);
        return false;
    }
    test->run();
    return true;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failures = 0;
    for (const struct unit_test *test = first; test != NULL; test = test->next) {
        if (argc > 1 && strcmp(argv[1], test->name) != 0)
            continue;
        if (run(test))
            passed++;
        else
            failures++;
    }
    printf("%s: %u passed, %u failed\n",
           strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0], passed, failures);
    return failures > 0 || passed == 0;
}
