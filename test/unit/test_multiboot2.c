/*
 * The Multiboot2 boot information. Multiboot2 Specification 2.0, "Boot information format":
 * tags are 8-byte aligned, sizes do not count the padding, type 0 of size 8 ends the list.
 */
#include "unit.h"

#include "boot/multiboot2.h"

static uint8_t tags[8192] __attribute__((aligned(8)));
static uint32_t used;
static struct boot_info info;
static const char *why;

static void put(uint32_t offset, uint64_t value, unsigned size)
{
    memcpy(tags + offset, &value, size);
}

static void begin(void)
{
    memset(tags, 0xee, sizeof(tags));
    used = 8;
}

/* Appends a tag with this payload; returns where it begins. */
static uint32_t add_tag(uint32_t type, const void *payload, uint32_t size)
{
    uint32_t at = used;
    put(at, type, 4);
    put(at + 4, 8 + size, 4);
    if (size > 0)
        memcpy(tags + at + 8, payload, size);
    used = (at + 8 + size + 7) / 8 * 8;
    return at;
}

static enum status parse_limit(uint64_t limit)
{
    /* A copy of just that size lets the sanitizer see a read beyond it. */
    uint8_t *copy = malloc(limit > 0 ? limit : 1);
    memcpy(copy, tags, limit);
    why = NULL;
    enum status status = multiboot2_parse(copy, limit, &info, &why);
    free(copy);
    return status;
}

static enum status end(void)
{
    add_tag(0, NULL, 0);
    put(0, used, 4);
    put(4, 0, 4);
    return parse_limit(used);
}

static void expect_invalid(enum status status)
{
    CHECK_EQ(status, STATUS_INVALID);
    CHECK(why != NULL && why[0] != '\0' && strchr(why, '\n') == NULL);
}

static void add_module(uint32_t start, uint32_t stop, const char *text, uint32_t text_size)
{
    uint8_t payload[4200];
    memcpy(payload, &start, 4);
    memcpy(payload + 4, &stop, 4);
    memcpy(payload + 8, text, text_size);
    add_tag(3, payload, 8 + text_size);
}

struct map_entry {
    uint64_t start, size;
    uint32_t type, reserved;
};

static uint32_t add_map(const struct map_entry *entries, unsigned count)
{
    uint8_t payload[1024];
    uint32_t head[2] = {24, 0};
    memcpy(payload, head, 8);
    memcpy(payload + 8, entries, count * 24);
    return add_tag(6, payload, 8 + count * 24);
}

TEST(nothing_but_an_end)
{
    begin();
    CHECK_EQ(end(), STATUS_OK);
    CHECK_EQ(info.module_count, 0);
    CHECK_EQ(info.map.count, 0);
    CHECK_EQ(info.rsdp.value, 0);
    CHECK_EQ(info.screen.kind, SCREEN_NONE);
    CHECK_STR(info.options, "");
}

TEST(what_grub_gives)
{
    static const struct map_entry map[] = {{0, 0x9fc00, 1, 0},
                                           {0x9fc00, 0x400, 2, 0},
                                           {0xf0000, 0x10000, 2, 0},
                                           {0x100000, 0x3fef0000, 1, 0},
                                           {0x3fff0000, 0x10000, 3, 0}};
    begin();
    add_tag(1, "console=com2 loglevel=debug", 28);
    add_tag(2, "GRUB 2.06-13+deb12u1", 21);
    add_tag(4, "\0\0\0\0\0\0\0", 8);
    add_module(0x1000000, 0x1800000, "root=/dev/vda1 quiet", 21);
    add_module(0x2000000, 0x2000001, "", 1);
    add_map(map, 5);
    add_tag(9, "elf sections, whatever", 22);
    add_tag(14, "RSD PTR ", 9);
    add_tag(0x7fffffff, "a tag of the future", 19);
    CHECK_EQ(end(), STATUS_OK);
    CHECK_STR(info.options, "console=com2 loglevel=debug");
    CHECK(!info.options_cut);
    CHECK_EQ(info.module_count, 2);
    CHECK_EQ(info.module[0].start, 0x1000000);
    CHECK_EQ(info.module[0].size, 0x800000);
    CHECK_STR(info.module[0].command_line, "root=/dev/vda1 quiet");
    CHECK_EQ(info.module[1].size, 1);
    CHECK_STR(info.module[1].command_line, "");
    CHECK_EQ(info.map.count, 5);
    CHECK_EQ(info.map.range[3].start, 0x100000);
    CHECK_EQ(info.map.range[3].end, 0x3fff0000);
    CHECK_EQ(info.map.range[4].type, MEMMAP_ACPI);
}

