/* Multiboot2 boot information of any bytes: no read beyond it, and a sane struct boot_info. */
#include "fuzz.h"

#include "boot/multiboot2.h"

static void check_accepted(const struct boot_info *info)
{
    CHECK(memchr(info->options, '\0', sizeof(info->options)) != NULL);
    for (unsigned i = 0; i < BOOT_MODULES && i < info->module_count; i++) {
        const struct boot_module *module = &info->module[i];
        CHECK(memchr(module->command_line, '\0', sizeof(module->command_line)) != NULL);
        CHECK(module->start + module->size >= module->start);
    }
    for (uint32_t i = 0; i < info->map.count; i++) {
        CHECK(info->map.range[i].start < info->map.range[i].end);
        CHECK(i == 0 || info->map.range[i - 1].end <= info->map.range[i].start);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_info info;
    const char *why = NULL;

    if (multiboot2_parse(data, size, &info, &why) == STATUS_OK)
        check_accepted(&info);
    else
        CHECK(why != NULL && *why != '\0');
    return 0;
}
