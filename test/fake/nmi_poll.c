/* NMIs are taken where a CPU waits: ThreadSanitizer delays signals for ever. See threads.h. */
#include "threads.h"

void nmi_prepare(void)
{
}

void nmi_interrupt(pthread_t thread)
{
    (void)thread;
}