/* "entry_size ... is guaranteed to be a multiple of 8" and may grow in later versions. */
TEST(larger_map_entries)
{
    uint8_t payload[8 + 2 * 40] = {0};
    uint32_t head[2] = {40, 7};
    struct map_entry a = {0x1000, 0x1000, 1, 0}, b = {0x5000, 0x1000, 4, 0};
    memcpy(payload, head, 8);
    memcpy(payload + 8, &a, 24);
    memcpy(payload + 48, &b, 24);
    begin();
    add_tag(6, payload, sizeof(payload));
    CHECK_EQ(end(), STATUS_OK);
    CHECK_EQ(info.map.count, 2);
    CHECK_EQ(info.map.range[1].start, 0x5000);
    CHECK_EQ(info.map.range[1].type, MEMMAP_NVS);
}

TEST(bad_map_entry_sizes)
{
    static const uint32_t sizes[] = {0, 1, 8, 16, 23, 25, 28, UINT32_MAX};
    static const struct map_entry map[] = {{0, 0x1000, 1, 0}};
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        begin();
        put(add_map(map, 1) + 8, sizes[i], 4);
        NOTE("entry size %u", sizes[i]);
        expect_invalid(end());
    }
}

TEST(a_map_that_wraps_or_is_too_long)
{
    static const struct map_entry wraps[] = {{UINT64_MAX - 0xfff, 0x2000, 1, 0}};
    begin();
    add_map(wraps, 1);
    expect_invalid(end());

    static uint8_t many[8 + 24 * 2000], saved[sizeof(many) + 64];
    uint32_t head[2] = {24, 0};
    memcpy(many, head, 8);
    for (uint64_t i = 0; i < 2000; i++) {
        struct map_entry entry = {i * 0x2000, 0x1000, 1, 0};
        memcpy(many + 8 + i * 24, &entry, 24);
    }
    uint32_t words[4] = {8 + 8 + sizeof(many) + 8, 0, 6, 8 + sizeof(many)};
    memcpy(saved, words, 16);
    memcpy(saved + 16, many, sizeof(many));
    uint32_t last[2] = {0, 8};
    memcpy(saved + 16 + sizeof(many), last, 8);
    why = NULL;
    expect_invalid(multiboot2_parse(saved, words[0], &info, &why));
}

TEST(module_ends)
{
    begin();
    add_module(0x2000, 0x1fff, "x", 2);
    expect_invalid(end());
    begin();
    add_module(0x2000, 0x2000, "x", 2);
    CHECK_EQ(end(), STATUS_OK);
    CHECK_EQ(info.module[0].size, 0);
    begin();
    add_tag(3, "1234", 4);
    expect_invalid(end());
}

TEST(strings_without_terminator)
{
    begin();
    add_tag(1, "loglevel=info", 13);
    add_module(0x1000, 0x2000, "quiet", 5);
    CHECK_EQ(end(), STATUS_OK);
    CHECK_STR(info.options, "loglevel=info");
    CHECK_STR(info.module[0].command_line, "quiet");
}

TEST(long_strings)
{
    static char text[4200];
    memset(text, 'x', sizeof(text));
    begin();
    add_tag(1, text, BOOT_OPTIONS_SIZE + 10);
    CHECK_EQ(end(), STATUS_OK);
    CHECK(info.options_cut);
    CHECK_EQ(strlen(info.options), BOOT_OPTIONS_SIZE - 1);
    begin();
    add_module(0, 0x1000, text, BOOT_COMMAND_LINE_SIZE - 1);
    CHECK_EQ(end(), STATUS_OK);
    CHECK_EQ(strlen(info.module[0].command_line), BOOT_COMMAND_LINE_SIZE - 1);
    begin();
    add_module(0, 0x1000, text, BOOT_COMMAND_LINE_SIZE);
    expect_invalid(end());
}

