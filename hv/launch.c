/* See launch.h. */
#include "hv/launch.h"

#include "guest/msr.h"
#include "hv/kick.h"
#include "hv/trap.h"
#include "lib/string.h"
#include "vmx/bitmaps.h"
#include "vmx/vmx.h"

_Static_assert(GUEST_SLEEP_PORTS == ACPI_SLEEP_PORTS, "the ports that ACPI names");

static struct guest guest;

/* Single pages that the processor reads, for all CPUs. */
static struct {
    hpa_t msr_bitmap;
    hpa_t io_bitmap; /* two pages, A and B, one after the other */
} page;

/* The bitmaps, the image's and the window's tables, with some to spare. */
#define SHARED_FRAMES 32
/* struct percpu, stacks, VMXON region, VMCS, CPUID table, and a part of the stacks' tables */
#define CPU_FRAMES 10

uint64_t launch_frames(const struct platform *platform, const struct memmap *map)
{
    return ept_tables_needed(&platform->ept, map, &platform->mtrrs) + EPT_HOLE_TABLES +
           SHARED_FRAMES + (uint64_t)CPU_FRAMES * platform->processors;
}

static enum status alloc_pages(hpa_t *const *wanted, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        enum status status = frame_alloc(space_frames(), wanted[i]);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status alloc_shared_pages(void)
{
    hpa_t io_b = {0};
    hpa_t *const wanted[] = {&page.msr_bitmap, &page.io_bitmap, &io_b};
    enum status status = alloc_pages(wanted, ARRAY_LENGTH(wanted));
    /* Nothing has been freed yet: frames come in ascending order. */
    if (status == STATUS_OK && io_b.value != page.io_bitmap.value + PAGE_SIZE)
        return STATUS_NO_MEMORY;
    return status;
}

static enum status alloc_cpu_pages(struct percpu *cpu)
{
    hpa_t cpuid = {0};
    hpa_t *const wanted[] = {&cpu->vmxon, &cpu->vmcs, &cpuid};
    enum status status = alloc_pages(wanted, ARRAY_LENGTH(wanted));
    if (status == STATUS_OK)
        cpu->guest.cpuid = space_pointer(cpuid);
    cpu->guest.guest = &guest;
    return status;
}

static void init_sleep(const struct platform *platform)
{
    struct io_bitmap *bitmap = space_pointer(page.io_bitmap);
    for (unsigned i = 0; i < ARRAY_LENGTH(guest.sleep.control); i++) {
        uint16_t port = platform->acpi.sleep_control[i];
        guest.sleep.control[i] = port;
        guest.sleep.allowed[i] = platform->acpi.sleep_allowed[i];
        if (port != 0) {
            io_bitmap_intercept(bitmap, port);
            io_bitmap_intercept(bitmap, (uint16_t)(port + 1));
        }
    }
}

enum status launch_prepare(const struct platform *platform, const struct memmap *map,
                           const struct home *home)
{
    enum status status = alloc_shared_pages();
    if (status == STATUS_OK)
        status = cpu_init_stacks(cpu_table[0]);
    for (uint32_t i = 0; i < cpu_count && status == STATUS_OK; i++)
        status = alloc_cpu_pages(cpu_table[i]);
    if (status != STATUS_OK)
        return status;

    guest.mtrrs = platform->mtrrs;
    guest.physical_bits = platform->ept.physical_bits;
    msr_fill_bitmap(space_pointer(page.msr_bitmap));
    init_sleep(platform);
    return ept_init(&guest.ept, &platform->ept, map, &guest.mtrrs, space_frames(), home->start,
                    home->size);
}

const char *launch_check(struct percpu *cpu, const struct platform *platform)
{
    struct vmx_caps caps;
    const char *why;

    if (vmx_check(&why) != STATUS_OK)
        return why;
    vmx_caps_read(&caps);
    if (memcmp(&caps, &platform->caps, sizeof(caps)) != 0)
        return "its VMX differs from the boot CPU's";
    cpuid_table_init(cpu->guest.cpuid, platform->controls.secondary);
    msr_init_cpu(&cpu->guest);
    if (memcmp(&cpu->guest.mtrrs, &guest.mtrrs, sizeof(guest.mtrrs)) != 0)
        return "its MTRRs differ from the boot CPU's";
    return NULL;
}

const char *launch_vmx(struct percpu *cpu, const struct platform *platform,
                       const struct guest_entry *entry)
{
    const struct vmx_caps *caps = &platform->caps;
    const char *why;

    cpu->caps = caps;
    if (vmx_on(caps, cpu->vmxon, space_pointer(cpu->vmxon), &why) != STATUS_OK)
        return why;

    const struct vmx_host host = {
        .gs_base = (uintptr_t)cpu,
        .tss_base = (uintptr_t)&cpu->tss,
        .gdt_base = (uintptr_t)cpu->gdt,
        .idt_base = trap_idt_base(),
    };
    const struct vmx_guest vmx_guest = {
        .ept_pointer = ept_pointer(&guest.ept),
        .msr_bitmap = page.msr_bitmap,
        .io_bitmap_a = page.io_bitmap,
        .io_bitmap_b = HPA(page.io_bitmap.value + PAGE_SIZE),
        .exception_bitmap = BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC),
        .cr0_owned = CR0_NE,
        .cr4_owned = ~cpuid_cr4_allowed(caps->cr4_fixed1),
    };
    struct vcpu *vcpu = &cpu->guest.vcpu;
    vmx_vmcs_init(vcpu, caps, &platform->controls, &host, &vmx_guest, cpu->vmcs,
                  space_pointer(cpu->vmcs));
    if (cpu->index == 0) {
        if (entry->mode == GUEST_64BIT)
            vmx_set_guest_64bit(vcpu, caps, entry->rip, entry->cr3);
        else
            vmx_set_guest_32bit(vcpu, caps, entry->rip);
        vmx_set_guest_gdt(entry->gdt_base, entry->gdt_limit);
        vcpu->regs.rax = entry->rax;
        vcpu->regs.rbx = entry->rbx;
        vcpu->regs.rsi = entry->rsi;
    } else {
        vmx_set_guest_init(vcpu, caps);
        kick_park(cpu);
    }
    vmx_flush_ept();
    return NULL;
}
