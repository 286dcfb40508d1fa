/* See format.h. Numbers are converted in 64 bits; an unknown conversion is copied as it is. */
#include "lib/format.h"

struct out {
    char *next;
    char *end; /* room for the terminator stays behind it */
};

static void put(struct out *out, char c)
{
    if (out->next < out->end)
        *out->next++ = c;
}

static void put_string(struct out *out, const char *s, unsigned width)
{
    unsigned length = 0;
    for (; s[length] != '\0'; length++)
        put(out, s[length]);
    for (; length < width; length++)
        put(out, ' ');
}

static void put_number(struct out *out, uint64_t value, unsigned base, bool negative,
                       unsigned width, char pad)
{
    char digits[24];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);

    if (negative && pad == '0')
        put(out, '-');
    for (unsigned i = count + negative; i < width; i++)
        put(out, pad);
    if (negative && pad != '0')
        put(out, '-');
    while (count > 0)
        put(out, digits[--count]);
}

/* Takes the next integer argument: longs is the number of l (or z) before the conversion. */
static uint64_t next_unsigned(va_list *args, unsigned longs)
{
    return longs > 0 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned int);
}

static int64_t next_signed(va_list *args, unsigned longs)
{
    return longs > 0 ? va_arg(*args, long) : va_arg(*args, int);
}

static void put_conversion(struct out *out, char conversion, unsigned width, char pad,
                           unsigned longs, va_list *args)
{
    switch (conversion) {
    case 'c':
        put(out, (char)va_arg(*args, int));
        break;
    case 's':
        put_string(out, va_arg(*args, const char *), width);
        break;
    case 'd': {
        int64_t value = next_signed(args, longs);
        uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
        put_number(out, magnitude, 10, value < 0, width, pad);
        break;
    }
    case 'u':
        put_number(out, next_unsigned(args, longs), 10, false, width, pad);
        break;
    case 'x':
        put_number(out, next_unsigned(args, longs), 16, false, width, pad);
        break;
    case 'p':
        put_string(out, "0x", 0);
        put_number(out, (uintptr_t)va_arg(*args, void *), 16, false, 16, '0');
        break;
    default:
        put(out, conversion);
        break;
    }
}

size_t format_v(char *buffer, size_t size, const char *fmt, va_list args)
{
    if (size == 0)
        return 0;
    struct out out = {buffer, buffer + size - 1};
    va_list rest; /* a va_list parameter may be a pointer already; a local never is */
    va_copy(rest, args);

    for (; *fmt != '\0'; fmt++) {
        if (*fmt != '%') {
            put(&out, *fmt);
            continue;
        }
        fmt++;
        char pad = ' ';
        unsigned width = 0;
        unsigned longs = 0;
        if (*fmt == '-') /* strings are left-aligned anyway */
            fmt++;
        if (*fmt == '0')
            pad = *fmt++;
        while (*fmt >= '0' && *fmt <= '9')
            width = width * 10 + (unsigned)(*fmt++ - '0');
        while (*fmt == 'l' || *fmt == 'z') {
            longs++;
            fmt++;
        }
        if (*fmt == '\0')
            break;
        put_conversion(&out, *fmt, width, pad, longs, &rest);
    }
    va_end(rest);
    *out.next = '\0';
    return (size_t)(out.next - buffer);
}

size_t format(char *buffer, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    size_t length = format_v(buffer, size, fmt, args);
    va_end(args);
    return length;
}
