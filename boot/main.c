/* From entry.S to the top: GRUB's boot information becomes struct boot_info. */
#include "boot/multiboot2.h"
#include "hv/hv.h"

NORETURN void boot_main(uint64_t tags, uint64_t image_start);

void boot_main(uint64_t tags, uint64_t image_start)
{
    static struct boot_info info;
    const char *why = NULL;
    if (multiboot2_parse((const void *)tags, MULTIBOOT2_MAX_SIZE, &info, &why) == STATUS_OK)
        why = NULL;
    hv_main(&info, image_start, why);
}
