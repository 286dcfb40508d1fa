/*
 * The guest's model-specific registers: one table says for each what a read and a write do,
 * and why. What it passes never exits; what it does not name is I4's: a read is executed
 * under fix-up and a write denied, each said once in the log.
 */
#ifndef KEEL_GUEST_MSR_H
#define KEEL_GUEST_MSR_H

#include "guest/guest.h"
#include "vmx/bitmaps.h"

/* Fills the bitmap from the table. secondary: see cpuid_table_init(). */
void msr_fill_bitmap(struct msr_bitmap *bitmap);

/* Sets what the CPU's MSRs begin with, from the processor's. */
void msr_init_cpu(struct guest_cpu *cpu);

/* What a guest's RDMSR or WRMSR does. False: #GP(0). */
bool msr_read(struct guest_cpu *cpu, uint32_t msr, uint64_t *value);
bool msr_write(struct guest_cpu *cpu, uint32_t msr, uint64_t value);

/* "IA32_EFER", or "?" for a number that the table does not name. */
const char *msr_name(uint32_t msr);

#endif
