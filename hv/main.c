/* The boot order, from the loader's hands to Linux's first instruction. */
#include "hv/hv.h"

#include "drivers/apic.h"
#include "drivers/timer.h"
#include "guest/version.h"
#include "hv/console.h"
#include "hv/launch.h"
#include "hv/options.h"
#include "hv/panic.h"
#include "hv/smp.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmx/vmx.h"
#include "x86/msr.h"

enum module {
    MODULE_KERNEL,
    MODULE_INITRD
};

static struct percpu boot_cpu;
static struct options options;
static struct platform platform;
static struct home home;
static struct guest_entry entry;

/* What the machine or its configuration lacks, in one line. */
static NORETURN void give_up(const char *why)
{
    log_error("stopped: %s", why);
    ops_halt_forever();
}

static void warn_unknown(const char *word, size_t length)
{
    char text[64];
    (void)string_copy(text, sizeof(text), word, length);
    log_warning("option not understood: \"%s\" (see the README for those there are)", text);
}

static void start_log(const struct boot_info *info)
{
    options_parse(info->options, &options, NULL);
    console_init(&options);
    log_info("version " KEEL_VERSION_TEXT);
    options_parse(info->options, &options, warn_unknown);
    if (info->options_cut)
        log_warning("the options are longer than %u characters: cut", BOOT_OPTIONS_SIZE - 1);
}

static void check_boot_info(const struct boot_info *info)
{
    static char text[LOG_LINE_SIZE];
    if (info->map.count == 0)
        give_up("the memory map is broken: the loader gave none");
    if (memmap_total(&info->map, MEMMAP_RAM) == 0)
        give_up("the memory map is broken: it has no RAM");
    if (info->module_count == 0)
        give_up("no kernel: name it in GRUB with module2 /boot/vmlinuz KERNEL COMMAND LINE");
    for (uint32_t i = 0; i < info->module_count && i < BOOT_MODULES; i++) {
        const struct boot_module *module = &info->module[i];
        if (module->size != 0 && !memmap_all(&info->map, module->start, module->size, MEMMAP_RAM)) {
            format(text, sizeof(text), "the memory map is broken: module %u at 0x%lx is not in RAM",
                   i + 1, module->start);
            give_up(text);
        }
    }
    if (info->module_count > BOOT_MODULES)
        log_warning("modules after the kernel and the initrd are ignored: %u",
                    info->module_count - BOOT_MODULES);
}

/* Moves to a home high in memory, and off the pages that the loader gave us. */
static void move_home(const struct boot_info *info, uint64_t image_start)
{
    static char text[LOG_LINE_SIZE];
    const struct memmap_busy busy[] = {
        {image_start, space_image_span()},
        {info->module[MODULE_KERNEL].start, info->module[MODULE_KERNEL].size},
        {info->module[MODULE_INITRD].start, info->module[MODULE_INITRD].size},
    };
    enum status status = space_choose_home(&info->map, launch_frames(&platform, &info->map), busy,
                                           ARRAY_LENGTH(busy), &home);
    if (status == STATUS_OK)
        status = space_enter_home(&home);
    if (status != STATUS_OK) {
        format(text, sizeof(text),
               "too little memory: Keel needs %lu MiB in one piece below 4 GiB for itself",
               home.size / MIB);
        give_up(text);
    }
    log_info("home: 0x%lx-0x%lx (%lu KiB), image %lu KiB", home.start, home.start + home.size - 1,
             home.size / KIB, space_image_span() / KIB);
}

static enum status load_guest(const struct boot_info *info, bool reserve, char *why)
{
    const struct boot_module *kernel = &info->module[MODULE_KERNEL];
    const struct boot_module *initrd = &info->module[MODULE_INITRD];
    const struct guest_files files = {
        .kernel = {kernel->start, kernel->size, kernel->command_line},
        .initrd = {initrd->start, initrd->size, initrd->command_line},
    };
    const struct guest_machine machine = {
        .map = &info->map,
        .reserved_start = home.start,
        .reserved_size = home.size,
        .reserve = reserve,
        .rsdp = platform.rsdp,
        .screen = &info->screen,
    };
    return guest_load(&files, &machine, &entry, why);
}

