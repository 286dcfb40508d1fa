/* See platform.h. */
#include "hv/platform.h"

#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"
#include "vmx/vmx.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/ops.h"

#define CPUID_ADDRESS_SIZES 0x80000008
#define PHYSICAL_BITS_MIN   36 /* where the leaf does not exist */

/* SDM Vol. 4, "IA32_TME_ACTIVATE" */
#define CPUID_7_ECX_TME      BIT(13)
#define TME_ACTIVATE_ENABLED BIT(1)
#define TME_KEYID_BITS       MASK(35, 32)

#define TABLE_CHECKSUM 9 /* in an ACPI table's header */

/* Bits of addresses that name memory: MAXPHYADDR, less those that name an encryption key. */
static unsigned read_physical_bits(void)
{
    unsigned bits = PHYSICAL_BITS_MIN;
    uint64_t tme;
    if (ops_cpuid(0x80000000, 0).eax >= CPUID_ADDRESS_SIZES)
        bits = ops_cpuid(CPUID_ADDRESS_SIZES, 0).eax & 0xff;
    bool has_tme = ops_cpuid(0, 0).eax >= 7 && (ops_cpuid(7, 0).ecx & CPUID_7_ECX_TME) != 0;
    if (has_tme && ops_rdmsr_safe(IA32_TME_ACTIVATE, &tme) && (tme & TME_ACTIVATE_ENABLED) != 0)
        bits -= (unsigned)bits_get(tme, TME_KEYID_BITS);
    return bits;
}

enum status platform_read_processor(struct platform *platform, const char **why)
{
    static char text[LOG_LINE_SIZE];
    const char *missing;

    mtrr_read(&platform->mtrrs);
    platform->ept.physical_bits = read_physical_bits();
    platform->ept.levels = platform->ept.physical_bits > 48 ? 5 : 4;
    platform->ept.max_leaf = 2;
    enum status status = vmx_check(why);
    if (status != STATUS_OK)
        return status;

    vmx_caps_read(&platform->caps);
    if ((platform->caps.ept_vpid & EPT_VPID_1G) != 0)
        platform->ept.max_leaf = 3;
    status = vmx_controls_compute(&platform->caps, &platform->controls, &missing);
    if (status == STATUS_OK)
        status = vmx_caps_check(&platform->caps, platform->ept.physical_bits, &missing);
    if (status != STATUS_OK) {
        format(text, sizeof(text), "the processor's VMX lacks what Keel needs: \"%s\"", missing);
        *why = text;
    }
    return status;
}

/* The map that firmware_read() checks against: ACPI's functions take no context. */
static const struct memmap *firmware_map;

static bool firmware_read(void *to, uint64_t from, uint64_t size)
{
    bool low = from < MIB && size <= MIB - from; /* BIOS areas that the map may leave out */
    const struct memmap_range *range = memmap_find(firmware_map, from);
    if (!low && (range == NULL || size > range->end - from))
        return false;
    if (from >= 4 * GIB || size > 4 * GIB - from)
        return false;
    memcpy(to, (const void *)from, size);
    return true;
}

void platform_read_firmware(struct platform *platform, const struct memmap *map, hpa_t rsdp)
{
    firmware_map = map;
    platform->rsdp = rsdp;
    platform->processors = 1;
    if (rsdp.value == 0 && acpi_find_rsdp(firmware_read, &platform->rsdp.value) != STATUS_OK) {
        log_warning("no ACPI tables found: no other CPU is expected, and sleep is not guarded");
        return;
    }
    rsdp = platform->rsdp;
    if (acpi_list_processors(firmware_read, rsdp.value, platform->apic_ids, CPU_MAX,
                             &platform->processors) != STATUS_OK)
        log_warning("ACPI has no usable MADT: no other CPU is expected");
    platform->processors = platform->processors == 0 ? 1 : platform->processors;
    switch (acpi_read_fixed(firmware_read, rsdp.value, &platform->acpi)) {
    case STATUS_OK:
        if (!platform->acpi.s5_found)
            log_warning("ACPI's \\_S5 was not found: the guest cannot switch the machine off");
        break;
    case STATUS_NO_SUPPORT:
        log_warning("ACPI's sleep registers are not I/O ports: sleep is not guarded");
        break;
    case STATUS_INVALID:
    case STATUS_NO_MEMORY:
        log_warning("ACPI has no usable FADT: sleep is not guarded");
        break;
    }
}

void platform_hide_s3(const struct platform *platform)
{
    const char hidden = 'X';

    for (unsigned i = 0; i < ACPI_S3_NAMES && platform->acpi.s3_name[i] != 0; i++) {
        hpa_t name = HPA(platform->acpi.s3_name[i]);
        hpa_t sum_at = HPA(platform->acpi.s3_table[i] + TABLE_CHECKSUM);
        uint8_t checksum;
        char first;
        phys_read(&first, name, 1);
        phys_read(&checksum, sum_at, 1);
        checksum = (uint8_t)(checksum + first - hidden);
        phys_write(name, &hidden, 1);
        phys_write(sum_at, &checksum, 1);
    }
}
