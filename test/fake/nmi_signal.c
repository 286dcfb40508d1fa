/* NMIs as signals, which come between any two instructions. See threads.h. */
#define _GNU_SOURCE
#include "threads.h"

#include <signal.h>
#include <stdlib.h>

static void on_signal(int number)
{
    (void)number;
    threads_poll();
}

void nmi_prepare(void)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (sigaction(SIGUSR1, &action, NULL) != 0)
        abort();
}

void nmi_interrupt(pthread_t thread)
{
    (void)pthread_kill(thread, SIGUSR1);
}
