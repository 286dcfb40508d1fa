/*
 * ACPI tables as foreign input. ACPI Specification 6.5, "Root System Description Pointer
 * (RSDP)", "System Description Table Header", "Fixed ACPI Description Table (FADT)", "_Sx
 * (System States)".
 */
#include "unit.h"

#include "drivers/acpi.h"
#include "phys.h"

#define MEMORY_SIZE (4 * MIB)
#define RSDT        0x200000
#define XSDT        0x201000
#define FADT        0x202000
#define DSDT        0x203000
#define SSDT        0x205000
#define SSDT2       0x206000

static uint8_t *memory;
static uint64_t rsdp = 0xf5a80;

static void put(uint64_t address, uint64_t value, unsigned size)
{
    memcpy(memory + address, &value, size);
}

static void fix_checksum(uint64_t address, uint64_t size, unsigned at)
{
    uint8_t sum = 0;
    memory[address + at] = 0;
    for (uint64_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + memory[address + i]);
    memory[address + at] = (uint8_t)-sum;
}

static void table(uint64_t address, const char *signature, uint32_t size)
{
    memcpy(memory + address, signature, 4);
    put(address + 4, size, 4);
    fix_checksum(address, size, 9);
}

static void make_rsdp(uint64_t address, unsigned revision)
{
    memset(memory + address, 0, 36);
    memcpy(memory + address, "RSD PTR ", 8);
    memory[address + 15] = (uint8_t)revision;
    put(address + 16, RSDT, 4);
    if (revision >= 2) {
        put(address + 20, 36, 4);
        put(address + 24, XSDT, 8);
    }
    fix_checksum(address, 20, 8);
    if (revision >= 2)
        fix_checksum(address, 36, 32);
}

static void make_root(bool extended, const uint64_t *entries, unsigned count)
{
    uint64_t address = extended ? XSDT : RSDT;
    unsigned size = extended ? 8 : 4;
    for (unsigned i = 0; i < count; i++)
        put(address + 36 + i * size, entries[i], size);
    table(address, extended ? "XSDT" : "RSDT", 36 + count * size);
}

/* Name(_S5_, Package(4) {5, 5, 0, 0}) and such, as the compiler writes them. */
static uint32_t put_state(uint64_t address, char state, unsigned type, bool root)
{
    const uint8_t head[] = {0x08, '\\', '_', 'S', (uint8_t)state, '_', 0x12, 0x0a, 0x04};
    uint64_t at = address;
    for (unsigned i = 0; i < sizeof(head); i++) {
        if (i != 1 || root)
            memory[at++] = head[i];
    }
    for (unsigned i = 0; i < 2; i++) {
        if (type > 1)
            memory[at++] = 0x0a;
        memory[at++] = (uint8_t)type;
    }
    memory[at++] = 0;
    memory[at++] = 0;
    return (uint32_t)(at - address);
}

static void start(unsigned revision)
{
    static const uint64_t entries[] = {FADT, SSDT, SSDT2};
    if (memory == NULL)
        memory = malloc(MEMORY_SIZE);
    memset(memory, 0, MEMORY_SIZE);
    fake_phys_set(0, MEMORY_SIZE, memory);
    make_rsdp(rsdp, revision);
    make_root(false, entries, 3);
    make_root(true, entries, 3);
    put(FADT + 40, DSDT, 4);
    put(FADT + 64, 0xb004, 4);
    table(FADT, "FACP", 116);
    uint32_t size = 36;
    size += put_state(DSDT + size, '3', 1, false);
    size += put_state(DSDT + size, '4', 6, false);
    size += put_state(DSDT + size, '5', 7, true);
    table(DSDT, "DSDT", size);
    table(SSDT, "SSDT", 36);
    table(SSDT2, "SSDT", 40);
}

static enum status find(const char *signature, unsigned index, uint64_t *address)
{
    uint32_t size;
    return acpi_find_table(fake_phys_read, rsdp, signature, index, address, &size);
}

TEST(the_rsdp_is_found)
{
    uint64_t found = 0;
    start(0);
    CHECK_EQ(acpi_find_rsdp(fake_phys_read, &found), STATUS_OK);
    CHECK_EQ(found, rsdp);
    put(0x40e, 0x9fc0, 2); /* "the first 1 KB of the EBDA" comes first */
    make_rsdp(0x9fc00 + 0x3e0, 0);
    CHECK_EQ(acpi_find_rsdp(fake_phys_read, &found), STATUS_OK);
    CHECK_EQ(found, 0x9ffe0);
}

