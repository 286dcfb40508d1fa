/* Keel's version, as CPUID and the log give it. */
#ifndef KEEL_GUEST_VERSION_H
#define KEEL_GUEST_VERSION_H

#define KEEL_VERSION_MAJOR 0
#define KEEL_VERSION_MINOR 1
#define KEEL_VERSION_TEXT  "0.1"

#endif
