/* See bzimage.h. Field offsets are those of boot.rst's table, from the file's start. */
#include "guest/bzimage.h"

#include "lib/bits.h"
#include "lib/bytes.h"

enum setup_field {
    SETUP_SECTS = 0x1f1,
    BOOT_FLAG = 0x1fe,
    JUMP_LENGTH = 0x201, /* the second byte of a short jump over the header */
    HEADER_MAGIC = 0x202,
    PROTOCOL_VERSION = 0x206,
    LOADFLAGS = 0x211,
    INITRD_ADDR_MAX = 0x22c,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE_KERNEL = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260
};

#define BOOT_FLAG_VALUE     0xaa55
#define HEADER_MAGIC_VALUE  0x53726448 /* "HdrS" */
#define VERSION_64BIT       0x020c     /* 2.12: xloadflags */
#define LOADED_HIGH         0x01
#define XLF_KERNEL_64       0x01
#define SECTOR_SIZE         512
#define DEFAULT_SETUP_SECTS 4

enum status bzimage_parse(const uint8_t head[BZIMAGE_HEAD_SIZE], uint64_t file_size,
                          struct bzimage *image, const char **why)
{
    uint64_t sectors = bytes_get(head, SETUP_SECTS, 1);

    *why = "it is no bzImage (no boot flag or no HdrS magic)";
    if (file_size < BZIMAGE_HEAD_SIZE || bytes_get(head, BOOT_FLAG, 2) != BOOT_FLAG_VALUE ||
        bytes_get(head, HEADER_MAGIC, 4) != HEADER_MAGIC_VALUE)
        return STATUS_INVALID;
    *why = "its boot protocol is older than 2.12, which has no 64-bit entry";
    if (bytes_get(head, PROTOCOL_VERSION, 2) < VERSION_64BIT)
        return STATUS_NO_SUPPORT;
    *why = "it has no 64-bit entry point (XLF_KERNEL_64)";
    if ((bytes_get(head, XLOADFLAGS, 2) & XLF_KERNEL_64) == 0 ||
        (bytes_get(head, LOADFLAGS, 1) & LOADED_HIGH) == 0)
        return STATUS_NO_SUPPORT;

    *image = (struct bzimage){
        .setup_size = ((sectors != 0 ? sectors : DEFAULT_SETUP_SECTS) + 1) * SECTOR_SIZE,
        .init_size = bytes_get(head, INIT_SIZE, 4),
        .preferred = bytes_get(head, PREF_ADDRESS, 8),
        .alignment = bytes_get(head, KERNEL_ALIGNMENT, 4),
        .relocatable = bytes_get(head, RELOCATABLE_KERNEL, 1) != 0,
        .initrd_max = bytes_get(head, INITRD_ADDR_MAX, 4),
        .command_line_max = (uint32_t)bytes_get(head, CMDLINE_SIZE, 4),
        .header_size = (uint32_t)(HEADER_MAGIC + bytes_get(head, JUMP_LENGTH, 1) -
                                  SETUP_HEADER_START),
    };
    *why = "its file is cut short";
    if (image->setup_size >= file_size)
        return STATUS_INVALID;
    image->kernel_size = file_size - image->setup_size;
    *why = "its setup header is malformed";
    if (SETUP_HEADER_START + image->header_size > SETUP_HEADER_LIMIT ||
        SETUP_HEADER_START + image->header_size < INIT_SIZE + 4 || image->alignment < PAGE_SIZE ||
        (image->alignment & (image->alignment - 1)) != 0 || image->init_size == 0 ||
        image->preferred >= 4 * GIB || !is_aligned(image->preferred, PAGE_SIZE))
        return STATUS_INVALID;
    image->init_size = max_u64(image->init_size, image->kernel_size);
    return STATUS_OK;
}