TEST(what_is_no_rsdp)
{
    uint64_t found = 0;
    start(0);
    memory[rsdp + 8]++; /* bad checksum */
    CHECK_EQ(acpi_find_rsdp(fake_phys_read, &found), STATUS_INVALID);
    start(0);
    memmove(memory + rsdp + 8, memory + rsdp, 36); /* not on a 16-byte boundary */
    memset(memory + rsdp, 0, 8);
    CHECK_EQ(acpi_find_rsdp(fake_phys_read, &found), STATUS_INVALID);
    start(0);
    memset(memory + rsdp, 0, 36);
    make_rsdp(0xd0000, 0); /* outside the areas */
    CHECK_EQ(acpi_find_rsdp(fake_phys_read, &found), STATUS_INVALID);
    start(0);
    put(0x40e, 0xffff, 2); /* an EBDA that is garbage */
    CHECK_EQ(acpi_find_rsdp(fake_phys_read, &found), STATUS_OK);
    fake_phys_set(0, 0, memory);
    CHECK_EQ(acpi_find_rsdp(fake_phys_read, &found), STATUS_INVALID);
}

TEST(tables_are_found_through_rsdt_and_xsdt)
{
    for (unsigned revision = 0; revision <= 2; revision += 2) {
        uint64_t address = 0;
        start(revision);
        if (revision == 2) /* then the RSDT must not be looked at */
            memory[RSDT]++;
        else
            memory[XSDT]++;
        CHECK_EQ(find("FACP", 0, &address), STATUS_OK);
        CHECK_EQ(address, FADT);
        CHECK_EQ(find("SSDT", 0, &address), STATUS_OK);
        CHECK_EQ(address, SSDT);
        CHECK_EQ(find("SSDT", 1, &address), STATUS_OK);
        CHECK_EQ(address, SSDT2);
        CHECK_EQ(find("SSDT", 2, &address), STATUS_INVALID);
        CHECK_EQ(find("APIC", 0, &address), STATUS_INVALID);
    }
}

TEST(broken_tables_are_not_found)
{
    uint64_t address;
    start(2);
    memory[FADT + 20]++; /* the checksum is wrong */
    CHECK_EQ(find("FACP", 0, &address), STATUS_INVALID);
    static const uint32_t sizes[] = {0, 8, 35, 0x7fffffff, UINT32_MAX};
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        start(2);
        put(FADT + 4, sizes[i], 4);
        CHECK_EQ(find("FACP", 0, &address), STATUS_INVALID);
        start(2);
        put(XSDT + 4, sizes[i], 4);
        CHECK_EQ(find("FACP", 0, &address), STATUS_INVALID);
    }
    start(2);
    put(XSDT + 36, UINT64_MAX - 3, 8);
    table(XSDT, "XSDT", 60);
    CHECK_EQ(find("FACP", 0, &address), STATUS_INVALID);
    CHECK_EQ(find("SSDT", 1, &address), STATUS_OK); /* the others are there still */
    start(2);
    put(XSDT + 36, MEMORY_SIZE - 4, 8);
    table(XSDT, "XSDT", 60);
    CHECK_EQ(find("FACP", 0, &address), STATUS_INVALID);
}

TEST(an_rsdp_anywhere)
{
    static const uint64_t places[] = {MEMORY_SIZE - 10, MEMORY_SIZE, UINT64_MAX, UINT64_MAX - 19};
    for (unsigned i = 0; i < ARRAY_LENGTH(places); i++) {
        uint64_t address;
        uint32_t size;
        start(2);
        CHECK_EQ(acpi_find_table(fake_phys_read, places[i], "FACP", 0, &address, &size),
                 STATUS_INVALID);
    }
}

