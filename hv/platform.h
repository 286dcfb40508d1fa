/* What the machine is and can do: looked at once, before anything is changed. */
#ifndef KEEL_HV_PLATFORM_H
#define KEEL_HV_PLATFORM_H

#include "drivers/acpi.h"
#include "hv/percpu.h"
#include "lib/status.h"
#include "mm/ept.h"
#include "vmx/caps.h"
#include "vmx/controls.h"

struct platform {
    /* from the processor */
    struct vmx_caps caps;
    struct vmx_controls controls;
    struct ept_features ept;
    struct mtrrs mtrrs;
    /* from the firmware */
    hpa_t rsdp; /* 0: not found */
    struct acpi_fixed acpi;
    uint32_t processors;
    uint32_t apic_ids[CPU_MAX];
};

/* NO_SUPPORT: *why names what Keel needs and the processor lacks, as an English clause. */
MUST_CHECK enum status platform_read_processor(struct platform *platform, const char **why);

/*
 * Reads the ACPI tables, while the first 4 GiB are mapped as they are. What is not found is
 * said in a warning.
 */
void platform_read_firmware(struct platform *platform, const struct memmap *map, hpa_t rsdp);

/* Takes S3 out of what ACPI offers to the guest: its name in the definition block is changed. */
void platform_hide_s3(const struct platform *platform);

#endif
