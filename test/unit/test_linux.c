/*
 * Loading Linux into (fake) guest memory. Linux's boot.rst, "64-bit Boot Protocol";
 * zero-page.rst.
 */
#include "unit.h"

#include "guest/bzimage.h"
#include "guest/load.h"
#include "kernel_image.h"
#include "lib/bits.h"
#include "phys.h"

#define RAM_SIZE    (192 * MIB)
#define KERNEL_SIZE (3 * MIB + 123)
#define HOME_SIZE   (2 * MIB)

static uint8_t *ram;
static uint8_t *before;
static struct memmap map;
static struct screen screen;
static struct guest_files files;
static struct guest_machine machine;
static struct guest_entry entry;
static char why[LOAD_ERROR_SIZE];

/* GRUB's layout: the kernel's file at 24 MiB, the initrd behind it, Keel's home on top. */
static void start(void)
{
    if (ram == NULL) {
        ram = malloc(RAM_SIZE);
        before = malloc(RAM_SIZE);
    }
    memset(ram, 0xa5, RAM_SIZE);
    fake_phys_set(0, RAM_SIZE, ram);
    map.count = 0;
    CHECK_EQ(memmap_add(&map, 0, 0x9fc00, MEMMAP_RAM), STATUS_OK);
    CHECK_EQ(memmap_add(&map, 0x9fc00, 0x400, MEMMAP_RESERVED), STATUS_OK);
    CHECK_EQ(memmap_add(&map, 0xf0000, 0x10000, MEMMAP_RESERVED), STATUS_OK);
    CHECK_EQ(memmap_add(&map, MIB, RAM_SIZE - MIB, MEMMAP_RAM), STATUS_OK);
    screen = (struct screen){0};
    files = (struct guest_files){
        .kernel = {64 * MIB, KERNEL_SIZE, "console=ttyS0 quiet"},
        .initrd = {72 * MIB, 2 * MIB + 77, ""},
    };
    machine = (struct guest_machine){.map = &map,
                                     .reserved_start = RAM_SIZE - HOME_SIZE,
                                     .reserved_size = HOME_SIZE,
                                     .reserve = true,
                                     .rsdp = HPA(0xf5a80),
                                     .screen = &screen};
    kernel_make(ram + files.kernel.start, KERNEL_SIZE);
    for (uint64_t i = 0; i < files.initrd.size; i++)
        ram[files.initrd.start + i] = (uint8_t)(i * 13 + i / 509);
}

static uint8_t *kernel_header(void)
{
    return ram + files.kernel.start;
}

static void load(void)
{
    memcpy(before, ram, RAM_SIZE);
    why[0] = '\0';
    enum status status = linux_load(&files, &machine, &entry, why);
    if (status != STATUS_OK)
        unit_fail(__FILE__, __LINE__, "status %d: %s", status, why);
}

static void expect_refused(void)
{
    memcpy(before, ram, RAM_SIZE);
    why[0] = '\0';
    CHECK(linux_load(&files, &machine, &entry, why) != STATUS_OK);
    CHECK(why[0] != '\0' && strchr(why, '\n') == NULL);
    CHECK(memcmp(before, ram, RAM_SIZE) == 0);
}

static uint64_t param(unsigned offset, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, fake_phys_at(entry.rsi, PAGE_SIZE) + offset, size);
    return value;
}

static uint64_t word_at(uint64_t address)
{
    uint64_t value;
    memcpy(&value, fake_phys_at(address, 8), 8);
    return value;
}

/* Where the guest's page tables take a linear address. SDM Vol. 3A, "4-Level Paging". */
static uint64_t translate(uint64_t address)
{
    uint64_t table = entry.cr3;
    for (unsigned shift = 39;; shift -= 9) {
        uint64_t slot = word_at(table + (address >> shift & 511) * 8);
        CHECK_EQ(slot & 3, 3);
        if (shift == 12 || (slot & 0x80) != 0)
            return (slot & MASK(51, shift)) | (address & (BIT(shift) - 1));
        table = slot & MASK(51, 12);
    }
}

