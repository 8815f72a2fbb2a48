/* base/options.h - settings from the environment
 *
 * Read once, before the first allocation returns; constant after that, so any
 * thread reads them without a lock.  See options_table.h for the settings.
 */
#ifndef TIDE_BASE_OPTIONS_H
#define TIDE_BASE_OPTIONS_H

#include <stdint.h>

#include "base/bits.h"
#include "base/options_table.h"

struct tide_options {
#define ROW(field, kind, standard, least, most, choices, help) int64_t field;
    TIDE_OPTIONS(ROW)
#undef ROW
};

enum { TIDE_ARENA_LOCK_ARENA, TIDE_ARENA_LOCK_GLOBAL };
enum { TIDE_NUMA_AUTO, TIDE_NUMA_OFF, TIDE_NUMA_BIND, TIDE_NUMA_INTERLEAVE };
enum { TIDE_MAINTENANCE_AUTO, TIDE_MAINTENANCE_OFF, TIDE_MAINTENANCE_ON };
enum { TIDE_THP_AUTO, TIDE_THP_ALWAYS, TIDE_THP_NEVER };

extern TIDE_HIDDEN struct tide_options tide_options;

/* The text that a setting of this kind stands for; NULL: not set. */
static inline const char *tide_options_text(int64_t value)
{
    return (const char *)(intptr_t)value;
}

/* Takes every TIDEPOOL_ variable of environment (as environ; NULL is none)
 * into tide_options.  A bad or unknown one, or one that is gone, is named in a
 * warning and changes nothing.  In a setuid program nothing is read. */
void tide_options_read(char *const *environment);

/* Warns if environment has settings that can't be taken any more. */
void tide_options_warn_late(char *const *environment);

/* The table with each current value, to stderr. */
void tide_options_print(void);

#endif
