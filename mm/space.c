/* See space.h and phys.h. SDM Vol. 3A, "4-Level Paging and 5-Level Paging". */
#include "mm/space.h"

#include "lib/bits.h"
#include "lib/panic.h"
#include "lib/string.h"
#include "mm/phys.h"
#include "mm/pt.h"
#include "x86/ops.h"

#define PTE_PRESENT    BIT(0)
#define PTE_WRITE      BIT(1)
#define PTE_UNCACHED   (BIT(3) | BIT(4)) /* PWT and PCD: UC in every PAT that is in use */
#define PTE_ACCESSED   BIT(5)
#define PTE_DIRTY      BIT(6)
#define PTE_LARGE      BIT(7)
#define PTE_ADDRESS    MASK(51, 12)
#define PTE_NO_EXECUTE BIT(63)

/* Accessed and dirty are set beforehand: the processor then never writes to an entry. */
#define RIGHTS_TEXT   (PTE_PRESENT | PTE_ACCESSED)
#define RIGHTS_RODATA (PTE_PRESENT | PTE_ACCESSED | PTE_NO_EXECUTE)
#define RIGHTS_DATA   (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_NO_EXECUTE)

/* The reach of a 4-level tree, in which the addresses from KEEL_VA on are the last 2 GiB. */
#define REACH_MASK MASK(47, 0)

/* See linker.ld; the rest of the last 2 GiB is laid out here. */
extern const char KEEL_VA[], image_text[], image_rodata[], image_data[], image_end[];
#define WINDOW_OFFSET (512 * MIB)
#define DEVICE_OFFSET (640 * MIB)
#define STACKS_OFFSET (768 * MIB)

enum window {
    WINDOW_FROM,
    WINDOW_TO,
    WINDOW_COUNT
};

static struct frame_pool frames;
static struct pt own;
static uint64_t next_stack = STACKS_OFFSET;

static uint64_t offset_of(const char *symbol)
{
    return (uintptr_t)symbol - (uintptr_t)KEEL_VA;
}

uint64_t space_image_span(void)
{
    return offset_of(image_end);
}

enum status space_choose_home(const struct memmap *map, uint64_t needed_frames,
                              const struct memmap_busy *busy, uint32_t busy_count,
                              struct home *home)
{
    home->size = align_up(offset_of(image_end) + needed_frames * PAGE_SIZE, SIZE_2M);
    return memmap_find_highest(map, MIB, 4 * GIB, home->size, SIZE_2M, busy, busy_count,
                               &home->start);
}

static enum status map(uint64_t offset, hpa_t to, uint64_t size, uint64_t rights)
{
    const struct pt_value value = {true, to, rights};
    bool flush = false; /* nothing that is in use is ever changed, but by window_map() */
    return pt_set(&own, ((uintptr_t)KEEL_VA + offset) & REACH_MASK, size, &value, &flush);
}

/* Maps the image from the offset first to the offset last. */
static enum status map_image(const struct home *home, const char *first, const char *last,
                             uint64_t rights)
{
    return map(offset_of(first), HPA(home->start + offset_of(first)),
               offset_of(last) - offset_of(first), rights);
}

static enum status map_home(const struct home *home, uint64_t image_size)
{
    enum status status = map_image(home, image_text, image_rodata, RIGHTS_TEXT);
    if (status == STATUS_OK)
        status = map_image(home, image_rodata, image_data, RIGHTS_RODATA);
    if (status == STATUS_OK)
        status = map_image(home, image_data, image_end, RIGHTS_DATA);
    if (status == STATUS_OK)
        status = map(image_size, HPA(home->start + image_size), home->size - image_size,
                     RIGHTS_DATA);
    if (status == STATUS_OK) /* gives the window its table: later it only changes entries */
        status = map(WINDOW_OFFSET, HPA(home->start), WINDOW_COUNT * PAGE_SIZE, RIGHTS_RODATA);
    return status;
}

enum status space_enter_home(const struct home *home)
{
    static const struct pt_format format = {
        .levels = 4,
        .max_leaf = 2,
        .present_mask = PTE_PRESENT,
        .table_bits = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED,
        .large_bit = PTE_LARGE,
        .address_mask = PTE_ADDRESS,
    };
    uint64_t image_size = offset_of(image_end);
    uint64_t pool_start = home->start + image_size;

