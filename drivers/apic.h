/*
 * The local APIC, which is the guest's: Keel sends interprocessor interrupts through it and
 * leaves it as it was. SDM Vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef KEEL_DRIVERS_APIC_H
#define KEEL_DRIVERS_APIC_H

#include "lib/types.h"

/* What an interprocessor interrupt is: the low half of the interrupt command register. */
#define APIC_NMI          0x00004400u
#define APIC_INIT         0x00004500u
#define APIC_STARTUP      0x00004600u /* or the number of the page below 1 MiB to start in */
#define APIC_ALL_BUT_SELF 0x000c0000u /* or'ed to one of these; no other destination then */

/* Where Keel sees the registers' page, uncached, for CPUs in xAPIC mode. */
void apic_init(volatile void *registers);

/* Is this CPU's APIC on? */
bool apic_is_enabled(void);

/* This CPU's APIC id, in the mode that it is in. */
uint32_t apic_id(void);

/*
 * Sends command to the CPU with this id (not looked at with APIC_ALL_BUT_SELF). Waits until
 * the register is idle before and after, and leaves its high half as it was: the guest may
 * be between its two writes.
 */
void apic_send(uint32_t id, uint32_t command);

/* Ends the interrupt that is being handled. */
void apic_end_interrupt(void);

/*
 * Puts the registers of this CPU's APIC as an INIT leaves them; its id stays. Interrupts
 * that wait are taken to be dropped: the IDT must have handlers that end them.
 */
void apic_reset(void);

#endif
