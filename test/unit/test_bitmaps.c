/*
 * The MSR and I/O bitmaps. SDM Vol. 3C, "MSR-Bitmap Address": four areas of 1 KByte (reads of
 * 0 to 1FFFH, reads of C0000000H to C0001FFFH, then writes of each); "I/O-Bitmap Addresses".
 */
#include "unit.h"

#include "vmx/bitmaps.h"

static struct msr_bitmap bitmap;
static const uint8_t *const bytes = (const uint8_t *)&bitmap;

/* Would the access exit, as the processor reads the page? */
static bool exits(uint32_t msr, bool write)
{
    uint32_t area = write ? 2048 : 0;
    if (msr >= 0xc0000000 && msr <= 0xc0001fff)
        area += 1024;
    else if (msr > 0x1fff)
        return true;
    return bytes[area + (msr & 0x1fff) / 8] >> (msr % 8) & 1;
}

static unsigned count_passed(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < sizeof(bitmap) * 8; i++)
        count += !(bytes[i / 8] >> (i % 8) & 1);
    return count;
}

TEST(at_first_every_msr_exits)
{
    memset(&bitmap, 0, sizeof(bitmap));
    msr_bitmap_init(&bitmap);
    CHECK_EQ(count_passed(), 0);
}

TEST(one_msr_and_one_direction)
{
    static const uint32_t msrs[] = {0,          7,          8,          0x10,      0x1fff,
                                    0xc0000000, 0xc0000080, 0xc0000102, 0xc0001fff};
    for (unsigned i = 0; i < ARRAY_LENGTH(msrs); i++) {
        NOTE("MSR 0x%x", msrs[i]);
        msr_bitmap_init(&bitmap);
        msr_bitmap_pass_read(&bitmap, msrs[i]);
        CHECK(!exits(msrs[i], false));
        CHECK(exits(msrs[i], true));
        CHECK_EQ(count_passed(), 1);
        msr_bitmap_init(&bitmap);
        msr_bitmap_pass_write(&bitmap, msrs[i]);
        CHECK(exits(msrs[i], false));
        CHECK(!exits(msrs[i], true));
        CHECK_EQ(count_passed(), 1);
    }
}

TEST(msrs_outside_have_no_bit)
{
    static const uint32_t msrs[] = {0x2000,     0x40000000, 0x4b564d00, 0xbfffffff,
                                    0xc0002000, 0xc0010015, UINT32_MAX};
    msr_bitmap_init(&bitmap);
    for (unsigned i = 0; i < ARRAY_LENGTH(msrs); i++) {
        msr_bitmap_pass_read(&bitmap, msrs[i]);
        msr_bitmap_pass_write(&bitmap, msrs[i]);
    }
    CHECK_EQ(count_passed(), 0);
}

TEST(ports)
{
    static struct io_bitmap io;
    static const uint16_t ports[] = {0, 7, 8, 0x604, 0x7fff, 0x8000, 0xb004, 0xffff};
    for (unsigned i = 0; i < ARRAY_LENGTH(ports); i++) {
        memset(&io, 0, sizeof(io));
        io_bitmap_intercept(&io, ports[i]);
        const uint8_t *page = io.port + (ports[i] >= 0x8000 ? PAGE_SIZE : 0);
        CHECK_EQ(page[(ports[i] & 0x7fff) / 8], 1 << (ports[i] % 8));
        unsigned count = 0;
        for (unsigned j = 0; j < sizeof(io.port); j++)
            count += io.port[j] != 0;
        CHECK_EQ(count, 1);
    }
}
