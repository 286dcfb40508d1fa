/*
 * The firmware's ACPI tables, read as foreign input: every length and checksum is checked.
 * ACPI Specification 6.5, "ACPI Software Programming Model".
 */
#ifndef KEEL_DRIVERS_ACPI_H
#define KEEL_DRIVERS_ACPI_H

#include "lib/status.h"
#include "lib/types.h"

/* Copies physical memory. False: the caller knows of nothing there. */
typedef bool (*acpi_read_fn)(void *to, uint64_t from, uint64_t size);

/* Looks for the RSDP where a BIOS puts it: in the EBDA or below 1 MiB. INVALID: not found. */
MUST_CHECK enum status acpi_find_rsdp(acpi_read_fn read, uint64_t *rsdp);

/*
 * Finds the table number index (0: the first) of this signature. INVALID: there is none, or
 * what should lead to it is broken.
 */
MUST_CHECK enum status acpi_find_table(acpi_read_fn read, uint64_t rsdp, const char signature[4],
                                       unsigned index, uint64_t *address, uint32_t *size);

/* PM1 control: SLP_TYP is a field of three bits. */
#define ACPI_SLP_TYP_MASK 7

#define ACPI_SLEEP_PORTS 4
#define ACPI_S3_NAMES    4

/* What Keel needs of ACPI's fixed hardware: the way to sleep, and a clock. */
struct acpi_fixed {
    /* I/O ports of PM1a_CNT and PM1b_CNT by the extended fields, then by the old; 0: none */
    uint16_t sleep_control[ACPI_SLEEP_PORTS];
    uint8_t sleep_allowed[ACPI_SLEEP_PORTS]; /* per port, bit n: SLP_TYP n is S1, S4 or S5 */
    uint64_t s3_name[ACPI_S3_NAMES];         /* where definition blocks name _S3_; 0: no more */
    uint64_t s3_table[ACPI_S3_NAMES];        /* the starts of those blocks */
    bool s5_found;
    uint16_t timer; /* I/O port of the power management timer; 0: none */
};

/*
 * Reads the FADT and searches the definition blocks for the sleep states' packages. INVALID:
 * no usable FADT; NO_SUPPORT: its sleep registers are not I/O ports.
 */
MUST_CHECK enum status acpi_read_fixed(acpi_read_fn read, uint64_t rsdp, struct acpi_fixed *fixed);

/*
 * The local APIC ids of the processors that the MADT lists as enabled, or as able to be
 * brought online later: at most max of them in ids, *count in all. INVALID: no usable MADT.
 */
MUST_CHECK enum status acpi_list_processors(acpi_read_fn read, uint64_t rsdp, uint32_t *ids,
                                            uint32_t max, uint32_t *count);

#endif
