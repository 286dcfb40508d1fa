/*
 * Keel's own command line: words NAME=VALUE separated by spaces.
 *
 *   console=com1|com2|com3|com4[,BAUD][,keep]   default com1,115200; console=none
 *   loglevel=error|warning|info|debug           default info
 *   fallback=linux|stop                         where Keel cannot run; default stop
 *   keel=on|off                                 off: start Linux without Keel; default on
 *   fail-cpu=N, panic-cpu=N                     CPU N fails its check, or panics where it
 *                                               would run the guest: for tests; default none
 */
#ifndef KEEL_HV_OPTIONS_H
#define KEEL_HV_OPTIONS_H

#include "lib/log.h"
#include "lib/types.h"

struct options {
    uint16_t console_port; /* 0: none */
    uint32_t console_baud;
    bool console_keep; /* the port is Keel's while Linux runs, too */
    enum log_level log_level;
    bool fallback_linux;
    bool off;
    uint32_t fail_cpu;  /* 0: none */
    uint32_t panic_cpu; /* 0: none */
};

/* Told about each word that is not understood; the word is not terminated. */
typedef void (*options_unknown_fn)(const char *word, size_t length);

/* Fills *options from text, with the defaults for what it does not say. unknown may be NULL. */
void options_parse(const char *text, struct options *options, options_unknown_fn unknown);

#endif
