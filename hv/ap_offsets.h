/* What ap.S shares with C: asserted in percpu.h. */
#ifndef KEEL_HV_AP_OFFSETS_H
#define KEEL_HV_AP_OFFSETS_H

#define PERCPU_STACK 8

#endif
