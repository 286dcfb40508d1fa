/* The bzImage's setup header. Linux's boot.rst, "The Real-Mode Kernel Header". */
#include "unit.h"

#include "guest/bzimage.h"
#include "kernel_image.h"

static uint8_t file[64 * 1024];
static struct bzimage image;
static const char *why;

static enum status parse(uint64_t size)
{
    why = NULL;
    return bzimage_parse(file, size, &image, &why);
}

static void expect_refused(enum status expected)
{
    CHECK_EQ(parse(sizeof(file)), expected);
    CHECK(why != NULL && *why != '\0' && strchr(why, '\n') == NULL);
}

TEST(a_debian_kernel)
{
    kernel_make(file, sizeof(file));
    CHECK_EQ(parse(sizeof(file)), STATUS_OK);
    CHECK_EQ(image.setup_size, 1536);
    CHECK_EQ(image.kernel_size, sizeof(file) - 1536);
    CHECK_EQ(image.init_size, 0x2000000);
    CHECK_EQ(image.preferred, 0x1000000);
    CHECK_EQ(image.alignment, 0x200000);
    CHECK(image.relocatable);
    CHECK_EQ(image.initrd_max, 0x7fffffff);
    CHECK_EQ(image.command_line_max, 2047);
    CHECK_EQ(image.header_size, 0x202 + 0x6a - 0x1f1); /* "0x0202 + byte value at 0x0201" */
}

/* "for backwards compatibility, if the setup_sects field contains 0, the real value is 4" */
TEST(setup_sects_of_zero)
{
    kernel_make(file, sizeof(file));
    file[0x1f1] = 0;
    CHECK_EQ(parse(sizeof(file)), STATUS_OK);
    CHECK_EQ(image.setup_size, 5 * 512);
}

TEST(no_kernel_at_all)
{
    memset(file, 0, sizeof(file));
    expect_refused(STATUS_INVALID);
    memset(file, 0xff, sizeof(file));
    expect_refused(STATUS_INVALID);
    kernel_make(file, sizeof(file));
    file[0x1fe] ^= 1;
    expect_refused(STATUS_INVALID);
    for (unsigned i = 0; i < 4; i++) {
        kernel_make(file, sizeof(file));
        file[0x202 + i] ^= 0x20;
        expect_refused(STATUS_INVALID);
    }
}

TEST(old_protocols)
{
    static const uint32_t old[] = {0, 0x0200, 0x0201, 0x020a, 0x020b};
    for (unsigned i = 0; i < ARRAY_LENGTH(old); i++) {
        kernel_make(file, sizeof(file));
        kernel_put(file, 0x206, old[i], 2);
        expect_refused(STATUS_NO_SUPPORT);
    }
    kernel_make(file, sizeof(file));
    kernel_put(file, 0x206, 0x020c, 2);
    CHECK_EQ(parse(sizeof(file)), STATUS_OK);
}

TEST(no_64_bit_entry)
{
    kernel_make(file, sizeof(file));
    kernel_put(file, 0x236, 0x7e, 2);
    expect_refused(STATUS_NO_SUPPORT);
    kernel_make(file, sizeof(file));
    file[0x211] = 0; /* a zImage */
    expect_refused(STATUS_NO_SUPPORT);
}

TEST(short_files)
{
    kernel_make(file, sizeof(file));
    for (uint64_t size = 0; size <= 1536; size++) {
        NOTE("size %lu", size);
        CHECK_EQ(parse(size), STATUS_INVALID);
        CHECK(why != NULL && *why != '\0');
    }
    CHECK_EQ(parse(1537), STATUS_OK);
    CHECK_EQ(image.kernel_size, 1);
}

TEST(malformed_headers)
{
    static const struct {
        unsigned offset;
        uint64_t value;
        unsigned size;
    } rows[] = {
        {0x201, 0x00, 1},      {0x201, 0x20, 1},       {0x201, 0xff, 1}, /* the header's end */
        {0x230, 0, 4},         {0x230, 0x100, 4},      {0x230, 0x201000, 4},
        {0x230, 3, 4}, /* alignment */
        {0x260, 0, 4}, /* init_size */
        {0x258, 0x1000001, 8}, {0x258, UINT64_MAX, 8}, {0x258, UINT64_C(1) << 63, 8},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        NOTE("row %u", i);
        kernel_make(file, sizeof(file));
        kernel_put(file, rows[i].offset, rows[i].value, rows[i].size);
        expect_refused(STATUS_INVALID);
    }
}

/* "init_size ... amount of linear contiguous memory"; it can never be below what is copied. */
TEST(init_size_covers_the_file)
{
    kernel_make(file, sizeof(file));
    kernel_put(file, 0x260, 1, 4);
    if (parse(sizeof(file)) == STATUS_OK)
        CHECK(image.init_size >= image.kernel_size);
}

/* Whatever the bytes, what is accepted can be worked with. */
TEST(random_headers)
{
    unsigned accepted = 0;
    for (unsigned round = 0; round < 200000; round++) {
        kernel_make(file, 1024);
        for (unsigned i = 0; i < 1 + unit_random_below(3); i++)
            file[0x1f1 + unit_random_below(0x80)] = (uint8_t)unit_random();
        uint64_t size = unit_random_below(4) ? sizeof(file) : unit_random_below(sizeof(file));
        if (parse(size) != STATUS_OK) {
            CHECK(why != NULL && *why != '\0');
            continue;
        }
        accepted++;
        CHECK(image.setup_size + image.kernel_size == size && image.kernel_size > 0);
        CHECK(image.init_size >= image.kernel_size);
        CHECK(image.alignment >= PAGE_SIZE && (image.alignment & (image.alignment - 1)) == 0);
        CHECK(0x1f1 + image.header_size <= SETUP_HEADER_LIMIT);
        CHECK(image.preferred + image.init_size > image.preferred);
    }
    CHECK(accepted > 10000);
}
