/* A kernel's file of any bytes: two give its size, the rest is its head. */
#include "fuzz.h"

#include "guest/bzimage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t head[BZIMAGE_HEAD_SIZE] = {0};
    struct bzimage image;
    const char *why = NULL;

    if (size < 2)
        return 0;
    uint64_t file_size = (uint64_t)data[0] << 8 | (uint64_t)data[1] << 16;
    memcpy(head, data + 2, size - 2 < sizeof(head) ? size - 2 : sizeof(head));
    if (bzimage_parse(head, file_size, &image, &why) != STATUS_OK) {
        CHECK(why != NULL && *why != '\0');
        return 0;
    }
    CHECK(image.kernel_size > 0 && image.setup_size + image.kernel_size == file_size);
    CHECK(image.init_size >= image.kernel_size);
    CHECK(image.alignment >= PAGE_SIZE && (image.alignment & (image.alignment - 1)) == 0);
    CHECK(SETUP_HEADER_START + image.header_size <= SETUP_HEADER_LIMIT);
    CHECK(image.preferred + image.init_size > image.preferred);
    return 0;
}
