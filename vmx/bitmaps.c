/* See bitmaps.h. */
#include "vmx/bitmaps.h"

#include "lib/string.h"

void msr_bitmap_init(struct msr_bitmap *bitmap)
{
    memset(bitmap, 0xff, sizeof(*bitmap));
}

static void clear(uint8_t *low, uint8_t *high, uint32_t msr)
{
    uint32_t index = msr & MSR_LOW_LAST;
    if (msr <= MSR_LOW_LAST)
        low[index / 8] &= (uint8_t)~BIT(index % 8);
    else if (msr >= MSR_HIGH_FIRST && msr <= MSR_HIGH_LAST)
        high[index / 8] &= (uint8_t)~BIT(index % 8);
}

void msr_bitmap_pass_read(struct msr_bitmap *bitmap, uint32_t msr)
{
    clear(bitmap->read_low, bitmap->read_high, msr);
}

void msr_bitmap_pass_write(struct msr_bitmap *bitmap, uint32_t msr)
{
    clear(bitmap->write_low, bitmap->write_high, msr);
}
