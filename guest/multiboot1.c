/*
 * Loading a Multiboot 1 payload: an ELF32 or ELF64 file that GRUB's multiboot command would
 * start as well. Multiboot Specification version 0.6.96; System V ABI, "Object Files".
 */
#include "guest/load.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/phys.h"
#include "x86/desc.h"

#define HEADER_MAGIC       0x1badb002u
#define HEADER_SEARCH_SIZE 8192
#define BOOTLOADER_MAGIC   0x2badb002u
#define LOW_LIMIT          0x10000

/* ELF: the fields of both classes, by their offsets */
#define ELF_MAGIC       "\177ELF"
#define ELF_CLASS       4
#define ELF_CLASS_64    2
#define ELF_MACHINE     18
#define ELF_MACHINE_386 3
#define ELF_MACHINE_X64 62
#define ELF_ENTRY       24
#define ELF_HEAD_SIZE   64
#define SEGMENT_LOAD    1
#define SEGMENTS_MAX    16

/* Multiboot information */
#define INFO_FLAGS       0
#define INFO_MEM_LOWER   4
#define INFO_MEM_UPPER   8
#define INFO_CMDLINE     16
#define INFO_MODS_COUNT  20
#define INFO_MODS_ADDR   24
#define INFO_MMAP_LENGTH 44
#define INFO_MMAP_ADDR   48
#define FLAG_MEMORY      BIT(0)
#define FLAG_CMDLINE     BIT(2)
#define FLAG_MODS        BIT(3)
#define FLAG_MMAP        BIT(6)
#define MMAP_ENTRY_SIZE  24 /* its own size field, which is not counted in it, included */

/* What Keel adds to the guest's memory: one block of pages. */
enum block_page {
    BLOCK_INFO, /* then one module's entry, and the GDT */
    BLOCK_COMMAND_LINE,
    BLOCK_MODULE_TEXT,
    BLOCK_MMAP,
    BLOCK_PAGES
};
#define BLOCK_MODULE 0x200 /* within BLOCK_INFO */
#define BLOCK_GDT    0x400

struct segment {
    uint64_t offset; /* in the file */
    uint64_t address;
    uint64_t file_size;
    uint64_t memory_size;
};

struct elf {
    uint64_t entry;
    unsigned segment_count;
    struct segment segment[SEGMENTS_MAX];
};

bool multiboot1_is_elf(const uint8_t head[4])
{
    return memcmp(head, ELF_MAGIC, 4) == 0;
}

static bool in_file(const struct guest_file *file, uint64_t offset, uint64_t size)
{
    return offset <= file->size && size <= file->size - offset;
}

/* Is there a Multiboot header where the specification wants it? */
static bool has_header(const struct guest_file *file)
{
    uint8_t words[12];
    for (uint64_t at = 0; at + sizeof(words) <= min_u64(file->size, HEADER_SEARCH_SIZE); at += 4) {
        phys_read(words, HPA(file->start + at), sizeof(words));
        if (bytes_get(words, 0, 4) == HEADER_MAGIC &&
            (uint32_t)(bytes_get(words, 0, 4) + bytes_get(words, 4, 4) + bytes_get(words, 8, 4)) ==
                0)
            return true;
    }
    return false;
}

/* One program header of either class. */
static struct segment read_segment(const uint8_t *h, bool is64)
{
    return is64 ? (struct segment){bytes_get(h, 8, 8), bytes_get(h, 24, 8), bytes_get(h, 32, 8),
                                   bytes_get(h, 40, 8)}
                : (struct segment){bytes_get(h, 4, 4), bytes_get(h, 12, 4), bytes_get(h, 16, 4),
                                   bytes_get(h, 20, 4)};
}

