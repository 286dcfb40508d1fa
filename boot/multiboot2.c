/* See multiboot2.h. Tags are read field by field at checked offsets: nothing is cast. */
#include "boot/multiboot2.h"

#include "lib/bits.h"
#include "lib/string.h"

enum tag_type {
    TAG_END = 0,
    TAG_COMMAND_LINE = 1,
    TAG_MODULE = 3,
    TAG_MEMORY_MAP = 6,
    TAG_FRAMEBUFFER = 8
};

#define TAG_HEADER_SIZE       8
#define TAG_ALIGN             8
#define MEMORY_MAP_ENTRY_SIZE 24

enum framebuffer_type {
    FRAMEBUFFER_RGB = 1,
    FRAMEBUFFER_TEXT = 2
};

/* A tag's bytes, its header included. */
struct tag {
    const uint8_t *bytes;
    uint32_t size;
};

static uint8_t read8(struct tag tag, uint32_t offset)
{
    return offset < tag.size ? tag.bytes[offset] : 0;
}

/* Little endian; what lies behind the tag's end reads as 0. */
static uint32_t read32(struct tag tag, uint32_t offset)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++)
        value |= (uint32_t)read8(tag, offset + i) << (8 * i);
    return value;
}

static uint64_t read64(struct tag tag, uint32_t offset)
{
    return read32(tag, offset) | (uint64_t)read32(tag, offset + 4) << 32;
}

static const char *read_string(struct tag tag, uint32_t offset, uint32_t *max_size)
{
    *max_size = offset < tag.size ? tag.size - offset : 0;
    return (const char *)tag.bytes + (offset < tag.size ? offset : tag.size);
}

static void parse_options(struct tag tag, struct boot_info *info)
{
    uint32_t size;
    const char *text = read_string(tag, 8, &size);
    info->options_cut = !string_copy(info->options, sizeof(info->options), text, size);
}

static const char *parse_module(struct tag tag, struct boot_info *info)
{
    uint32_t start = read32(tag, 8);
    uint32_t end = read32(tag, 12);

    if (tag.size < 16 || end < start)
        return "a module's tag is malformed";
    if (info->module_count < BOOT_MODULES) {
        struct boot_module *module = &info->module[info->module_count];
        uint32_t size;
        const char *text = read_string(tag, 16, &size);
        module->start = start;
        module->size = end - start;
        if (!string_copy(module->command_line, sizeof(module->command_line), text, size))
            return "a module's command line is longer than 4095 characters";
    }
    info->module_count++;
    return NULL;
}

static const char *parse_memory_map(struct tag tag, struct boot_info *info)
{
    uint32_t entry_size = read32(tag, 8);

    if (tag.size < 16 || entry_size < MEMORY_MAP_ENTRY_SIZE || entry_size % 8 != 0)
        return "the memory map's tag is malformed";
    for (uint32_t at = 16; tag.size - at >= entry_size; at += entry_size) {
        switch (
            memmap_add(&info->map, read64(tag, at), read64(tag, at + 8), read32(tag, at + 16))) {
        case STATUS_OK:
            break;
        case STATUS_NO_MEMORY:
            return "the memory map has too many ranges";
        case STATUS_INVALID:
        case STATUS_NO_SUPPORT:
            return "the memory map has a range that wraps around";
        }
    }
    return NULL;
}

static struct screen_colour read_colour(struct tag tag, uint32_t offset)
{
    return (struct screen_colour){read8(tag, offset), read8(tag, offset + 1)};
}

static void parse_framebuffer(struct tag tag, struct boot_info *info)
{
    uint8_t type = read8(tag, 29);
    enum screen_kind kind = type == FRAMEBUFFER_TEXT  ? SCREEN_TEXT
                            : type == FRAMEBUFFER_RGB ? SCREEN_LINEAR
                                                      : SCREEN_NONE;
    info->screen = (struct screen){
        .kind = kind,
        .address = read64(tag, 8),
        .pitch = read32(tag, 16),
        .width = read32(tag, 20),
        .height = read32(tag, 24),
        .depth = read8(tag, 28),
        .red = read_colour(tag, 32),
        .green = read_colour(tag, 34),
        .blue = read_colour(tag, 36),
    };
}

static const char *parse_tag(uint32_t type, struct tag tag, struct boot_info *info)
{
    switch (type) {
    case TAG_COMMAND_LINE:
        parse_options(tag, info);
        return NULL;
    case TAG_MODULE:
        return parse_module(tag, info);
    case TAG_MEMORY_MAP:
        return parse_memory_map(tag, info);
    case TAG_FRAMEBUFFER:
        parse_framebuffer(tag, info);
        return NULL;
    default:
        return NULL; /* the specification has the loader give more than was asked for */
    }
}

enum status multiboot2_parse(const void *tags, uint64_t limit, struct boot_info *info,
                             const char **why)
{
    struct tag all = {tags, (uint32_t)min_u64(limit, MULTIBOOT2_MAX_SIZE)};
    uint32_t total = read32(all, 0);

    memset(info, 0, sizeof(*info));
    *why = "its size is wrong";
    if (total < 2 * TAG_HEADER_SIZE || total > all.size)
        return STATUS_INVALID;
    for (uint32_t at = TAG_HEADER_SIZE; total - at >= TAG_HEADER_SIZE;) {
        struct tag rest = {all.bytes + at, total - at};
        uint32_t type = read32(rest, 0);
        struct tag tag = {rest.bytes, read32(rest, 4)};
        if (type == TAG_END)
            return STATUS_OK;
        *why = "a tag is longer than what is left, or shorter than its header";
        if (tag.size < TAG_HEADER_SIZE || tag.size > rest.size)
            return STATUS_INVALID;
        *why = parse_tag(type, tag, info);
        if (*why != NULL)
            return STATUS_INVALID;
        at += (uint32_t)min_u64(align_up(tag.size, TAG_ALIGN), rest.size);
    }
    *why = "it has no end tag";
    return STATUS_INVALID;
}