TEST(more_modules_than_are_kept)
{
    begin();
    for (uint32_t i = 0; i < 5; i++)
        add_module(i << 20, (i + 1) << 20, "m", 2);
    CHECK_EQ(end(), STATUS_OK);
    CHECK_EQ(info.module_count, 5);
    CHECK_EQ(info.module[1].start, 1 << 20);
}

TEST(a_framebuffer)
{
    uint8_t payload[30] = {0};
    uint64_t address = 0xfd000000;
    uint32_t words[3] = {4096, 1024, 768};
    static const uint8_t rest[] = {32, 1, 0, 0, 16, 8, 8, 7, 0, 6};
    memcpy(payload, &address, 8);
    memcpy(payload + 8, words, 12);
    memcpy(payload + 20, rest, 10);
    begin();
    add_tag(8, payload, sizeof(payload));
    CHECK_EQ(end(), STATUS_OK);
    CHECK_EQ(info.screen.kind, SCREEN_LINEAR);
    CHECK_EQ(info.screen.address, 0xfd000000);
    CHECK_EQ(info.screen.pitch, 4096);
    CHECK_EQ(info.screen.width, 1024);
    CHECK_EQ(info.screen.height, 768);
    CHECK_EQ(info.screen.depth, 32);
    CHECK_EQ(info.screen.red.position, 16);
    CHECK_EQ(info.screen.red.size, 8);
    CHECK_EQ(info.screen.green.position, 8);
    CHECK_EQ(info.screen.green.size, 7);
    CHECK_EQ(info.screen.blue.position, 0);
    CHECK_EQ(info.screen.blue.size, 6);

    payload[21] = 2; /* EGA text */
    begin();
    add_tag(8, payload, 24);
    CHECK_EQ(end(), STATUS_OK);
    CHECK_EQ(info.screen.kind, SCREEN_TEXT);
    payload[21] = 0; /* indexed colours */
    begin();
    add_tag(8, payload, 24);
    CHECK_EQ(end(), STATUS_OK);
    CHECK_EQ(info.screen.kind, SCREEN_NONE);
}

TEST(every_truncation_is_refused)
{
    static const struct map_entry map[] = {{0, 0x9fc00, 1, 0}, {0x100000, 0x100000, 1, 0}};
    begin();
    add_tag(1, "loglevel=info", 14);
    add_module(0x1000, 0x2000, "quiet", 6);
    add_map(map, 2);
    CHECK_EQ(end(), STATUS_OK);
    for (uint32_t limit = 0; limit < used; limit++) {
        NOTE("limit %u", limit);
        expect_invalid(parse_limit(limit)); /* total_size says more than there is */
        if (limit >= 8) {
            uint32_t whole = used;
            put(0, limit, 4);
            expect_invalid(parse_limit(limit)); /* or agrees, and the end tag is missing */
            put(0, whole, 4);
        }
    }
}

TEST(bad_tag_sizes)
{
    for (uint32_t size = 0; size < 8; size++) {
        begin();
        put(add_tag(1, "abc", 4) + 4, size, 4);
        NOTE("size %u", size);
        expect_invalid(end());
    }
    static const uint32_t large[] = {0x1000, 0x7fffffff, 0xfffffff8, UINT32_MAX};
    for (unsigned i = 0; i < ARRAY_LENGTH(large); i++) {
        begin();
        put(add_tag(1, "abc", 4) + 4, large[i], 4);
        expect_invalid(end());
    }
}

TEST(bad_total_sizes)
{
    static const uint32_t sizes[] = {0, 7, 8, 15, 0x7fffffff, UINT32_MAX};
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        begin();
        CHECK_EQ(end(), STATUS_OK);
        put(0, sizes[i], 4);
        expect_invalid(parse_limit(used));
    }
}

/* What follows the end tag does not count. */
TEST(the_end_tag_ends)
{
    begin();
    add_tag(0, NULL, 0);
    add_tag(1, "late", 5);
    CHECK_EQ(end(), STATUS_OK);
    CHECK_STR(info.options, "");
}