static void check_loaded(void)
{
    uint64_t kernel = entry.rip - 0x200; /* "the 64-bit entry point is at 0x200" */
    uint64_t initrd = param(0x218, 4) | param(0xc0, 4) << 32;
    uint64_t kernel_bytes = files.kernel.size - KERNEL_SETUP_SIZE;
    uint64_t home_end = machine.reserved_start + machine.reserved_size;

    CHECK(memcmp(ram + kernel, before + files.kernel.start + KERNEL_SETUP_SIZE, kernel_bytes) == 0);
    CHECK_EQ(param(0x21c, 4) | param(0xc4, 4) << 32, files.initrd.size);
    if (files.initrd.size > 0) {
        CHECK(memcmp(ram + initrd, before + files.initrd.start, files.initrd.size) == 0);
        CHECK(initrd + files.initrd.size - 1 <= 0x7fffffff);
        CHECK(!ranges_overlap(kernel, 0x2000000, initrd, files.initrd.size));
    }
    CHECK(memmap_all(&map, kernel, 0x2000000, MEMMAP_RAM));
    CHECK(!ranges_overlap(kernel, 0x2000000, machine.reserved_start, machine.reserved_size));
    CHECK(memcmp(ram + machine.reserved_start, before + machine.reserved_start, HOME_SIZE) == 0);
    CHECK(home_end <= RAM_SIZE);

    /* What the guest begins with overlaps neither the kernel nor the initrd. */
    const uint64_t pages[] = {entry.rsi,
                              param(0x228, 4),
                              entry.cr3,
                              entry.gdt_base,
                              word_at(entry.cr3) & MASK(51, 12),
                              entry.spare_page};
    for (unsigned i = 0; i < ARRAY_LENGTH(pages); i++) {
        uint64_t page = align_down(pages[i], PAGE_SIZE);
        CHECK(!ranges_overlap(page, PAGE_SIZE, kernel, 0x2000000));
        CHECK(files.initrd.size == 0 ||
              !ranges_overlap(page, PAGE_SIZE, initrd, files.initrd.size));
        CHECK(memmap_all(&map, page, PAGE_SIZE, MEMMAP_RAM));
    }

    /* boot_params: the setup header as in the file but for what a loader fills in */
    CHECK_EQ(param(0x202, 4), 0x53726448);
    CHECK_EQ(param(0x206, 2), 0x020f);
    CHECK_EQ(param(0x230, 4), 0x200000);
    CHECK(param(0x210, 1) != 0); /* type_of_loader */
    CHECK_STR((const char *)fake_phys_at(param(0x228, 4), 2048), files.kernel.text);
    CHECK_EQ(param(0x070, 8), machine.rsdp.value);
    for (unsigned i = 0x26c; i < 0x290; i++) /* behind the header's end: zero, not the file's */
        CHECK_EQ(param(i, 1), 0);
    CHECK_EQ(param(0x1ef, 1), 0); /* sentinel */

    /* "%rsi must hold the base address of struct boot_params", tables for all that is used */
    const uint64_t used[] = {kernel, kernel + 0x1ffffff, entry.rsi, param(0x228, 4),
                             initrd, entry.gdt_base,     entry.cr3};
    for (unsigned i = 0; i < ARRAY_LENGTH(used); i++)
        CHECK_EQ(translate(used[i]), used[i]);
    CHECK_EQ(translate(4 * GIB - 1), 4 * GIB - 1);

    /* "GDT must be loaded with the descriptors for selectors __BOOT_CS(0x10), __BOOT_DS(0x18)" */
    CHECK(entry.gdt_limit >= 0x1f);
    CHECK_EQ(word_at(entry.gdt_base + 0x10) >> 40 & 0xff, 0x9b); /* code, present, accessed */
    CHECK_EQ(word_at(entry.gdt_base + 0x10) >> 53 & 3, 1);       /* L, not D */
    CHECK_EQ(word_at(entry.gdt_base + 0x18) >> 40 & 0xff, 0x93);
}

TEST(a_plain_load)
{
    start();
    load();
    CHECK_EQ(entry.rip, 0x1000000 + 0x200); /* pref_address is free */
    CHECK_EQ(param(0x218, 4), files.initrd.start);
    check_loaded();
}

static unsigned e820_type(uint64_t address)
{
    for (unsigned i = 0; i < param(0x1e8, 1); i++) {
        uint64_t first = param(0x2d0 + i * 20, 8), size = param(0x2d8 + i * 20, 8);
        if (address >= first && address - first < size)
            return (unsigned)param(0x2e0 + i * 20, 4);
    }
    return 0;
}

TEST(the_memory_map_without_keel)
{
    start();
    load();
    CHECK_EQ(param(0x1e8, 1), 5);
    CHECK_EQ(e820_type(0x1000), MEMMAP_RAM);
    CHECK_EQ(e820_type(0x9fc00), MEMMAP_RESERVED);
    CHECK_EQ(e820_type(0xa0000), 0);
    CHECK_EQ(e820_type(machine.reserved_start - 1), MEMMAP_RAM);
    for (uint64_t offset = 0; offset < HOME_SIZE; offset += PAGE_SIZE)
        CHECK_EQ(e820_type(machine.reserved_start + offset), MEMMAP_RESERVED);
    start();
    machine.reserve = false;
    load();
    CHECK_EQ(e820_type(machine.reserved_start), MEMMAP_RAM);
}

