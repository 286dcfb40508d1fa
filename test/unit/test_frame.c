/* The frame allocator: each frame once, zeroed, and only its own frames taken back. */
#include "unit.h"

#include "mm/frame.h"

#define COUNT 130 /* more than two words of the bitmap, and not a multiple of them */
#define BASE  HPA(0x7fe00000)

static uint8_t memory[COUNT * PAGE_SIZE] __attribute__((aligned(4096)));
static struct frame_pool pool;

static void start(void)
{
    memset(memory, 0xa5, sizeof(memory));
    frame_pool_init(&pool, BASE, memory, sizeof(memory));
}

static hpa_t alloc(void)
{
    hpa_t frame;
    CHECK_EQ(frame_alloc(&pool, &frame), STATUS_OK);
    return frame;
}

static bool is_zero(hpa_t frame)
{
    const uint8_t *bytes = frame_pointer(&pool, frame);
    for (unsigned i = 0; i < PAGE_SIZE; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

TEST(every_frame_is_given_once_and_zeroed)
{
    bool seen[COUNT] = {false};
    hpa_t none;
    start();
    CHECK_EQ(pool.free, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        hpa_t frame = alloc();
        uint64_t index = (frame.value - BASE.value) / PAGE_SIZE;
        CHECK_EQ(frame.value % PAGE_SIZE, 0);
        CHECK(frame.value >= BASE.value && index < COUNT);
        CHECK(!seen[index]);
        seen[index] = true;
        CHECK(frame_pointer(&pool, frame) == memory + index * PAGE_SIZE);
        CHECK(is_zero(frame));
        CHECK_EQ(pool.free, COUNT - 1 - i);
    }
    CHECK_EQ(frame_alloc(&pool, &none), STATUS_NO_MEMORY);
}

TEST(a_frame_that_was_freed_is_given_again_zeroed)
{
    start();
    for (unsigned i = 0; i < COUNT; i++)
        memset(frame_pointer(&pool, alloc()), 0xff, PAGE_SIZE);
    for (unsigned i = 0; i < COUNT; i += 7)
        frame_free(&pool, HPA(BASE.value + i * PAGE_SIZE));
    for (unsigned i = 0; i < COUNT; i += 7) {
        hpa_t frame = alloc();
        CHECK_EQ((frame.value - BASE.value) / PAGE_SIZE % 7, 0);
        CHECK(is_zero(frame));
    }
    CHECK_EQ(pool.free, 0);
}

TEST(all_can_be_freed_and_taken_again)
{
    start();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++)
            (void)alloc();
        for (unsigned i = COUNT; i-- > 0;)
            frame_free(&pool, HPA(BASE.value + i * PAGE_SIZE));
        CHECK_EQ(pool.free, COUNT);
    }
}

TEST(freeing_twice_panics)
{
    hpa_t frame;
    start();
    frame = alloc();
    frame_free(&pool, frame);
    CHECK_PANICS(frame_free(&pool, frame));
    CHECK_EQ(pool.free, COUNT);
}

TEST(freeing_a_frame_that_was_never_given_panics)
{
    start();
    CHECK_PANICS(frame_free(&pool, HPA(BASE.value + 5 * PAGE_SIZE)));
}

TEST(a_foreign_frame_panics)
{
    static const uint64_t foreign[] = {0,
                                       0x7fe00000 - PAGE_SIZE,
                                       0x7fe00000 + COUNT * PAGE_SIZE,
                                       0x7fe00000 + 1,
                                       0x7fe00000 + PAGE_SIZE / 2,
                                       UINT64_MAX,
                                       UINT64_MAX - 0xfff,
                                       0x7fe00000 + (UINT64_C(1) << 44)};
    start();
    for (unsigned i = 0; i < COUNT; i++)
        (void)alloc();
    for (unsigned i = 0; i < ARRAY_LENGTH(foreign); i++) {
        NOTE("0x%lx", foreign[i]);
        CHECK_PANICS(frame_pointer(&pool, HPA(foreign[i])));
        CHECK_PANICS(frame_free(&pool, HPA(foreign[i])));
        CHECK_EQ(pool.free, 0);
    }
}

TEST(no_frame_holds_a_link_of_the_allocator)
{
    hpa_t frame;
    start();
    frame = alloc();
    memset(frame_pointer(&pool, frame), 0x5a, PAGE_SIZE);
    frame_free(&pool, frame);
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        CHECK(memory[frame.value - BASE.value + i] == 0x5a || is_zero(frame));
}

TEST(a_pool_is_no_larger_than_its_bitmap)
{
    static struct frame_pool big;
    static uint8_t one_page[PAGE_SIZE];
    frame_pool_init(&big, HPA(0), one_page, (FRAME_POOL_MAX + 5) * PAGE_SIZE);
    CHECK_EQ(big.count, FRAME_POOL_MAX);
    CHECK_EQ(big.free, FRAME_POOL_MAX);
}

TEST(an_empty_pool_has_nothing)
{
    hpa_t frame;
    frame_pool_init(&pool, BASE, memory, 0);
    CHECK_EQ(frame_alloc(&pool, &frame), STATUS_NO_MEMORY);
    CHECK_PANICS(frame_pointer(&pool, BASE));
}
