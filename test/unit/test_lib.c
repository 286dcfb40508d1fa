/* The library's own string, format, bit and log functions. */
#include "unit.h"

#include "lib/bits.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"

TEST(masks_and_fields)
{
    CHECK_EQ(MASK(0, 0), 1);
    CHECK_EQ(MASK(63, 0), UINT64_MAX);
    CHECK_EQ(MASK(63, 63), BIT(63));
    CHECK_EQ(MASK(51, 12), 0x000ffffffffff000);
    CHECK_EQ(bits_get(0xabcd, MASK(11, 4)), 0xbc);
    CHECK_EQ(bits_get(UINT64_MAX, MASK(63, 60)), 15);
}

TEST(alignment)
{
    CHECK_EQ(align_down(0x1fff, 0x1000), 0x1000);
    CHECK_EQ(align_up(0x1001, 0x1000), 0x2000);
    CHECK_EQ(align_up(0x1000, 0x1000), 0x1000);
    CHECK_EQ(align_up(UINT64_MAX, 0x1000), 0);
    CHECK(is_aligned(0, 0x1000) && is_aligned(0x3000, 0x1000) && !is_aligned(0x3001, 0x1000));
}

TEST(overlaps)
{
    CHECK(ranges_overlap(0, 2, 1, 1));
    CHECK(!ranges_overlap(0, 2, 2, 1));
    CHECK(!ranges_overlap(2, 1, 0, 2));
    CHECK(ranges_overlap(0, 10, 3, 1));
    CHECK(ranges_overlap(3, 1, 0, 10));
}

TEST(conversions)
{
    char text[128];
#define EXPECT(expected, ...)                                                \
    do {                                                                     \
        CHECK_EQ(format(text, sizeof(text), __VA_ARGS__), strlen(expected)); \
        CHECK_STR(text, expected);                                           \
    } while (0)
    EXPECT("plain", "plain");
    EXPECT("100%", "100%%");
    EXPECT("a-b", "%c-%c", 'a', 'b');
    EXPECT("[keel]", "[%s]", "keel");
    EXPECT("[keel   ]", "[%-7s]", "keel");
    EXPECT("-2147483648", "%d", INT32_MIN);
    EXPECT("-9223372036854775808", "%ld", INT64_MIN);
    EXPECT("4294967295", "%u", UINT32_MAX);
    EXPECT("18446744073709551615", "%lu", UINT64_MAX);
    EXPECT("0xdeadbeef", "0x%x", 0xdeadbeef);
    EXPECT("ffffffffffffffff", "%lx", UINT64_MAX);
    EXPECT("00c0", "%04x", 0xc0);
    EXPECT("  c0", "%4x", 0xc0);
    EXPECT("-007", "%04d", -7);
    EXPECT("  -7", "%4d", -7);
    EXPECT("7", "%zu", (size_t)7);
    EXPECT("5 6", "%llu %lld", 5ull, 6ll);
    EXPECT("0x0000000000001234", "%p", (void *)0x1234);
    EXPECT("0", "%u", 0);
#undef EXPECT
}

TEST(output_is_cut_and_terminated)
{
    char text[8];
    memset(text, '#', sizeof(text));
    CHECK_EQ(format(text, 4, "%s", "abcdef"), 3);
    CHECK_STR(text, "abc");
    CHECK_EQ(text[4], '#');
    CHECK_EQ(format(text, 1, "%d", 123), 0);
    CHECK_STR(text, "");
    text[0] = '#';
    CHECK_EQ(format(text, 0, "%d", 123), 0);
    CHECK_EQ(text[0], '#');
}

TEST(a_string_is_copied_with_both_limits)
{
    char to[5];
    const char unterminated[3] = {'a', 'b', 'c'};
    CHECK(string_copy(to, sizeof(to), "abcd", 5));
    CHECK_STR(to, "abcd");
    CHECK(!string_copy(to, sizeof(to), "abcde", 6));
    CHECK_STR(to, "abcd");
    CHECK(string_copy(to, sizeof(to), unterminated, 3));
    CHECK_STR(to, "abc");
    CHECK(string_copy(to, sizeof(to), "", 1));
    CHECK_STR(to, "");
    CHECK(string_copy(to, sizeof(to), unterminated, 0));
    CHECK_STR(to, "");
    CHECK(string_copy(to, 1, "", 1));
    CHECK(!string_copy(to, 1, "a", 2));
    CHECK_STR(to, "");
}

TEST(lines_have_level_and_newline)
{
    log_info("n=%d", 3);
    log_error("bad");
    log_warning("odd");
    CHECK_STR(unit_log(), "keel: n=3\nkeel: error: bad\nkeel: warning: odd\n");
}

TEST(the_level_filters_what_goes_out)
{
    log_set_level(LOG_WARNING);
    CHECK(log_enabled(LOG_ERROR) && log_enabled(LOG_WARNING) && !log_enabled(LOG_INFO));
    log_info("no");
    log_debug("no");
    log_warning("yes");
    CHECK_STR(unit_log(), "keel: warning: yes\n");
}

TEST(a_long_line_is_cut)
{
    char text[2 * LOG_LINE_SIZE];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (unsigned i = 0; i < 500; i++) /* the ring wraps, too */
        log_error("%s", text);
    const char *end = strchr(unit_log(), '\n');
    CHECK(end != NULL && end - unit_log() + 1 <= LOG_LINE_SIZE);
    CHECK(end - unit_log() + 1 >= LOG_LINE_SIZE - 1);
}

TEST(a_log_without_sink_is_silent)
{
    log_set_sink(NULL);
    log_error("nobody hears");
    CHECK_STR(unit_log(), "");
}

TEST(a_budget_runs_out)
{
    struct log_limit limit = {2};
    CHECK(log_limited(&limit));
    CHECK(log_limited(&limit));
    CHECK(!log_limited(&limit));
    CHECK(!log_limited(&limit));
}
