/*
 * Loading Linux by its 64-bit boot protocol: into the guest's own memory, so that it needs
 * nothing of Keel's once it runs. Linux's Documentation/arch/x86/boot.rst, "64-bit Boot
 * Protocol"; Documentation/arch/x86/zero-page.rst.
 */
#include "guest/bzimage.h"
#include "guest/load.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"
#include "x86/desc.h"

/* struct boot_params, by the offsets of zero-page.rst and boot.rst */
enum params_field {
    PARAMS_ORIG_VIDEO_MODE = 0x006,
    PARAMS_ORIG_VIDEO_COLS = 0x007,
    PARAMS_ORIG_VIDEO_LINES = 0x00e,
    PARAMS_ORIG_VIDEO_IS_VGA = 0x00f,
    PARAMS_ORIG_VIDEO_POINTS = 0x010,
    PARAMS_LFB_WIDTH = 0x012,
    PARAMS_LFB_HEIGHT = 0x014,
    PARAMS_LFB_DEPTH = 0x016,
    PARAMS_LFB_BASE = 0x018,
    PARAMS_LFB_SIZE = 0x01c,
    PARAMS_LFB_LINE_LENGTH = 0x024,
    PARAMS_LFB_COLOURS = 0x026, /* size and position of red, green, blue, reserved */
    PARAMS_CAPABILITIES = 0x036,
    PARAMS_EXT_LFB_BASE = 0x03a,
    PARAMS_ACPI_RSDP_ADDR = 0x070,
    PARAMS_EXT_RAMDISK_IMAGE = 0x0c0,
    PARAMS_EXT_RAMDISK_SIZE = 0x0c4,
    PARAMS_E820_ENTRIES = 0x1e8,
    PARAMS_VID_MODE = 0x1fa,
    PARAMS_TYPE_OF_LOADER = 0x210,
    PARAMS_RAMDISK_IMAGE = 0x218,
    PARAMS_RAMDISK_SIZE = 0x21c,
    PARAMS_CMD_LINE_PTR = 0x228,
    PARAMS_E820_TABLE = 0x2d0
};

#define E820_MAX          128
#define E820_ENTRY_SIZE   20
#define LOADER_UNDEFINED  0xff
#define VIDEO_TYPE_VGA    0x01
#define VIDEO_TYPE_VLFB   0x23
#define LFB_BASE_64BIT    0x02
#define VIDEO_MODE_NORMAL 0xffff
#define ENTRY_64_OFFSET   0x200
#define LOW_LIMIT         0x10000 /* the firmware's and the real mode's own */
#define PT_PRESENT_WRITE  0x3
#define PT_LARGE          0x80

/* What Keel adds to the guest's memory: one block of pages. */
enum block_page {
    BLOCK_PARAMS,
    BLOCK_COMMAND_LINE,
    BLOCK_GDT,
    BLOCK_SPARE,
    BLOCK_PML4,
    BLOCK_PDPT,
    BLOCK_PD, /* four: the first 4 GiB */
    BLOCK_PAGES = BLOCK_PD + 4
};

struct plan {
    struct bzimage image;
    uint64_t kernel; /* where it goes */
    uint64_t initrd; /* where it will be */
    uint64_t block;
};

/* Linux's memory map. False: it does not fit into the table. */
static bool put_memory_map(uint8_t *params, const struct guest_machine *machine)
{
    const struct memmap *map = guest_memory_map(machine);
    if (map == NULL || map->count > E820_MAX)
        return false;
    for (uint32_t i = 0; i < map->count; i++) {
        unsigned at = PARAMS_E820_TABLE + i * E820_ENTRY_SIZE;
        bytes_put(params, at, map->range[i].start, 8);
        bytes_put(params, at + 8, map->range[i].end - map->range[i].start, 8);
        bytes_put(params, at + 16, map->range[i].type, 4);
    }
    bytes_put(params, PARAMS_E820_ENTRIES, map->count, 1);
    return true;
}

