/* Start, output, checks and end of every payload. */
#include <stdarg.h>

#include "test/payload/lib/multiboot.h"
#include "test/payload/lib/payload.h"

#define COM1      0x3f8
#define LSR       (COM1 + 5)
#define LSR_READY 0x20
#define LSR_EMPTY 0x40

#define SHUTDOWN_PORT 0x8900 /* Bochs's */

struct memory_range memory_map[64];
unsigned memory_count;

static char command_line[256];
static unsigned passed, failed;

void payload_main(uint32_t magic, const struct multiboot_info *info);

static void put(char c)
{
    while ((inb(LSR) & LSR_READY) == 0)
        pause();
    outb(COM1, (uint8_t)c);
}

static void put_number(uint64_t value, unsigned base)
{
    char digits[24];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (count > 0)
        put(digits[--count]);
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (const char *p = format; *p != '\0'; p++) {
        if (*p != '%') {
            if (*p == '\n')
                put('\r');
            put(*p);
            continue;
        }
        switch (*++p) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s != '\0'; s++)
                put(*s);
            break;
        case 'd':
        case 'u':
            put_number(va_arg(args, unsigned), 10);
            break;
        case 'x':
            put_number(va_arg(args, unsigned), 16);
            break;
        case 'l':
            p++;
            put_number(va_arg(args, uint64_t), 16);
            break;
        }
    }
    va_end(args);
}

bool check_of(const char *group, const char *name, uint64_t got, uint64_t wanted)
{
    bool pass = got == wanted;
    print("%s %s%s%s", pass ? "PASS" : "FAIL", group, *group != '\0' ? ": " : "", name);
    if (pass) {
        passed++;
        print("\n");
    } else {
        failed++;
        print(": got 0x%lx, wanted 0x%lx\n", got, wanted);
    }
    return pass;
}

bool check(const char *name, uint64_t got, uint64_t wanted)
{
    return check_of("", name, got, wanted);
}

bool check_true(const char *name, bool is_true)
{
    return check(name, is_true, true);
}

void finish(void)
{
    print("END %u passed, %u failed\n", passed, failed);
    while ((inb(LSR) & LSR_EMPTY) == 0)
        pause();
    delay(1000000);
    for (const char *p = "Shutdown"; *p != '\0'; p++)
        outb(SHUTDOWN_PORT, (uint8_t)*p);
    for (;;)
        __asm__ volatile("cli; hlt");
}

unsigned argument(const char *name, unsigned otherwise)
{
    for (const char *p = command_line; *p != '\0'; p++) {
        if (p != command_line && p[-1] != ' ')
            continue;
        const char *a = p, *b = name;
        while (*b != '\0' && *a == *b)
            a++, b++;
        if (*b != '\0' || *a++ != '=')
            continue;
        unsigned value = 0;
        while (*a >= '0' && *a <= '9')
            value = value * 10 + (unsigned)(*a++ - '0');
        return value;
    }
    return otherwise;
}

static void copy_info(const struct multiboot_info *info)
{
    if ((info->flags & MULTIBOOT_COMMAND_LINE) != 0) {
        const char *from = (const char *)(uintptr_t)info->command_line;
        for (unsigned i = 0; i < sizeof(command_line) - 1 && from[i] != '\0'; i++)
            command_line[i] = from[i];
    }
    if ((info->flags & MULTIBOOT_MEMORY_MAP) == 0)
        return;
    uintptr_t at = info->map_address;
    while (at < (uintptr_t)info->map_address + info->map_size && memory_count < 64) {
        const struct multiboot_range *range = (const struct multiboot_range *)at;
        memory_map[memory_count++] = (struct memory_range){range->start, range->length,
                                                           range->type};
        at += range->size + sizeof(range->size);
    }
}

void payload_main(uint32_t magic, const struct multiboot_info *info)
{
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x80);
    outb(COM1 + 0, 1); /* 115200 baud */
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3);
    outb(COM1 + 2, 7);
    outb(COM1 + 4, 3);
    if (magic == MULTIBOOT_LOADED)
        copy_info(info);
    /* The 8259s: masked. */
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    trap_load();
    cpu_count = argument("cpus", 1);
    check("multiboot", magic, MULTIBOOT_LOADED);
    apic_enable();
    payload_run();
    finish();
}
