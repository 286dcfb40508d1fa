/*
 * CPUs that are threads, in place of fake.h's one CPU: for programs that check what CPUs share.
 * An NMI is latched for its CPU and taken when that does not block NMIs: in root mode the
 * handler runs, in the guest it is an exit. nmi_signal.c brings it anywhere, as a signal;
 * nmi_poll.c, for ThreadSanitizer, only where the CPU waits (ops_pause).
 */
#ifndef KEEL_TEST_FAKE_THREADS_H
#define KEEL_TEST_FAKE_THREADS_H

#include <pthread.h>

#include "lib/types.h"

#define THREADS_MAX 64

/* What an NMI in root mode runs. */
extern void (*threads_nmi_handler)(void);

/* What GS points to in this thread. */
extern _Thread_local void *fake_gs_pointer;

/* Runs body(gs) as CPU number index, which must not be running. */
void threads_start(unsigned index, void (*body)(void *), void *gs);

/* Waits for its end. True: it ended by ops_halt_forever() or threads_kill(). */
bool threads_join(unsigned index);

/* Ends a thread where it next waits: as an INIT does what a CPU was doing. */
void threads_kill(unsigned index);

void threads_send_nmi(unsigned index);

/* This CPU enters the guest, and leaves it: true, because of an NMI, which blocks others. */
void threads_enter_guest(void);
bool threads_nmi_exit(void);
bool threads_leave_guest(void);

/* This CPU enters a state that blocks NMIs, till ops_unblock_nmi(). Is one latched meanwhile? */
void threads_block_nmi(void);
bool threads_nmi_latched(void);

/* If a test takes longer than this, it hangs: the program ends. 0: no limit. */
void threads_set_limit(unsigned seconds);

/* The first condition that did not hold, in any thread: for CHECK in the test's own. */
#define EXPECT(condition)                                 \
    do {                                                  \
        if (!(condition))                                 \
            threads_fail(__FILE__, __LINE__, #condition); \
    } while (0)
void threads_fail(const char *file, int line, const char *condition);
bool threads_failed(void);

/* nmi_signal.c or nmi_poll.c; threads_poll() takes what is latched. */
void nmi_prepare(void);
void nmi_interrupt(pthread_t thread);
void threads_poll(void);

#endif