/* NULL, or what is wrong with it. */
static const char *parse_elf(const struct guest_file *file, struct elf *elf)
{
    uint8_t head[ELF_HEAD_SIZE];
    uint8_t header[56];

    if (file->size < sizeof(head))
        return "its file is cut short";
    phys_read(head, HPA(file->start), sizeof(head));
    bool is64 = head[ELF_CLASS] == ELF_CLASS_64;
    uint64_t machine = bytes_get(head, ELF_MACHINE, 2);
    uint64_t table = is64 ? bytes_get(head, 32, 8) : bytes_get(head, 28, 4);
    uint64_t entry_size = bytes_get(head, is64 ? 54 : 42, 2);
    uint64_t count = bytes_get(head, is64 ? 56 : 44, 2);
    size_t needed = is64 ? 56 : 32;

    if (machine != ELF_MACHINE_386 && machine != ELF_MACHINE_X64)
        return "it is for another processor";
    if (!has_header(file))
        return "it has no Multiboot header in its first 8 KiB";
    if (entry_size < needed || !in_file(file, table, count * entry_size))
        return "its program headers are malformed";
    elf->entry = bytes_get(head, ELF_ENTRY, is64 ? 8 : 4);
    elf->segment_count = 0;
    for (uint64_t i = 0; i < count; i++) {
        phys_read(header, HPA(file->start + table + i * entry_size), needed);
        struct segment segment = read_segment(header, is64);
        if (bytes_get(header, 0, 4) != SEGMENT_LOAD || segment.memory_size == 0)
            continue;
        if (elf->segment_count == SEGMENTS_MAX)
            return "it has more than 16 segments to load";
        if (segment.file_size > segment.memory_size || segment.address >= 4 * GIB ||
            segment.memory_size > 4 * GIB - segment.address ||
            !in_file(file, segment.offset, segment.file_size))
            return "a segment is malformed";
        elf->segment[elf->segment_count++] = segment;
    }
    if (elf->segment_count == 0 || elf->entry >= 4 * GIB)
        return "it has nothing to load, or no 32-bit entry";
    return NULL;
}

/* Finds a place for the block; the segments' places are given. NULL, or what is in the way. */
static const char *make_plan(const struct guest_files *files, const struct guest_machine *machine,
                             const struct elf *elf, uint64_t *block)
{
    struct memmap_busy busy[3 + SEGMENTS_MAX] = {
        {machine->reserved_start, machine->reserved_size},
        {files->kernel.start, files->kernel.size},
        {files->initrd.start, files->initrd.size},
    };
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct segment *s = &elf->segment[i];
        if (!memmap_all(machine->map, s->address, s->memory_size, MEMMAP_RAM))
            return "a segment's place is not RAM";
        for (unsigned j = 0; j < 3; j++) {
            if (busy[j].size > 0 &&
                ranges_overlap(s->address, s->memory_size, busy[j].start, busy[j].size))
                return "a segment's place is taken by a module or by Keel";
        }
        busy[3 + i] = (struct memmap_busy){s->address, s->memory_size};
    }
    if (memmap_find_lowest(machine->map, LOW_LIMIT, 4 * GIB, BLOCK_PAGES * PAGE_SIZE, PAGE_SIZE,
                           busy, ARRAY_LENGTH(busy), block) != STATUS_OK)
        return "there is too little memory for its boot information";
    return NULL;
}

static void copy_segments(const struct guest_file *file, const struct elf *elf)
{
    static const uint8_t zeros[PAGE_SIZE];
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct segment *s = &elf->segment[i];
        phys_copy(HPA(s->address), HPA(file->start + s->offset), s->file_size);
        for (uint64_t at = s->file_size; at < s->memory_size; at += PAGE_SIZE)
            phys_write(HPA(s->address + at), zeros, min_u64(s->memory_size - at, PAGE_SIZE));
    }
}

/* Writes the map into its page, as far as it fits. The bytes written. */
static uint64_t write_map(const struct memmap *map, uint64_t page)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < map->count && size + MMAP_ENTRY_SIZE <= PAGE_SIZE; i++) {
        const struct memmap_range *range = &map->range[i];
        uint8_t entry[MMAP_ENTRY_SIZE];
        const uint64_t length = range->end - range->start;
        bytes_put(entry, 0, MMAP_ENTRY_SIZE - 4, 4);
        memcpy(entry + 4, &range->start, 8);
        memcpy(entry + 12, &length, 8);
        bytes_put(entry, 20, range->type, 4);
        phys_write(HPA(page + size), entry, sizeof(entry));
        size += sizeof(entry);
    }
    return size;
}