    frame_pool_init(&frames, HPA(pool_start), (void *)pool_start, home->size - image_size);
    enum status status = pt_init(&own, &format, &frames);
    if (status == STATUS_OK)
        status = map_home(home, image_size);
    if (status != STATUS_OK)
        return status;
    frames.memory = (uint8_t *)(uintptr_t)KEEL_VA + image_size;

    /* All that is written up to here goes along, this very stack included. */
    const void *from = image_text;
    void *to = (void *)(home->start + offset_of(image_text));
    uint64_t size = offset_of(image_end) - offset_of(image_text);
    __asm__ volatile("rep movsb\n"
                     "mov %3, %%cr3\n"
                     : "+S"(from), "+D"(to), "+c"(size)
                     : "r"(own.root.value)
                     : "memory");
    return STATUS_OK;
}

struct frame_pool *space_frames(void)
{
    return &frames;
}

void *space_pointer(hpa_t frame)
{
    return frame_pointer(&frames, frame);
}

void *space_new_stack(unsigned pages)
{
    uint64_t offset = next_stack + PAGE_SIZE; /* the page that stays unmapped */
    for (unsigned i = 0; i < pages; i++) {
        hpa_t frame;
        if (frame_alloc(&frames, &frame) != STATUS_OK ||
            map(offset + i * PAGE_SIZE, frame, PAGE_SIZE, RIGHTS_DATA) != STATUS_OK)
            return NULL;
    }
    next_stack = offset + pages * PAGE_SIZE;
    return (uint8_t *)(uintptr_t)KEEL_VA + next_stack;
}

enum status space_map_identity(uint64_t address)
{
    const struct pt_value value = {true, HPA(align_down(address, PAGE_SIZE)), RIGHTS_TEXT};
    bool flush = false;
    return pt_set(&own, value.hpa.value, PAGE_SIZE, &value, &flush);
}

void space_unmap_identity(uint64_t address)
{
    const struct pt_value nothing = {.present = false};
    bool flush = false;
    if (pt_set(&own, align_down(address, PAGE_SIZE), PAGE_SIZE, &nothing, &flush) != STATUS_OK)
        panic("the identity map of 0x%lx was not there", address);
    ops_invlpg(address);
}

volatile void *space_map_device(hpa_t registers)
{
    if (map(DEVICE_OFFSET, registers, PAGE_SIZE, RIGHTS_DATA | PTE_UNCACHED) != STATUS_OK)
        return NULL;
    return (uint8_t *)(uintptr_t)KEEL_VA + DEVICE_OFFSET;
}

/* Shows the page that holds hpa in a window: where the byte at hpa is seen. */
static uint8_t *window_map(enum window window, hpa_t hpa)
{
    uint64_t offset = WINDOW_OFFSET + window * PAGE_SIZE;
    uint8_t *page = (uint8_t *)(uintptr_t)KEEL_VA + offset;
    uint64_t rights = window == WINDOW_TO ? RIGHTS_DATA : RIGHTS_RODATA;

    if (map(offset, HPA(align_down(hpa.value, PAGE_SIZE)), PAGE_SIZE, rights) != STATUS_OK)
        panic("the window has no table");
    ops_invlpg((uintptr_t)page);
    return page + hpa.value % PAGE_SIZE;
}

/* Bytes from at to its page's end, at most size. */
static uint64_t page_part(uint64_t at, uint64_t size)
{
    return min_u64(PAGE_SIZE - at % PAGE_SIZE, size);
}

void phys_read(void *to, hpa_t from, uint64_t size)
{
    uint8_t *bytes = to;
    while (size > 0) {
        uint64_t part = page_part(from.value, size);
        memcpy(bytes, window_map(WINDOW_FROM, from), part);
        bytes += part;
        from.value += part;
        size -= part;
    }
}

void phys_write(hpa_t to, const void *from, uint64_t size)
{
    const uint8_t *bytes = from;
    while (size > 0) {
        uint64_t part = page_part(to.value, size);
        memcpy(window_map(WINDOW_TO, to), bytes, part);
        bytes += part;
        to.value += part;
        size -= part;
    }
}

void phys_copy(hpa_t to, hpa_t from, uint64_t size)
{
    while (size > 0) {
        uint64_t part = page_part(from.value, size);
        phys_write(to, window_map(WINDOW_FROM, from), part);
        to.value += part;
        from.value += part;
        size -= part;
    }
}