static void put_screen(uint8_t *params, const struct screen *screen)
{
    const struct screen_colour colours[] = {screen->red, screen->green, screen->blue};

    switch (screen->kind) {
    case SCREEN_NONE:
        break;
    case SCREEN_TEXT:
        bytes_put(params, PARAMS_ORIG_VIDEO_MODE, 3, 1);
        bytes_put(params, PARAMS_ORIG_VIDEO_COLS, screen->width, 1);
        bytes_put(params, PARAMS_ORIG_VIDEO_LINES, screen->height, 1);
        bytes_put(params, PARAMS_ORIG_VIDEO_IS_VGA, VIDEO_TYPE_VGA, 1);
        bytes_put(params, PARAMS_ORIG_VIDEO_POINTS, 16, 2);
        break;
    case SCREEN_LINEAR:
        bytes_put(params, PARAMS_ORIG_VIDEO_IS_VGA, VIDEO_TYPE_VLFB, 1);
        bytes_put(params, PARAMS_LFB_WIDTH, screen->width, 2);
        bytes_put(params, PARAMS_LFB_HEIGHT, screen->height, 2);
        bytes_put(params, PARAMS_LFB_DEPTH, screen->depth, 2);
        bytes_put(params, PARAMS_LFB_BASE, screen->address, 4);
        bytes_put(params, PARAMS_EXT_LFB_BASE, screen->address >> 32, 4);
        bytes_put(params, PARAMS_CAPABILITIES, screen->address >> 32 != 0 ? LFB_BASE_64BIT : 0, 4);
        bytes_put(params, PARAMS_LFB_SIZE,
                  align_up((uint64_t)screen->pitch * screen->height, 0x10000) >> 16, 4);
        bytes_put(params, PARAMS_LFB_LINE_LENGTH, screen->pitch, 2);
        for (unsigned i = 0; i < ARRAY_LENGTH(colours); i++) {
            bytes_put(params, PARAMS_LFB_COLOURS + 2 * i, colours[i].size, 1);
            bytes_put(params, PARAMS_LFB_COLOURS + 2 * i + 1, colours[i].position, 1);
        }
        break;
    }
}

static void put_params(uint8_t *params, const uint8_t *head, const struct plan *plan,
                       const struct guest_files *files, const struct guest_machine *machine)
{
    memcpy(params + SETUP_HEADER_START, head + SETUP_HEADER_START, plan->image.header_size);
    bytes_put(params, PARAMS_TYPE_OF_LOADER, LOADER_UNDEFINED, 1);
    bytes_put(params, PARAMS_VID_MODE, VIDEO_MODE_NORMAL, 2);
    bytes_put(params, PARAMS_CMD_LINE_PTR, plan->block + BLOCK_COMMAND_LINE * PAGE_SIZE, 4);
    bytes_put(params, PARAMS_RAMDISK_IMAGE, plan->initrd, 4);
    bytes_put(params, PARAMS_EXT_RAMDISK_IMAGE, plan->initrd >> 32, 4);
    bytes_put(params, PARAMS_RAMDISK_SIZE, files->initrd.size, 4);
    bytes_put(params, PARAMS_EXT_RAMDISK_SIZE, files->initrd.size >> 32, 4);
    bytes_put(params, PARAMS_ACPI_RSDP_ADDR, machine->rsdp.value, 8);
    put_screen(params, machine->screen);
}

/* Finds a place for the kernel, the initrd and the block, none of which may touch another. */
static enum status make_plan(const struct guest_files *files, const struct guest_machine *machine,
                             struct plan *plan, char *why)
{
    struct memmap_busy busy[] = {
        {machine->reserved_start, machine->reserved_size},
        {files->kernel.start, files->kernel.size},
        {files->initrd.start, files->initrd.size},
        {0, 0}, /* the block */
        {0, 0}, /* the kernel's new place */
    };
    enum {
        INITRD = 2,
        BLOCK = 3,
        KERNEL = 4
    };
    const struct memmap *map = machine->map;
    const struct bzimage *image = &plan->image;
    uint64_t initrd_end = min_u64(image->initrd_max + 1, 4 * GIB);

    if (memmap_find_lowest(map, LOW_LIMIT, 4 * GIB, BLOCK_PAGES * PAGE_SIZE, PAGE_SIZE, busy,
                           ARRAY_LENGTH(busy), &plan->block) != STATUS_OK) {
        format(why, LOAD_ERROR_SIZE, "too little memory: no %u KiB for Linux's boot parameters",
               (unsigned)(BLOCK_PAGES * PAGE_SIZE / KIB));
        return STATUS_NO_MEMORY;
    }
    busy[BLOCK] = (struct memmap_busy){plan->block, BLOCK_PAGES * PAGE_SIZE};

    /* Below preferred the kernel would move itself there, over whatever it finds. */
    uint64_t highest = image->relocatable ? 4 * GIB : image->preferred + image->init_size;
    if (memmap_find_lowest(map, image->preferred, image->preferred + image->init_size,
                           image->init_size, PAGE_SIZE, busy, ARRAY_LENGTH(busy),
                           &plan->kernel) != STATUS_OK &&
        memmap_find_lowest(map, image->preferred, highest, image->init_size, image->alignment, busy,
                           ARRAY_LENGTH(busy), &plan->kernel) != STATUS_OK) {
        format(why, LOAD_ERROR_SIZE, "too little memory: the kernel needs %lu MiB in one piece",
               align_up(image->init_size, MIB) / MIB);
        return STATUS_NO_MEMORY;
    }
    busy[KERNEL] = (struct memmap_busy){plan->kernel, image->init_size};

