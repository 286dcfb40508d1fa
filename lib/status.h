/*
 * What a fallible function answers when the platform or the input is lacking. Whoever gives
 * up reports it once, with status_name(). A broken invariant of ours is panic(), and what
 * the guest does wrong is the guest's own fault: neither is a status.
 */
#ifndef KEEL_LIB_STATUS_H
#define KEEL_LIB_STATUS_H

#include "lib/types.h"

enum status {
    STATUS_OK = 0,
    STATUS_INVALID,   /* malformed input */
    STATUS_NO_MEMORY, /* no frame, no room in a fixed table, or no RAM that fits */
    STATUS_NO_SUPPORT /* the processor or the platform cannot do it */
};

#endif
