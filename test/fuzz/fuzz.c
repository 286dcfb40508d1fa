/* See fuzz.h. */
#include "fuzz.h"

#include <stdarg.h>

#include "lib/panic.h"

void panic(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputs(": panic\n", stderr);
    abort();
}
