/* A small, bounded printf: %c %s %u %d %x %p %%, with 0, width, and the lengths l ll z. */
#ifndef KEEL_LIB_FORMAT_H
#define KEEL_LIB_FORMAT_H

#include <stdarg.h>

#include "lib/types.h"

/*
 * Writes at most size bytes to buffer, always terminated if size > 0. Returns the length
 * written, without the terminator: longer output is cut.
 */
size_t format_v(char *buffer, size_t size, const char *fmt, va_list args);
size_t format(char *buffer, size_t size, const char *fmt, ...) PRINTF(3, 4);

#endif
