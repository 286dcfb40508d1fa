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

/* ACPI Specification 6.5, "Multiple APIC Description Table (MADT)" and its structures. */
#define MADT        0x210000
#define ENABLED     1
#define ONLINE_LATE 2

static uint32_t madt_size;

static void madt_start(void)
{
    static const uint64_t entries[] = {FADT, MADT};
    start(2);
    make_root(true, entries, 2);
    put(MADT + 36, 0xfee00000, 4);
    put(MADT + 40, 1, 4);
    madt_size = 44;
}

static void madt_bytes(const uint8_t *bytes, unsigned count)
{
    memcpy(memory + MADT + madt_size, bytes, count);
    madt_size += count;
}

/* "Processor Local APIC Structure" */
static void madt_local_apic(uint8_t id, uint32_t flags)
{
    const uint8_t entry[8] = {0, 8, (uint8_t)(id + 1), id, (uint8_t)flags, 0, 0, 0};
    madt_bytes(entry, sizeof(entry));
}

/* "Processor Local x2APIC Structure" */
static void madt_x2apic(uint32_t id, uint32_t flags)
{
    uint64_t at = MADT + madt_size;
    const uint8_t entry[16] = {9, 16};
    madt_bytes(entry, sizeof(entry));
    put(at + 4, id, 4);
    put(at + 8, flags, 4);
    put(at + 12, id, 4);
}

static uint32_t listed[600], listed_count;

static enum status list(uint32_t max)
{
    table(MADT, "APIC", madt_size);
    memset(listed, 0xee, sizeof(listed));
    listed_count = 0;
    return acpi_list_processors(fake_phys_read, rsdp, listed, max, &listed_count);
}

TEST(processors)
{
    static const uint8_t others[] = {
        1,  12, 2,   0, 0,    0,    0xc0, 0xfe, 0, 0, 0, 0, /* I/O APIC */
        2,  10, 0,   0, 2,    0,    0,    0,    0, 0,       /* override */
        4,  6,  255, 0, 0,    1,                            /* NMI */
        10, 12, 0,   0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0};
    madt_start();
    madt_local_apic(0, ENABLED);
    madt_local_apic(6, ENABLED);
    madt_bytes(others, 12 + 10);
    madt_local_apic(1, 0); /* "if zero, this processor is unusable" */
    madt_local_apic(254, ENABLED);
    madt_x2apic(0x10000, ENABLED);
    madt_x2apic(0x10001, 0);
    madt_bytes(others + 22, sizeof(others) - 22);
    madt_x2apic(0xfffffffe, ENABLED);
    CHECK_EQ(list(512), STATUS_OK);
    CHECK_EQ(listed_count, 5);
    static const uint32_t expected[] = {0, 6, 254, 0x10000, 0xfffffffe};
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(listed[i], expected[i]);
    CHECK_EQ(listed[5], 0xeeeeeeee);
}

/* "Online Capable": not enabled, but the machine can bring it online later. */
TEST(processors_that_may_come_later)
{
    madt_start();
    madt_local_apic(0, ENABLED);
    madt_local_apic(2, ONLINE_LATE);
    madt_x2apic(300, ONLINE_LATE);
    madt_x2apic(301, 4); /* a reserved flag says nothing */
    CHECK_EQ(list(512), STATUS_OK);
    CHECK_EQ(listed_count, 3);
    CHECK_EQ(listed[1], 2);
    CHECK_EQ(listed[2], 300);
}

TEST(more_processors_than_there_is_room_for)
{
    for (uint32_t max = 0; max <= 5; max++) {
        madt_start();
        for (uint8_t id = 0; id < 4; id++)
            madt_local_apic(id, ENABLED);
        NOTE("room for %u", max);
        CHECK_EQ(list(max), STATUS_OK);
        CHECK_EQ(listed_count, 4);
        for (uint32_t i = 0; i < 5; i++)
            CHECK_EQ(listed[i], i < max && i < 4 ? i : 0xeeeeeeee);
    }
    madt_start();
    for (uint32_t id = 0; id < 600; id++)
        madt_x2apic(id * 3, ENABLED);
    CHECK_EQ(list(512), STATUS_OK);
    CHECK_EQ(listed_count, 600);
    CHECK_EQ(listed[511], 511 * 3);
    CHECK_EQ(listed[512], 0xeeeeeeee);
}

