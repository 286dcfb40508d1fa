/*
 * The unit-test harness. A program is one or more TEST(name) { ... } and unit.c, which has
 * main() and panic(). The first check that fails ends its test; the others still run.
 */
#ifndef KEEL_TEST_UNIT_UNIT_H
#define KEEL_TEST_UNIT_UNIT_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/types.h"

struct unit_test {
    const char *name;
    void (*run)(void);
    struct unit_test *next;
};

#define TEST(test_name)                                                      \
    static void test_name(void);                                             \
    __attribute__((constructor)) static void unit_register_##test_name(void) \
    {                                                                        \
        static struct unit_test test = {#test_name, test_name, NULL};        \
        unit_register(&test);                                                \
    }                                                                        \
    static void test_name(void)

/* Says in the report of a failure which row or round it was; "" forgets it. */
#define NOTE(...) snprintf(unit_note, sizeof(unit_note), __VA_ARGS__)

#define CHECK(condition)                                     \
    do {                                                     \
        if (!(condition))                                    \
            unit_fail(__FILE__, __LINE__, "%s", #condition); \
    } while (0)

#define CHECK_EQ(actual, expected)                                                                \
    do {                                                                                          \
        uint64_t actual_ = (uint64_t)(actual), expected_ = (uint64_t)(expected);                  \
        if (actual_ != expected_)                                                                 \
            unit_fail(__FILE__, __LINE__, "%s is 0x%lx (%ld), not 0x%lx (%ld)", #actual, actual_, \
                      (long)actual_, expected_, (long)expected_);                                 \
    } while (0)

#define CHECK_STR(actual, expected)                                                     \
    do {                                                                                \
        const char *actual_ = (actual), *expected_ = (expected);                        \
        if (strcmp(actual_, expected_) != 0)                                            \
            unit_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #actual, actual_, \
                      expected_);                                                       \
    } while (0)

/* The statement must end in panic(), whose text is then in unit_panic_text. */
#define CHECK_PANICS(statement)                                        \
    do {                                                               \
        unit_expect_panic = true;                                      \
        if (setjmp(unit_panic_jump) == 0) {                            \
            statement;                                                 \
            unit_fail(__FILE__, __LINE__, "no panic: %s", #statement); \
        }                                                              \
    } while (0)

extern char unit_note[256];
extern char unit_panic_text[256];
extern bool unit_expect_panic;
extern jmp_buf unit_panic_jump;

void unit_register(struct unit_test *test);
NORETURN void unit_fail(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);

/* The same numbers in every run, and from the start in every test; UNIT_SEED=n changes them. */
uint64_t unit_random(void);

/* A random number below limit (> 0). */
uint64_t unit_random_below(uint64_t limit);

/* All that has been logged since the test began, levels included: for strstr(). */
const char *unit_log(void);

#endif
