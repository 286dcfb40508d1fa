/* What boot.S and C both know. */
#ifndef PAYLOAD_LAYOUT_H
#define PAYLOAD_LAYOUT_H

#define CPU_MAX     8
#define STACK_SHIFT 14

#define SELECTOR_CODE32 0x08
#define SELECTOR_CODE64 0x10
#define SELECTOR_DATA   0x18
#define SELECTOR_TSS    0x30 /* CPU 0's; the next is 16 further */
#define GDT_SIZE        (SELECTOR_TSS + 16 * CPU_MAX)

/* In the page where an AP starts. */
#define SNAPSHOT_OFFSET 0x800
#define AP_STACK_OFFSET 0xf00

/* Where real-mode code looks for a known value, to see that a segment's base is 0. */
#define SNAPSHOT_PROBE 0x7000

#define HIGH_HALF 0xffff800000000000

/* In struct cpu. */
#define CPU_SELF    0
#define CPU_RECOVER 8

#endif
