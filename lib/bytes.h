/* Fields of foreign structures, little endian and perhaps unaligned: by offset, never by cast. */
#ifndef KEEL_LIB_BYTES_H
#define KEEL_LIB_BYTES_H

#include "lib/string.h"
#include "lib/types.h"

/* The field of size bytes (1 to 8) at offset. */
static inline uint64_t bytes_get(const uint8_t *bytes, unsigned offset, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, bytes + offset, size);
    return value;
}

/* Sets it to the low size bytes of value. */
static inline void bytes_put(uint8_t *bytes, unsigned offset, uint64_t value, unsigned size)
{
    memcpy(bytes + offset, &value, size);
}

#endif