static NORETURN void start_without_keel(const struct boot_info *info)
{
    static char text[LOAD_ERROR_SIZE];
    if (load_guest(info, false, text) != STATUS_OK)
        give_up(text);
    if (entry.mode != GUEST_64BIT)
        give_up("a Multiboot payload is started by Keel only: without it, GRUB's multiboot can");
    log_warning("Linux starts without Keel, at TSC %lu", ops_rdtsc());
    console_hand_over();
    run_bare(&entry);
}

/* Keel cannot run here: says why, and does what the owner wants then. */
static NORETURN void cannot_run(const struct boot_info *info, const char *why)
{
    if (!options.fallback_linux)
        give_up(why);
    log_warning("%s", why);
    start_without_keel(info);
}

/* What each CPU does in each phase of the launch. */
static const char *do_phase(struct percpu *cpu, enum phase phase)
{
    switch (phase) {
    case PHASE_CHECK:
        if (options.fail_cpu != 0 && options.fail_cpu == cpu->index)
            return "told to fail (fail-cpu=)";
        return launch_check(cpu, &platform);
    case PHASE_VMX:
        return launch_vmx(cpu, &platform, &entry);
    case PHASE_RUN:
        if (options.panic_cpu != 0 && options.panic_cpu == cpu->index)
            panic("told to (panic-cpu=)");
        run_guest(cpu);
    case PHASE_BACK:
        if (ops_read_cr4() & CR4_VMXE)
            vmx_off();
        return NULL;
    case PHASE_NONE:
        break;
    }
    return NULL;
}

/* All leave VMX operation if they are in it; the others wait for SIPI, as before. */
static void take_back(void)
{
    (void)smp_do_phase(PHASE_BACK);
    smp_give_back();
}

static enum status start_cpus(const struct boot_info *info, const char **why)
{
    static char text[LOG_LINE_SIZE];
    if (platform.processors > CPU_MAX) {
        format(text, sizeof(text), "the machine has %u CPUs, and Keel takes at most %u",
               platform.processors, CPU_MAX);
        *why = text;
        return STATUS_NO_SUPPORT;
    }
    *why = "the boot CPU's local APIC is off";
    if (!apic_is_enabled())
        return STATUS_NO_SUPPORT;
    *why = "too little memory in Keel's home for all CPUs";
    apic_init(space_map_device(HPA(ops_rdmsr(IA32_APIC_BASE) & MASK(51, PAGE_SHIFT))));
    timer_init(platform.acpi.timer);
    if (smp_init(&boot_cpu, platform.apic_ids, platform.processors) != STATUS_OK)
        return STATUS_NO_MEMORY;
    return smp_start(&info->map, do_phase, why);
}

void hv_main(struct boot_info *info, uint64_t image_start, const char *parse_error)
{
    static char text[LOAD_ERROR_SIZE];
    const char *missing = NULL;
    const char *why;

    cpu_init(&boot_cpu);
    start_log(info);
    if (parse_error != NULL) {
        format(text, sizeof(text), "the loader's boot information is broken: %s", parse_error);
        give_up(text);
    }
    check_boot_info(info);
    if (platform_read_processor(&platform, &why) != STATUS_OK)
        missing = why;
    platform_read_firmware(&platform, &info->map, info->rsdp);
    move_home(info, image_start);

    if (options.off)
        start_without_keel(info);
    if (missing != NULL)
        cannot_run(info, missing);
    if (start_cpus(info, &why) != STATUS_OK)
        cannot_run(info, why);
    if (launch_prepare(&platform, &info->map, &home) != STATUS_OK)
        why = "too little memory in Keel's home for the guest's tables";
    else
        why = smp_do_phase(PHASE_CHECK);
    if (why == NULL) {
        if (load_guest(info, true, text) != STATUS_OK)
            give_up(text);
        why = smp_do_phase(PHASE_VMX);
    }
    if (why != NULL) {
        take_back();
        cannot_run(info, why);
    }
    platform_hide_s3(&platform);

    log_debug("%u frames are left", space_frames()->free);
    log_info("%s starts on %u CPU%s, at TSC %lu",
             entry.mode == GUEST_64BIT ? "Linux" : "the payload", cpu_count,
             cpu_count == 1 ? "" : "s", ops_rdtsc());
    console_hand_over();
    (void)smp_do_phase(PHASE_RUN);
    run_guest(&boot_cpu);
}
