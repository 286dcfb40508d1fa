/* The screen as the loader left it, which the guest's own driver goes on with. */
#ifndef KEEL_GUEST_SCREEN_H
#define KEEL_GUEST_SCREEN_H

#include "lib/types.h"

enum screen_kind {
    SCREEN_NONE,
    SCREEN_TEXT,  /* EGA/VGA text: width and height in characters */
    SCREEN_LINEAR /* a linear framebuffer with direct colour: in pixels */
};

struct screen_colour {
    uint8_t position; /* of the lowest bit */
    uint8_t size;     /* in bits */
};

struct screen {
    enum screen_kind kind;
    uint64_t address;
    uint32_t pitch; /* bytes a line */
    uint32_t width;
    uint32_t height;
    uint8_t depth; /* bits a pixel */
    struct screen_colour red, green, blue;
};

#endif
