/* See acpi.h. Offsets are those of the specification's tables. */
#include "drivers/acpi.h"

#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/string.h"

#define RSDP_SIZE_V1   20
#define RSDP_SIZE_V2   36
#define RSDP_REVISION  15
#define RSDP_RSDT      16
#define RSDP_XSDT      24
#define EBDA_SEGMENT   0x40e /* the BIOS data area's word for the EBDA's real-mode segment */
#define BIOS_ROM_START 0xe0000
#define BIOS_ROM_END   0x100000

#define HEADER_SIZE      36
#define HEADER_LENGTH    4
#define TABLE_MAX_SIZE   (16 * MIB)
#define ROOT_MAX_ENTRIES 1024

#define FADT_DSDT       40
#define FADT_PM1A_CNT   64
#define FADT_PM1B_CNT   68
#define FADT_PM_TMR     76
#define FADT_FLAGS      112
#define FADT_X_DSDT     140
#define FADT_X_PM1A_CNT 172
#define FADT_X_PM1B_CNT 184
#define FADT_X_PM_TMR   208
#define FADT_SIZE       220
#define FADT_HW_REDUCED BIT(20)
#define GAS_ADDRESS     4
#define GAS_SPACE_IO    1

#define MADT_ENTRIES      44
#define MADT_LOCAL_APIC   0
#define MADT_APIC_SIZE    8
#define MADT_X2APIC_SIZE  16
#define MADT_LOCAL_X2APIC 9
#define MADT_APIC_ID      3 /* within the entry */
#define MADT_X2APIC_ID    4
#define MADT_APIC_FLAGS   4
#define MADT_X2APIC_FLAGS 8
#define MADT_USABLE_FLAGS 3 /* enabled, online capable */

/* AML. ACPI Specification 6.5, "AML Byte Stream Byte Values". */
#define AML_NAME        0x08
#define AML_BYTE_PREFIX 0x0a
#define AML_PACKAGE     0x12
#define AML_ROOT        0x5c

#define CHUNK 256

/* Do the bytes of [address, address + size) add up to 0? */
static bool checksum_good(acpi_read_fn read, uint64_t address, uint64_t size)
{
    uint8_t chunk[CHUNK];
    uint8_t sum = 0;
    while (size > 0) {
        uint64_t part = min_u64(size, sizeof(chunk));
        if (!read(chunk, address, part))
            return false;
        for (uint64_t i = 0; i < part; i++)
            sum = (uint8_t)(sum + chunk[i]);
        address += part;
        size -= part;
    }
    return sum == 0;
}

static bool scan_rsdp(acpi_read_fn read, uint64_t start, uint64_t end, uint64_t *rsdp)
{
    for (uint64_t at = start; at + RSDP_SIZE_V1 <= end; at += 16) {
        char signature[8];
        if (read(signature, at, sizeof(signature)) && memcmp(signature, "RSD PTR ", 8) == 0 &&
            checksum_good(read, at, RSDP_SIZE_V1)) {
            *rsdp = at;
            return true;
        }
    }
    return false;
}

enum status acpi_find_rsdp(acpi_read_fn read, uint64_t *rsdp)
{
    uint16_t segment = 0;
    if (read(&segment, EBDA_SEGMENT, sizeof(segment)) && segment != 0) {
        uint64_t ebda = (uint64_t)segment << 4;
        if (scan_rsdp(read, ebda, ebda + KIB, rsdp))
            return STATUS_OK;
    }
    return scan_rsdp(read, BIOS_ROM_START, BIOS_ROM_END, rsdp) ? STATUS_OK : STATUS_INVALID;
}

/* Is there a whole table with this signature at address? */
static bool check_table(acpi_read_fn read, uint64_t address, const char signature[4],
                        uint32_t *size)
{
    uint8_t header[8];
    if (address == 0 || !read(header, address, sizeof(header)) || memcmp(header, signature, 4) != 0)
        return false;
    *size = (uint32_t)bytes_get(header, HEADER_LENGTH, 4);
    return *size >= HEADER_SIZE && *size <= TABLE_MAX_SIZE && checksum_good(read, address, *size);
}

