/* See launch.h. */
#include "hv/launch.h"

#include "guest/msr.h"
#include "hv/trap.h"
#include "vmx/bitmaps.h"
#include "vmx/vmx.h"

static struct guest guest;

/* Single pages that the processor reads, and the VMCS and VMXON region. */
static struct {
    hpa_t msr_bitmap;
    hpa_t io_bitmap; /* two pages, A and B, one after the other */
    hpa_t vmxon;
    hpa_t vmcs;
} page;

/* Those pages, the CPUID table, stacks and window and image tables, with some to spare. */
#define OTHER_FRAMES 48

uint64_t launch_frames(const struct platform *platform, const struct memmap *map)
{
    return ept_tables_needed(&platform->ept, map, &platform->mtrrs) + EPT_HOLE_TABLES +
           OTHER_FRAMES;
}

static enum status alloc_pages(struct percpu *cpu)
{
    struct frame_pool *frames = space_frames();
    hpa_t cpuid;
    hpa_t io_b;
    hpa_t *const wanted[] = {&page.msr_bitmap, &page.io_bitmap, &io_b,
                             &page.vmxon,      &page.vmcs,      &cpuid};

    for (unsigned i = 0; i < ARRAY_LENGTH(wanted); i++) {
        enum status status = frame_alloc(frames, wanted[i]);
        if (status != STATUS_OK)
            return status;
    }
    cpu->guest.cpuid = space_pointer(cpuid);
    /* The pool is fresh: frames come in ascending order. */
    return io_b.value == page.io_bitmap.value + PAGE_SIZE ? STATUS_OK : STATUS_NO_MEMORY;
}

static void init_sleep(const struct platform *platform)
{
    struct io_bitmap *bitmap = space_pointer(page.io_bitmap);
    for (unsigned i = 0; i < ARRAY_LENGTH(guest.sleep.control); i++) {
        uint16_t port = platform->sleep.control[i];
        guest.sleep.control[i] = port;
        guest.sleep.allowed[i] = platform->sleep.allowed[i];
        if (port != 0) {
            io_bitmap_intercept(bitmap, port);
            io_bitmap_intercept(bitmap, (uint16_t)(port + 1));
        }
    }
}

enum status launch_prepare(struct percpu *cpu, const struct platform *platform,
                           const struct memmap *map, const struct home *home)
{
    enum status status = alloc_pages(cpu);
    if (status == STATUS_OK)
        status = cpu_init_stacks(cpu);
    if (status != STATUS_OK)
        return status;

    guest.mtrrs = platform->mtrrs;
    guest.physical_bits = platform->ept.physical_bits;
    cpu->guest.guest = &guest;
    cpuid_table_init(cpu->guest.cpuid, platform->controls.secondary);
    msr_init_cpu(&cpu->guest);
    msr_fill_bitmap(space_pointer(page.msr_bitmap));
    init_sleep(platform);
    return ept_init(&guest.ept, &platform->ept, map, &guest.mtrrs, space_frames(), home->start,
                    home->size);
}

enum status launch_vmx(struct percpu *cpu, const struct platform *platform,
                       const struct linux_entry *entry, const char **why)
{
    const struct vmx_caps *caps = &platform->caps;
    enum status status = vmx_on(caps, page.vmxon, space_pointer(page.vmxon), why);
    if (status != STATUS_OK)
        return status;

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
    vmx_vmcs_init(vcpu, caps, &platform->controls, &host, &vmx_guest, page.vmcs,
                  space_pointer(page.vmcs));
    vmx_set_guest_64bit(vcpu, caps, entry->rip, entry->cr3, entry->gdt_base, entry->gdt_limit);
    vcpu->regs.rsi = entry->params;
    vmx_flush_ept();
    return STATUS_OK;
}