/* From a hole's or the first MiB's end, in KiB: what the old fields can say. */
static uint64_t ram_kib(const struct memmap *map, uint64_t start)
{
    const struct memmap_range *range = memmap_find(map, start);
    return range != NULL && range->type == MEMMAP_RAM ? (range->end - start) / KIB : 0;
}

static void write_string(uint64_t page, const char *text)
{
    static char line[PAGE_SIZE];
    (void)string_copy(line, sizeof(line), text, sizeof(line));
    phys_write(HPA(page), line, strlen(line) + 1);
}

static void write_info(const struct guest_files *files, const struct memmap *map, uint64_t block)
{
    uint8_t info[128] = {0};
    uint8_t module[16] = {0};
    const uint64_t gdt[] = {0, 0, GDT_CODE32, GDT_DATA};
    bool has_module = files->initrd.size > 0;

    bytes_put(info, INFO_FLAGS,
              FLAG_MEMORY | FLAG_CMDLINE | FLAG_MMAP | (has_module ? FLAG_MODS : 0), 4);
    bytes_put(info, INFO_MEM_LOWER, ram_kib(map, 0), 4);
    bytes_put(info, INFO_MEM_UPPER, ram_kib(map, MIB), 4);
    bytes_put(info, INFO_CMDLINE, block + BLOCK_COMMAND_LINE * PAGE_SIZE, 4);
    bytes_put(info, INFO_MODS_COUNT, has_module, 4);
    bytes_put(info, INFO_MODS_ADDR, block + BLOCK_MODULE, 4);
    bytes_put(info, INFO_MMAP_LENGTH, write_map(map, block + BLOCK_MMAP * PAGE_SIZE), 4);
    bytes_put(info, INFO_MMAP_ADDR, block + BLOCK_MMAP * PAGE_SIZE, 4);
    bytes_put(module, 0, files->initrd.start, 4);
    bytes_put(module, 4, files->initrd.start + files->initrd.size, 4);
    bytes_put(module, 8, block + BLOCK_MODULE_TEXT * PAGE_SIZE, 4);
    phys_write(HPA(block), info, sizeof(info));
    phys_write(HPA(block + BLOCK_MODULE), module, sizeof(module));
    phys_write(HPA(block + BLOCK_GDT), gdt, sizeof(gdt));
    write_string(block + BLOCK_COMMAND_LINE * PAGE_SIZE, files->kernel.text);
    write_string(block + BLOCK_MODULE_TEXT * PAGE_SIZE, files->initrd.text);
}

enum status multiboot1_load(const struct guest_files *files, const struct guest_machine *machine,
                            struct guest_entry *entry, char why[LOAD_ERROR_SIZE])
{
    static struct elf elf;
    uint64_t block = 0;

    const char *reason = parse_elf(&files->kernel, &elf);
    if (reason == NULL)
        reason = make_plan(files, machine, &elf, &block);
    const struct memmap *map = guest_memory_map(machine);
    if (reason == NULL && map == NULL)
        reason = "the memory map has too many ranges";
    if (reason != NULL) {
        format(why, LOAD_ERROR_SIZE, "the first module cannot be started by Multiboot: %s", reason);
        return STATUS_INVALID;
    }
    copy_segments(&files->kernel, &elf);
    write_info(files, map, block);
    *entry = (struct guest_entry){
        .mode = GUEST_32BIT,
        .rip = elf.entry,
        .rax = BOOTLOADER_MAGIC,
        .rbx = block,
        .gdt_base = block + BLOCK_GDT,
        .gdt_limit = 4 * sizeof(uint64_t) - 1,
    };
    return STATUS_OK;
}