enum status acpi_find_table(acpi_read_fn read, uint64_t rsdp, const char signature[4],
                            unsigned index, uint64_t *address, uint32_t *size)
{
    uint8_t root[RSDP_SIZE_V2] = {0};
    uint32_t root_size;

    if (!read(root, rsdp, RSDP_SIZE_V1))
        return STATUS_INVALID;
    bool extended = root[RSDP_REVISION] >= 2 && checksum_good(read, rsdp, RSDP_SIZE_V2) &&
                    read(root, rsdp, RSDP_SIZE_V2) && bytes_get(root, RSDP_XSDT, 8) != 0;
    uint64_t table = extended ? bytes_get(root, RSDP_XSDT, 8) : bytes_get(root, RSDP_RSDT, 4);
    unsigned entry_size = extended ? 8 : 4;
    if (!check_table(read, table, extended ? "XSDT" : "RSDT", &root_size))
        return STATUS_INVALID;

    uint32_t count = (root_size - HEADER_SIZE) / entry_size;
    for (uint32_t i = 0; i < count && i < ROOT_MAX_ENTRIES; i++) {
        uint64_t entry = 0;
        if (read(&entry, table + HEADER_SIZE + i * entry_size, entry_size) &&
            check_table(read, entry, signature, size) && index-- == 0) {
            *address = entry;
            return STATUS_OK;
        }
    }
    return STATUS_INVALID;
}

/* A port from the extended field; 0: none. */
static enum status extended_port(const uint8_t *fadt, unsigned field, uint16_t *port)
{
    uint64_t address = bytes_get(fadt, field + GAS_ADDRESS, 8);
    *port = 0;
    if (address != 0 && fadt[field] != GAS_SPACE_IO)
        return STATUS_NO_SUPPORT;
    if (address >= UINT16_MAX)
        return STATUS_INVALID;
    *port = (uint16_t)address;
    return STATUS_OK;
}

/* A port from the old field; 0: none. */
static enum status old_port(const uint8_t *fadt, unsigned field, uint16_t *port)
{
    uint64_t address = bytes_get(fadt, field, 4);
    *port = address < UINT16_MAX ? (uint16_t)address : 0;
    return address < UINT16_MAX ? STATUS_OK : STATUS_INVALID;
}

/* An integer of a package that fits a byte. */
static bool aml_small_integer(const uint8_t *aml, unsigned *at, uint8_t *value)
{
    uint8_t byte = aml[(*at)++];
    *value = byte;
    if (byte == AML_BYTE_PREFIX)
        *value = aml[(*at)++];
    return byte <= 1 || byte == AML_BYTE_PREFIX;
}

/* Name(_Sx_, Package(n) {type a, type b, ...}), from behind the name. False: it is not such. */
static bool read_package(const uint8_t aml[16], struct acpi_fixed *fixed)
{
    unsigned at = 1;
    uint8_t type[2];
    if (aml[0] != AML_PACKAGE)
        return false;
    at += 1u + (aml[at] >> 6); /* the package's length: 1 to 4 bytes */
    uint8_t count = aml[at++];
    if (count < 2 || !aml_small_integer(aml, &at, &type[0]) ||
        !aml_small_integer(aml, &at, &type[1]))
        return false;
    for (unsigned i = 0; i < ACPI_SLEEP_PORTS; i++)
        fixed->sleep_allowed[i] |= (uint8_t)BIT(type[i % 2] & ACPI_SLP_TYP_MASK);
    return true;
}

static void add_s3(struct acpi_fixed *fixed, uint64_t name, uint64_t table)
{
    unsigned i = 0;
    while (i < ACPI_S3_NAMES && fixed->s3_name[i] != 0)
        i++;
    if (i < ACPI_S3_NAMES) {
        fixed->s3_name[i] = name;
        fixed->s3_table[i] = table;
    }
}

/* aml: the bytes from one of the name's segment "_Sx_" on, at address. */
static void read_name(const uint8_t *aml, uint64_t address, uint64_t table,
                      struct acpi_fixed *fixed)
{
    switch (aml[2]) {
    case '1':
    case '4':
    case '5':
        if (read_package(aml + 4, fixed) && aml[2] == '5')
            fixed->s5_found = true;
        break;
    case '3':
        add_s3(fixed, address, table);
        break;
    default:
        break;
    }
}

/*
 * Searches a definition block for the names. Not by the grammar: the byte before tells a
 * name's definition from most chance matches, and a chance match can only forbid less than
 * it might where its own bytes make up a whole package.
 */
static void scan_definition_block(acpi_read_fn read, uint64_t table, uint32_t size,
                                  struct acpi_fixed *fixed)
{
    enum {
        LOOK = 32
    }; /* bytes of a name and its package */
    uint8_t chunk[CHUNK + LOOK];

    for (uint64_t at = HEADER_SIZE; at < size; at += CHUNK) {
        uint64_t part = min_u64(sizeof(chunk), size - at);
        memset(chunk, 0, sizeof(chunk));
        if (!read(chunk, table + at, part))
            return;
        for (unsigned i = 0; i < CHUNK; i++) {
            const uint8_t *name = chunk + i + 1 + (chunk[i + 1] == AML_ROOT);
            if (chunk[i] == AML_NAME && name[0] == '_' && name[1] == 'S' && name[3] == '_')
                read_name(name, table + at + (uint64_t)(name - chunk), table, fixed);
        }
    }
}

