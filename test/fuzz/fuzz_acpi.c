/*
 * ACPI tables of any bytes, which stand at 0xe0000. Checksums would keep the fuzzer out, so
 * the first byte may ask for them to be mended: table k of the list that follows it begins at
 * 16 * byte and gets its length's checksum right.
 */
#include "fuzz.h"

#include "drivers/acpi.h"

#define START 0xe0000
#define LIMIT 0x8000

static uint8_t memory[LIMIT];
static size_t memory_size;

static bool read_memory(void *to, uint64_t from, uint64_t size)
{
    if (from < START || from - START > memory_size || size > memory_size - (from - START))
        return false;
    memcpy(to, memory + (from - START), size);
    return true;
}

static void mend(size_t at, size_t size, size_t checksum)
{
    uint8_t sum = 0;
    if (at + size > memory_size || checksum >= size)
        return;
    memory[at + checksum] = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + memory[at + i]);
    memory[at + checksum] = (uint8_t)-sum;
}

static void mend_table(size_t at)
{
    if (at + 36 > memory_size)
        return;
    if (memcmp(memory + at, "RSD PTR ", 8) == 0) {
        mend(at, 20, 8);
        mend(at, 36, 32);
        return;
    }
    uint32_t length;
    memcpy(&length, memory + at + 4, 4);
    if (length <= LIMIT)
        mend(at, length, 9);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t rsdp, address;
    uint32_t length;
    struct acpi_fixed acpi;

    if (size < 9)
        return 0;
    memory_size = size - 9 < LIMIT ? size - 9 : LIMIT;
    memcpy(memory, data + 9, memory_size);
    for (unsigned i = 8; i > 0; i--) {
        if ((data[0] >> (i - 1) & 1) != 0)
            mend_table(16 * (size_t)data[i]);
    }
    if (acpi_find_rsdp(read_memory, &rsdp) != STATUS_OK)
        return 0;
    for (unsigned i = 0; i < 4; i++) {
        if (acpi_find_table(read_memory, rsdp, "SSDT", i, &address, &length) == STATUS_OK)
            CHECK(address >= START && length <= memory_size &&
                  address - START <= memory_size - length);
    }
    if (acpi_read_fixed(read_memory, rsdp, &acpi) == STATUS_OK && acpi.s3_name[0] != 0) {
        CHECK(acpi.s3_name[0] >= START && acpi.s3_name[0] + 4 <= START + memory_size);
        CHECK(memcmp(memory + (acpi.s3_name[0] - START), "_S3_", 4) == 0);
    }

    uint32_t ids[8], count;
    ids[4] = 0xeeeeeeee;
    if (acpi_list_processors(read_memory, rsdp, ids, 4, &count) == STATUS_OK) {
        CHECK(count <= memory_size / 8);
        CHECK(ids[4] == 0xeeeeeeee);
    }
    return 0;
}
