/* What XSETBV accepts. */
#ifndef KEEL_GUEST_XCR0_H
#define KEEL_GUEST_XCR0_H

#include "lib/types.h"

/* May XCR0 hold value on a processor that supports these bits (CPUID.0DH.0:EDX:EAX)? */
bool xcr0_is_valid(uint64_t value, uint64_t supported);

#endif
