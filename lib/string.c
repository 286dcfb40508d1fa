/*
 * Memory and string primitives, for a program without a C library. On the host only
 * string_copy is compiled from here: the C library has the rest.
 */
#include "lib/string.h"

bool string_copy(char *to, size_t to_size, const char *from, size_t from_size)
{
    size_t i = 0;
    while (i < from_size && from[i] != '\0' && i < to_size - 1) {
        to[i] = from[i];
        i++;
    }
    to[i] = '\0';
    return i == from_size || from[i] == '\0';
}

#if !__STDC_HOSTED__

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *destination = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return destination;
}

void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= size)
        return memcpy(to, from, size);
    while (size-- > 0)
        t[size] = f[size];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    void *destination = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
    return destination;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a;
    const unsigned char *y = b;
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] - y[i];
    }
    return 0;
}

size_t strlen(const char *s)
{
    size_t length = 0;
    while (s[length] != '\0')
        length++;
    return length;
}

int strncmp(const char *a, const char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i])
            return (unsigned char)a[i] - (unsigned char)b[i];
        if (a[i] == '\0')
            break;
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

#endif
