/* The part of <string.h> that Keel uses; the compiler may call the mem* ones by itself. */
#ifndef KEEL_LIB_STRING_H
#define KEEL_LIB_STRING_H

#include "lib/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);

/*
 * Copies the string at from, which has at most from_size bytes and may lack its
 * terminator, and always terminates to (to_size > 0). False: it was cut short.
 */
bool string_copy(char *to, size_t to_size, const char *from, size_t from_size);

#endif