/* The kernel's file lies just where the kernel wants to be. */
TEST(the_preferred_place_is_taken)
{
    start();
    memmove(ram + 20 * MIB, ram + files.kernel.start, KERNEL_SIZE);
    files.kernel.start = 20 * MIB;
    load();
    check_loaded();
}

/*
 * boot.rst on pref_address: "A relocatable kernel will move itself to this address if it was
 * loaded below this address." It would then run over whatever is there, the initrd for one.
 */
TEST(a_relocatable_kernel_never_goes_below_its_preferred_address)
{
    start();
    kernel_put(kernel_header(), 0x260, 0x800000, 4); /* would fit from 1 to 16 MiB */
    memmove(ram + 18 * MIB, ram + files.initrd.start, files.initrd.size);
    files.initrd.start = 18 * MIB;
    load();
    CHECK(entry.rip - 0x200 >= 0x1000000);
}

TEST(a_kernel_that_cannot_move)
{
    start();
    kernel_header()[0x234] = 0;
    load();
    CHECK_EQ(entry.rip, 0x1000200);
    start();
    kernel_header()[0x234] = 0;
    memmove(ram + 20 * MIB, ram + files.initrd.start, files.initrd.size);
    files.initrd.start = 20 * MIB;
    expect_refused();
}

TEST(an_initrd_that_lies_too_high_is_moved)
{
    start();
    kernel_put(kernel_header(), 0x22c, 70 * MIB - 1, 4);
    load();
    uint64_t initrd = param(0x218, 4);
    CHECK(initrd != files.initrd.start);
    CHECK(initrd + files.initrd.size <= 70 * MIB);
    check_loaded();
    start();
    kernel_put(kernel_header(), 0x22c, 2 * MIB, 4);
    expect_refused();
    CHECK(strstr(why, "initrd") != NULL);
}

/* The highest place that is low enough would be the kernel's own. */
TEST(an_initrd_is_not_moved_over_the_kernel)
{
    start();
    kernel_put(kernel_header(), 0x22c, 47 * MIB - 1, 4);
    load();
    CHECK(param(0x218, 4) + files.initrd.size <= 0x1000000);
    check_loaded();
}

/* The file begins below the kernel's place and reaches into it: a plain copy would destroy it. */
TEST(a_kernel_is_not_copied_over_its_own_file)
{
    start();
    memmove(ram + 15 * MIB, ram + files.kernel.start, KERNEL_SIZE);
    files.kernel.start = 15 * MIB;
    load();
    check_loaded();
}

TEST(no_initrd)
{
    start();
    files.initrd.start = files.initrd.size = 0;
    load();
    check_loaded();
    CHECK_EQ(param(0x21c, 4), 0);
}

TEST(too_little_memory)
{
    start();
    kernel_put(kernel_header(), 0x260, 200 * MIB, 4);
    expect_refused();
    CHECK(strstr(why, "memory") != NULL);
}

TEST(command_lines)
{
    static char text[PAGE_SIZE + 8];
    start();
    files.kernel.text = "";
    load();
    check_loaded();
    start(); /* "cmdline_size: the maximum size without the terminating zero" */
    memset(text, 'x', 2047);
    text[2047] = '\0';
    files.kernel.text = text;
    load();
    check_loaded();
    start();
    text[2047] = 'x';
    text[2048] = '\0';
    files.kernel.text = text;
    expect_refused();
    CHECK(strstr(why, "command line") != NULL);
    start();
    kernel_put(kernel_header(), 0x238, UINT32_MAX, 4);
    memset(text, 'x', PAGE_SIZE);
    text[PAGE_SIZE] = '\0';
    files.kernel.text = text;
    expect_refused();
}

TEST(files_that_are_no_kernel)
{
    start();
    kernel_header()[0x202] = 0;
    expect_refused();
    start();
    files.kernel.size = 100;
    expect_refused();
    start();
    files.kernel.size = 0;
    expect_refused();
    start();
    kernel_put(kernel_header(), 0x206, 0x204, 2);
    expect_refused();
    CHECK(strstr(why, "2.12") != NULL || strstr(why, "old") != NULL);
}

/* E820_MAX_ENTRIES_ZEROPAGE is 128. */
TEST(memory_maps_of_many_ranges)
{
    start();
    for (uint64_t i = 0; map.count < 126; i++)
        CHECK_EQ(memmap_add(&map, 4 * GIB + i * 2 * MIB, MIB, MEMMAP_RAM), STATUS_OK);
    load();
    CHECK_EQ(param(0x1e8, 1), map.count + 1);
    start();
    for (uint64_t i = 0; map.count < 200; i++)
        CHECK_EQ(memmap_add(&map, 4 * GIB + i * 2 * MIB, MIB, MEMMAP_RAM), STATUS_OK);
    expect_refused();
}

