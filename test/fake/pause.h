/* Included before all else: a spin loop that waits with the compiler's own PAUSE is seen, too. */
#ifndef KEEL_TEST_FAKE_PAUSE_H
#define KEEL_TEST_FAKE_PAUSE_H

void ops_pause(void);
#define __builtin_ia32_pause ops_pause

#endif
