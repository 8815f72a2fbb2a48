/* machine/pressure.h - whether memory is short round this process
 *
 * Any thread; the files are read at each call.
 */
#ifndef TIDE_MACHINE_PRESSURE_H
#define TIDE_MACHINE_PRESSURE_H

#include <stdbool.h>

#include "machine/cgroup.h"

enum {
    TIDE_FILLED_PERCENT = 90, /* of a control group's limit */
    TIDE_STALLED_PERCENT = 5, /* of the last 10 seconds some task waited for memory */
};

/* Percent of the last 10 seconds in which some task of the group (NULL, or a
 * group that doesn't say: of the machine) waited for memory.  False when the
 * kernel doesn't tell. */
bool tide_machine_pressure_stalled(const struct tide_cgroup *group, unsigned *percent);

/* Whether one of the two is exceeded; NULL: there is no group. */
bool tide_machine_pressure_is_high(const struct tide_cgroup *group);

#endif
