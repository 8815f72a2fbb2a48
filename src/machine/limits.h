/* machine/limits.h - what the settings of limits mean on this machine */
#ifndef TIDE_MACHINE_LIMITS_H
#define TIDE_MACHINE_LIMITS_H

#include <stdint.h>

/* Sets the two (os/limits.h) from the settings: bytes, or (below 0) a percentage of the
 * control group's limit, or without one of the machine's memory.  One that makes
 * no sense is named in a warning. */
void tide_machine_limits_start(int64_t soft, int64_t hard);

#endif