enum status acpi_read_fixed(acpi_read_fn read, uint64_t rsdp, struct acpi_fixed *fixed)
{
    uint8_t fadt[FADT_SIZE] = {0};
    uint64_t address;
    uint32_t size;

    *fixed = (struct acpi_fixed){0};
    enum status status = acpi_find_table(read, rsdp, "FACP", 0, &address, &size);
    if (status != STATUS_OK)
        return status;
    if (!read(fadt, address, min_u64(size, sizeof(fadt))))
        return STATUS_INVALID;

    uint64_t dsdt = bytes_get(fadt, FADT_X_DSDT, 8) != 0 ? bytes_get(fadt, FADT_X_DSDT, 8)
                                                         : bytes_get(fadt, FADT_DSDT, 4);
    if (check_table(read, dsdt, "DSDT", &size))
        scan_definition_block(read, dsdt, size, fixed);
    for (unsigned i = 0; acpi_find_table(read, rsdp, "SSDT", i, &address, &size) == STATUS_OK; i++)
        scan_definition_block(read, address, size, fixed);

    if (extended_port(fadt, FADT_X_PM_TMR, &fixed->timer) != STATUS_OK || fixed->timer == 0)
        (void)old_port(fadt, FADT_PM_TMR, &fixed->timer);
    if ((bytes_get(fadt, FADT_FLAGS, 4) & FADT_HW_REDUCED) != 0)
        return STATUS_NO_SUPPORT;
    /* Where the fields differ, nobody knows which the chipset means: both are guarded. */
    status = extended_port(fadt, FADT_X_PM1A_CNT, &fixed->sleep_control[0]);
    if (status == STATUS_OK)
        status = extended_port(fadt, FADT_X_PM1B_CNT, &fixed->sleep_control[1]);
    if (status == STATUS_OK)
        status = old_port(fadt, FADT_PM1A_CNT, &fixed->sleep_control[2]);
    if (status == STATUS_OK)
        status = old_port(fadt, FADT_PM1B_CNT, &fixed->sleep_control[3]);
    return status;
}

/* Adds an id that is not there yet: some firmware lists a processor in both forms. */
static void add_processor(uint32_t id, uint32_t *ids, uint32_t max, uint32_t *count)
{
    for (uint32_t i = 0; i < *count && i < max; i++) {
        if (ids[i] == id)
            return;
    }
    if (*count < max)
        ids[*count] = id;
    (*count)++;
}

/* One entry of the MADT, as far as its length says. False: it is shorter than its type. */
static bool read_processor(const uint8_t *entry, uint32_t *ids, uint32_t max, uint32_t *count)
{
    bool x2apic = entry[0] == MADT_LOCAL_X2APIC;
    if (!x2apic && entry[0] != MADT_LOCAL_APIC)
        return true;
    if (entry[1] < (x2apic ? MADT_X2APIC_SIZE : MADT_APIC_SIZE))
        return false;
    uint64_t flags = bytes_get(entry, x2apic ? MADT_X2APIC_FLAGS : MADT_APIC_FLAGS, 4);
    uint32_t id = x2apic ? (uint32_t)bytes_get(entry, MADT_X2APIC_ID, 4) : entry[MADT_APIC_ID];
    uint32_t nobody = x2apic ? UINT32_MAX : UINT8_MAX; /* it addresses all */
    if ((flags & MADT_USABLE_FLAGS) != 0 && id != nobody)
        add_processor(id, ids, max, count);
    return true;
}

enum status acpi_list_processors(acpi_read_fn read, uint64_t rsdp, uint32_t *ids, uint32_t max,
                                 uint32_t *count)
{
    uint64_t madt;
    uint32_t size;
    enum status status = acpi_find_table(read, rsdp, "APIC", 0, &madt, &size);
    if (status != STATUS_OK)
        return status;
    if (size < MADT_ENTRIES)
        return STATUS_INVALID;

    *count = 0;
    for (uint32_t at = MADT_ENTRIES; at + 2 <= size;) {
        uint8_t entry[MADT_X2APIC_SIZE] = {0};
        if (!read(entry, madt + at, min_u64(sizeof(entry), size - at)) || entry[1] < 2 ||
            entry[1] > size - at || !read_processor(entry, ids, max, count))
            return STATUS_INVALID;
        at += entry[1];
    }
    return STATUS_OK;
}
