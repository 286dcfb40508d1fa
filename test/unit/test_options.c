/* Keel's command line, as the comment of hv/options.h has it. */
#include "unit.h"

#include "hv/options.h"

static struct options options;
static char unknown[256];

static void remember(const char *word, size_t length)
{
    strncat(unknown, word, length);
    strcat(unknown, ";");
}

static void parse(const char *text)
{
    unknown[0] = '\0';
    memset(&options, 0xee, sizeof(options));
    options_parse(text, &options, remember);
}

TEST(defaults)
{
    static const char *const texts[] = {"", " ", "      "};
    for (unsigned i = 0; i < ARRAY_LENGTH(texts); i++) {
        parse(texts[i]);
        CHECK_EQ(options.console_port, 0x3f8);
        CHECK_EQ(options.console_baud, 115200);
        CHECK(!options.console_keep);
        CHECK_EQ(options.log_level, LOG_INFO);
        CHECK(!options.fallback_linux);
        CHECK(!options.off);
        CHECK_STR(unknown, "");
    }
}

TEST(consoles)
{
    static const struct {
        const char *text;
        uint16_t port;
        uint32_t baud;
    } rows[] = {{"console=com1", 0x3f8, 115200},
                {"console=com2", 0x2f8, 115200},
                {"console=com3,9600", 0x3e8, 9600},
                {"console=com4,57600", 0x2e8, 57600},
                {"console=com2,115200,keep", 0x2f8, 115200}};
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        NOTE("%s", rows[i].text);
        parse(rows[i].text);
        CHECK_STR(unknown, "");
        CHECK_EQ(options.console_port, rows[i].port);
        CHECK_EQ(options.console_baud, rows[i].baud);
    }
    parse("console=none");
    CHECK_EQ(options.console_port, 0);
    parse("console=com1,keep");
    CHECK(options.console_keep);
    parse("console=com1,38400,keep");
    CHECK(options.console_keep);
    CHECK_EQ(options.console_baud, 38400);
}

TEST(the_other_options)
{
    parse("loglevel=error fallback=linux keel=off");
    CHECK_EQ(options.log_level, LOG_ERROR);
    CHECK(options.fallback_linux);
    CHECK(options.off);
    parse("  loglevel=warning   fallback=stop  keel=on ");
    CHECK_EQ(options.log_level, LOG_WARNING);
    CHECK(!options.fallback_linux);
    CHECK(!options.off);
    parse("loglevel=debug");
    CHECK_EQ(options.log_level, LOG_DEBUG);
    CHECK_STR(unknown, "");
}

TEST(the_last_word_counts)
{
    parse("loglevel=error loglevel=debug keel=off keel=on");
    CHECK_EQ(options.log_level, LOG_DEBUG);
    CHECK(!options.off);
}

TEST(unknown_words_are_named_and_change_nothing)
{
    static const char *const words[] = {"quiet",
                                        "loglevel",
                                        "loglevel=",
                                        "loglevel=all",
                                        "loglevel=infos",
                                        "console=",
                                        "console=com",
                                        "console=com5",
                                        "console=com1,0",
                                        "console=com1,7",
                                        "console=com1,x",
                                        "console=com1,-1",
                                        "console=com1,99999999999999999999",
                                        "console=com11",
                                        "fallback=",
                                        "fallback=windows",
                                        "keel=",
                                        "keel=maybe",
                                        "Keel=off",
                                        "console=com1,4294976896",
                                        "console=com2,9600,stay",
                                        "="};
    for (unsigned i = 0; i < ARRAY_LENGTH(words); i++) {
        char expected[64];
        snprintf(expected, sizeof(expected), "%s;", words[i]);
        NOTE("%s", words[i]);
        parse(words[i]);
        CHECK_STR(unknown, expected);
        CHECK_EQ(options.console_port, 0x3f8);
        CHECK_EQ(options.console_baud, 115200);
        CHECK_EQ(options.log_level, LOG_INFO);
        CHECK(!options.fallback_linux);
        CHECK(!options.off);
    }
    parse("a loglevel=debug b");
    CHECK_STR(unknown, "a;b;");
    CHECK_EQ(options.log_level, LOG_DEBUG);
    options_parse("unknown words", &options, NULL);
}

TEST(a_cpu_that_is_told_to_fail)
{
    parse("");
    CHECK_EQ(options.fail_cpu, 0);
    parse("fail-cpu=3");
    CHECK_EQ(options.fail_cpu, 3);
    parse("fail-cpu=4294967295");
    CHECK_EQ(options.fail_cpu, UINT32_MAX);
    CHECK_STR(unknown, "");
    static const char *const bad[] = {"fail-cpu=", "fail-cpu=x", "fail-cpu=-1", "fail-cpu=1x",
                                      "fail-cpu=4294967296"};
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        parse(bad[i]);
        CHECK_EQ(options.fail_cpu, 0);
        CHECK(strstr(unknown, bad[i]) != NULL);
    }
}