/* An entry that cannot be stepped over, or that ends outside the table. */
TEST(broken_madts)
{
    static const uint8_t lengths[] = {0, 1, 9, 12, 255};
    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        madt_start();
        madt_local_apic(0, ENABLED);
        madt_local_apic(1, ENABLED);
        memory[MADT + 44 + 8 + 1] = lengths[i];
        NOTE("length %u", lengths[i]);
        CHECK_EQ(list(512), STATUS_INVALID);
    }
    madt_start();
    madt_x2apic(7, ENABLED);
    madt_size -= 4; /* the table ends within the entry */
    CHECK_EQ(list(512), STATUS_INVALID);
    madt_start();
    madt_local_apic(0, ENABLED);
    table(MADT, "APIC", madt_size);
    memory[MADT + 44 + 3]++; /* the checksum is wrong */
    listed_count = 77;
    CHECK_EQ(acpi_list_processors(fake_phys_read, rsdp, listed, 512, &listed_count),
             STATUS_INVALID);
    start(2); /* none at all */
    CHECK_EQ(acpi_list_processors(fake_phys_read, rsdp, listed, 512, &listed_count),
             STATUS_INVALID);
}

/* Id and flags of an entry that is too short to have them are those of its neighbour. */
TEST(processor_entries_that_are_too_short)
{
    for (uint8_t length = 2; length < 8; length++) {
        madt_start();
        const uint8_t entry[8] = {0, length, 1, 1, 1, 1, 1, 1};
        madt_bytes(entry, length);
        madt_local_apic(ENABLED, ENABLED);
        madt_local_apic(5, ENABLED);
        NOTE("local APIC, length %u", length);
        enum status status = list(512);
        CHECK(status == STATUS_INVALID || (listed_count == 2 && listed[1] == 5));
    }
    for (uint8_t length = 2; length < 16; length++) {
        madt_start();
        const uint8_t entry[16] = {9, length, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
        madt_bytes(entry, length);
        madt_local_apic(ENABLED, ENABLED);
        madt_local_apic(5, ENABLED);
        NOTE("x2APIC, length %u", length);
        enum status status = list(512);
        CHECK(status == STATUS_INVALID || (listed_count == 2 && listed[1] == 5));
    }
}

/* A header alone, without even the fixed fields, is no usable MADT. */
TEST(a_madt_that_is_too_short)
{
    for (madt_size = 36; madt_size < 44; madt_size++) {
        uint32_t size = madt_size;
        madt_start();
        madt_size = size;
        NOTE("%u bytes", madt_size);
        CHECK(list(512) == STATUS_INVALID || listed_count == 0);
        madt_size = size;
    }
    madt_start(); /* no processors, and one byte that is no entry */
    CHECK_EQ(list(512), STATUS_OK);
    CHECK_EQ(listed_count, 0);
    madt_size = 45;
    CHECK(list(512) == STATUS_INVALID || listed_count == 0);
}

/* An id that means all processors is none's: "0xFF" for local APICs, all ones for x2APIC. */
TEST(ids_that_are_nobodys)
{
    madt_start();
    madt_local_apic(0, ENABLED);
    madt_local_apic(255, ENABLED);
    madt_x2apic(UINT32_MAX, ENABLED);
    CHECK(list(512) == STATUS_INVALID || listed_count == 1);
}

/* Firmware that lists a processor in both forms still means one processor. */
TEST(a_processor_that_is_listed_twice)
{
    madt_start();
    madt_local_apic(0, ENABLED);
    madt_local_apic(2, ENABLED);
    madt_x2apic(0, ENABLED);
    madt_x2apic(2, ENABLED);
    CHECK_EQ(list(512), STATUS_OK);
    CHECK_EQ(listed_count, 2);
}

TEST(random_madts)
{
    for (unsigned round = 0; round < 3000; round++) {
        madt_start();
        unsigned count = (unsigned)unit_random_below(40);
        for (unsigned i = 0; i < count; i++) {
            if (unit_random() % 2)
                madt_local_apic((uint8_t)unit_random(), (uint32_t)unit_random() & 3);
            else
                madt_x2apic((uint32_t)unit_random(), (uint32_t)unit_random() & 3);
        }
        for (unsigned i = 0; i < unit_random_below(4) && madt_size > 44; i++)
            memory[MADT + 44 + unit_random_below(madt_size - 44)] = (uint8_t)unit_random();
        uint32_t max = (uint32_t)unit_random_below(20);
        NOTE("round %u", round);
        (void)list(max);
        CHECK_EQ(listed[max], 0xeeeeeeee);
    }
}
