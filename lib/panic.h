/* The up-call of all layers when an invariant of Keel's own is broken: the top defines it. */
#ifndef KEEL_LIB_PANIC_H
#define KEEL_LIB_PANIC_H

#include "lib/types.h"

/* Reports on every console and never comes back. Never for what the guest has done. */
NORETURN void panic(const char *fmt, ...) PRINTF(1, 2);

#endif