/* struct screen_info: include/uapi/linux/screen_info.h. */
TEST(a_framebuffer)
{
    start();
    screen = (struct screen){.kind = SCREEN_LINEAR,
                             .address = 0xfd000000,
                             .pitch = 4096,
                             .width = 1024,
                             .height = 768,
                             .depth = 32,
                             .red = {16, 8},
                             .green = {8, 8},
                             .blue = {0, 8}};
    load();
    CHECK_EQ(param(0x0f, 1), 0x23); /* VIDEO_TYPE_VLFB */
    CHECK_EQ(param(0x12, 2), 1024);
    CHECK_EQ(param(0x14, 2), 768);
    CHECK_EQ(param(0x16, 2), 32);
    CHECK_EQ(param(0x18, 4), 0xfd000000);
    CHECK_EQ(param(0x1c, 4), 48); /* in 64 KiB */
    CHECK_EQ(param(0x24, 2), 4096);
    CHECK_EQ(param(0x26, 1), 8);
    CHECK_EQ(param(0x27, 1), 16);
    CHECK_EQ(param(0x28, 1), 8);
    CHECK_EQ(param(0x29, 1), 8);
    CHECK_EQ(param(0x2b, 1), 0);
    start();
    screen = (struct screen){.kind = SCREEN_TEXT, .width = 80, .height = 25};
    load();
    CHECK_EQ(param(0x0f, 1), 1);
    CHECK_EQ(param(0x07, 1), 80);
    CHECK_EQ(param(0x0e, 1), 25);
}

/*
 * A 64-bit BAR: the high half goes to ext_lfb_base (0x3a) and capabilities (0x36) says so by
 * VIDEO_CAPABILITY_64BIT_BASE, bit 1. Else no framebuffer may be told of at all.
 */
TEST(a_framebuffer_above_4_gib)
{
    start();
    screen = (struct screen){.kind = SCREEN_LINEAR,
                             .address = 0x4000000000,
                             .pitch = 4096,
                             .width = 1024,
                             .height = 768,
                             .depth = 32};
    load();
    if (param(0x0f, 1) != 0) {
        CHECK_EQ(param(0x18, 4) | param(0x3a, 4) << 32, 0x4000000000);
        CHECK_EQ(param(0x36, 4) & 2, 2);
    }
}

/* Wherever the loader and the firmware have put things: refused, or loaded whole. */
TEST(random_places)
{
    unsigned loaded = 0;
    for (unsigned round = 0; round < 100; round++) {
        start();
        uint64_t kernel = PAGE_SIZE * (256 + unit_random_below(40000));
        uint64_t initrd = PAGE_SIZE * (256 + unit_random_below(40000));
        if (ranges_overlap(kernel, KERNEL_SIZE, initrd, files.initrd.size))
            continue;
        uint8_t *kernel_copy = malloc(KERNEL_SIZE), *initrd_copy = malloc(files.initrd.size);
        memcpy(kernel_copy, ram + files.kernel.start, KERNEL_SIZE);
        memcpy(initrd_copy, ram + files.initrd.start, files.initrd.size);
        memcpy(ram + kernel, kernel_copy, KERNEL_SIZE);
        memcpy(ram + initrd, initrd_copy, files.initrd.size);
        free(kernel_copy);
        free(initrd_copy);
        files.kernel.start = kernel;
        files.initrd.start = initrd;
        machine.reserved_start = SIZE_2M * (1 + unit_random_below(94));
        if (ranges_overlap(kernel, KERNEL_SIZE, machine.reserved_start, HOME_SIZE) ||
            ranges_overlap(initrd, files.initrd.size, machine.reserved_start, HOME_SIZE))
            continue;
        for (unsigned i = 0; i < 4; i++) {
            uint64_t hole = PAGE_SIZE * (256 + unit_random_below(40000));
            if (!ranges_overlap(kernel, KERNEL_SIZE, hole, MIB) &&
                !ranges_overlap(initrd, files.initrd.size, hole, MIB))
                CHECK_EQ(memmap_add(&map, hole, MIB, MEMMAP_RESERVED), STATUS_OK);
        }
        if (round % 2 == 0) /* no low memory: all must go where the files are */
            CHECK_EQ(memmap_add(&map, 0, MIB, MEMMAP_RESERVED), STATUS_OK);
        NOTE("round %u", round);
        memcpy(before, ram, RAM_SIZE);
        if (linux_load(&files, &machine, &entry, why) == STATUS_OK) {
            check_loaded();
            loaded++;
        } else {
            CHECK(memcmp(before, ram, RAM_SIZE) == 0);
        }
    }
    CHECK(loaded > 10);
}