TEST(sleep_states)
{
    struct acpi_fixed acpi;
    start(2);
    CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_OK);
    CHECK_EQ(acpi.sleep_control[0], 0); /* by the extended fields, which this FADT has not */
    CHECK_EQ(acpi.sleep_control[2], 0xb004);
    CHECK_EQ(acpi.sleep_control[3], 0);
    CHECK(acpi.s5_found);
    CHECK_EQ(acpi.sleep_allowed[0], 1 << 6 | 1 << 7);
    CHECK_EQ(acpi.sleep_allowed[1], 1 << 6 | 1 << 7);
    CHECK_EQ(acpi.s3_name[0], DSDT + 36 + 1); /* behind the 0x08 that defines it */
    CHECK_EQ(acpi.s3_table[0], DSDT);
    CHECK(memcmp(memory + acpi.s3_name[0], "_S3_", 4) == 0);
}

TEST(sleep_states_in_an_ssdt)
{
    struct acpi_fixed acpi;
    start(2);
    table(DSDT, "DSDT", 36);
    uint32_t size = 36 + put_state(SSDT2 + 36, '5', 0, true);
    table(SSDT2, "SSDT", size);
    CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_OK);
    CHECK(acpi.s5_found);
    CHECK_EQ(acpi.sleep_allowed[0], 1);
    CHECK_EQ(acpi.s3_name[0], 0);
}

/* The names may lie anywhere in the block: over any boundary that a reader cuts it at. */
TEST(sleep_states_at_every_offset)
{
    for (unsigned offset = 0; offset < 600; offset++) {
        struct acpi_fixed acpi;
        start(2);
        memset(memory + DSDT + 36, 0xa3, 0x1000); /* NoopOp */
        uint32_t size = 36 + offset;
        size += put_state(DSDT + size, '5', 5, offset % 2);
        size += put_state(DSDT + size, '3', 1, offset % 2);
        table(DSDT, "DSDT", size);
        NOTE("offset %u", offset);
        CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_OK);
        CHECK(acpi.s5_found);
        CHECK_EQ(acpi.sleep_allowed[0], 1 << 5);
        CHECK(acpi.s3_name[0] != 0);
        CHECK(memcmp(memory + acpi.s3_name[0], "_S3_", 4) == 0);
    }
}

TEST(names_that_are_none)
{
    static const uint8_t bytes[] = {
        0x70, '_', 'S', '3', '_', 0x60,    /* a reference, not a definition */
        0x08, '_', 'S', '3', 'D', 0x0a, 3, /* a device's lowest state for S3 */
        0x08, 'X', '_', 'S', '5', '_',  0x12};
    struct acpi_fixed acpi;
    start(2);
    memcpy(memory + DSDT + 36, bytes, sizeof(bytes));
    table(DSDT, "DSDT", 36 + sizeof(bytes));
    CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_OK);
    CHECK(!acpi.s5_found);
    CHECK_EQ(acpi.s3_name[0], 0);
    CHECK_EQ(acpi.sleep_allowed[0], 0);
}

TEST(no_way_to_sleep)
{
    struct acpi_fixed acpi;
    start(2);
    memory[FADT]++;
    CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_INVALID);
    start(2);
    put(FADT + 112, 1 << 20, 4); /* HW_REDUCED_ACPI */
    table(FADT, "FACP", 244);
    CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_NO_SUPPORT);
    start(2);
    put(FADT + 64, 0, 4);
    memory[FADT + 172] = 0; /* system memory */
    put(FADT + 176, 0xfed1f000, 8);
    table(FADT, "FACP", 244);
    CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_NO_SUPPORT);
}

/* "If this field contains a nonzero value then it must be used by OSPM": X_ before the old one. */
TEST(the_extended_fields_come_first)
{
    struct acpi_fixed acpi;
    start(2);
    memory[FADT + 172] = 1; /* system I/O */
    put(FADT + 176, 0x1804, 8);
    put(FADT + 140, DSDT, 8);
    put(FADT + 40, 0, 4);
    table(FADT, "FACP", 244);
    CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_OK);
    CHECK(acpi.s5_found);
    CHECK_EQ(acpi.sleep_control[0], 0x1804);
}

/* A FADT of ACPI 1.0 ends before the extended fields: what follows it is not read as them. */
TEST(a_short_fadt)
{
    struct acpi_fixed acpi;
    start(0);
    put(FADT + 140, 0x300000, 8);
    memory[FADT + 172] = 0;
    put(FADT + 176, 0xfed1f000, 8);
    CHECK_EQ(acpi_read_fixed(fake_phys_read, rsdp, &acpi), STATUS_OK);
    CHECK_EQ(acpi.sleep_control[2], 0xb004);
    CHECK(acpi.s5_found);
}