    plan->initrd = files->initrd.start;
    if (files->initrd.size == 0 || files->initrd.start + files->initrd.size <= initrd_end)
        return STATUS_OK;
    if (memmap_find_highest(map, MIB, initrd_end, files->initrd.size, PAGE_SIZE, busy,
                            ARRAY_LENGTH(busy), &plan->initrd) != STATUS_OK) {
        format(why, LOAD_ERROR_SIZE,
               "the initrd does not fit: no %lu MiB below 0x%lx, where this kernel wants it",
               align_up(files->initrd.size, MIB) / MIB, initrd_end);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static enum status check_command_line(const struct bzimage *image, const char *command_line,
                                      char *why)
{
    size_t length = strlen(command_line);
    if (length <= image->command_line_max && length < PAGE_SIZE)
        return STATUS_OK;
    format(why, LOAD_ERROR_SIZE, "the kernel's command line has %lu characters; it takes %u",
           length, image->command_line_max);
    return STATUS_INVALID;
}

static void write_tables(uint64_t block)
{
    static uint64_t table[PAGE_SIZE / sizeof(uint64_t)];
    const uint64_t gdt[] = {0, 0, GDT_CODE64, GDT_DATA};

    phys_write(HPA(block + BLOCK_GDT * PAGE_SIZE), gdt, sizeof(gdt));
    memset(table, 0, sizeof(table));
    table[0] = (block + BLOCK_PDPT * PAGE_SIZE) | PT_PRESENT_WRITE;
    phys_write(HPA(block + BLOCK_PML4 * PAGE_SIZE), table, sizeof(table));
    for (unsigned i = 0; i < 4; i++)
        table[i] = (block + (BLOCK_PD + i) * PAGE_SIZE) | PT_PRESENT_WRITE;
    phys_write(HPA(block + BLOCK_PDPT * PAGE_SIZE), table, sizeof(table));
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < ARRAY_LENGTH(table); j++)
            table[j] = (i * GIB + j * SIZE_2M) | PT_PRESENT_WRITE | PT_LARGE;
        phys_write(HPA(block + (BLOCK_PD + i) * PAGE_SIZE), table, sizeof(table));
    }
}

enum status linux_load(const struct guest_files *files, const struct guest_machine *machine,
                       struct guest_entry *entry, char why[LOAD_ERROR_SIZE])
{
    static uint8_t head[BZIMAGE_HEAD_SIZE];
    static uint8_t params[PAGE_SIZE];
    struct plan plan;
    const char *reason;

    phys_read(head, HPA(files->kernel.start), min_u64(files->kernel.size, sizeof(head)));
    enum status status = bzimage_parse(head, files->kernel.size, &plan.image, &reason);
    if (status != STATUS_OK) {
        format(why, LOAD_ERROR_SIZE, "the first module cannot be started as Linux: %s", reason);
        return status;
    }
    status = check_command_line(&plan.image, files->kernel.text, why);
    if (status == STATUS_OK)
        status = make_plan(files, machine, &plan, why);
    if (status != STATUS_OK)
        return status;
    memset(params, 0, sizeof(params));
    if (!put_memory_map(params, machine)) {
        format(why, LOAD_ERROR_SIZE, "the memory map has more than %u ranges", E820_MAX);
        return STATUS_NO_MEMORY;
    }
    put_params(params, head, &plan, files, machine);

    if (plan.initrd != files->initrd.start)
        phys_copy(HPA(plan.initrd), HPA(files->initrd.start), files->initrd.size);
    phys_copy(HPA(plan.kernel), HPA(files->kernel.start + plan.image.setup_size),
              plan.image.kernel_size);
    phys_write(HPA(plan.block + BLOCK_PARAMS * PAGE_SIZE), params, sizeof(params));
    phys_write(HPA(plan.block + BLOCK_COMMAND_LINE * PAGE_SIZE), files->kernel.text,
               strlen(files->kernel.text) + 1);
    write_tables(plan.block);

    *entry = (struct guest_entry){
        .mode = GUEST_64BIT,
        .rip = plan.kernel + ENTRY_64_OFFSET,
        .rsi = plan.block + BLOCK_PARAMS * PAGE_SIZE,
        .cr3 = plan.block + BLOCK_PML4 * PAGE_SIZE,
        .gdt_base = plan.block + BLOCK_GDT * PAGE_SIZE,
        .gdt_limit = 4 * sizeof(uint64_t) - 1,
        .spare_page = plan.block + BLOCK_SPARE * PAGE_SIZE,
    };
    log_debug("kernel at 0x%lx (%lu KiB), initrd at 0x%lx (%lu KiB), parameters at 0x%lx",
              plan.kernel, plan.image.init_size / KIB, plan.initrd, files->initrd.size / KIB,
              plan.block);
    return STATUS_OK;
}
