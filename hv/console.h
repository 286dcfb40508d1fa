/* Where the log is seen: the port that the owner chose, as long as it is Keel's. */
#ifndef KEEL_HV_CONSOLE_H
#define KEEL_HV_CONSOLE_H

#include "hv/options.h"

/* Programs the port and sends the log there. */
void console_init(const struct options *options);

/* The guest is about to run: unless the port is Keel's to keep, it is Linux's from now on. */
void console_hand_over(void);

/* Takes the port back for what must be seen. */
void console_panic(void);

#endif
