/*
 * Spin locks between CPUs. In root mode interrupts are off, and the one thing that may come
 * in between, an NMI, takes no lock: so a holder always goes on.
 */
#ifndef KEEL_LIB_LOCK_H
#define KEEL_LIB_LOCK_H

#include "lib/types.h"

struct lock {
    uint32_t held;
};

static inline bool lock_try(struct lock *lock)
{
    return __atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void lock_acquire(struct lock *lock)
{
    while (!lock_try(lock)) {
        while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED) != 0)
            __builtin_ia32_pause();
    }
}

static inline void lock_release(struct lock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
