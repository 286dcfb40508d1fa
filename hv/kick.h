/*
 * Kicks: one CPU has all others run a function in root mode, and waits for them.
 *
 * A kick is an NMI. A CPU in the guest exits for it; one in root mode takes it in its NMI
 * handler, whatever else it is doing, a lock's spin loop included: so a kicked CPU always
 * answers, and the function must be one that may run anywhere: it takes no lock, logs nothing.
 * Two kickers take turns by a lock, and the one that waits for it answers as any other.
 *
 * A CPU that waits for SIPI blocks NMIs. It is marked parked before it enters that state,
 * and is not waited for: when a SIPI takes it out, it first unmarks itself and then drops
 * all that it has cached. The kicker changes memory first and reads the mark afterwards;
 * both orders are full barriers, so either the kicker sees the CPU unmarked and waits for it, or
 * the CPU drops its caches after the change.
 */
#ifndef KEEL_HV_KICK_H
#define KEEL_HV_KICK_H

#include "hv/percpu.h"

typedef void (*kick_fn)(void);

/* Runs fn on every CPU that is not parked, this one too; all have when it returns. */
void kick_all(kick_fn fn);

/* An NMI has come to this CPU: was it a kick? Then it has been answered. */
bool kick_answer(struct percpu *cpu);

/* This CPU is about to wait for SIPI; it has been taken out of that by one. */
void kick_park(struct percpu *cpu);
void kick_unpark(struct percpu *cpu);

/* Stops all other CPUs for ever, as far as they can be: for a panic. */
void kick_stop_others(void);

#endif
