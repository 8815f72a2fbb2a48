/* os/limits.h - how much memory the allocator may map
 *
 * Counted is what is mapped for records, and what the store has given out or keeps with
 * its pages: arenas and large blocks whole, whether their pages are resident or not.  That
 * is exact, costs nothing but where a range is taken or purged, and is never less than
 * what is resident.  The count is never above the hard limit, with however many threads.
 */
#ifndef TIDE_OS_LIMITS_H
#define TIDE_OS_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"

#define TIDE_NO_LIMIT SIZE_MAX

/* The soft limit was crossed upwards, and nobody has cleared this; once for a
 * crossing: a next one is after a sixteenth less than the limit was mapped. */
extern TIDE_HIDDEN _Atomic bool tide_os_limits_are_crossed;

/* At the start: see machine/limits.h. */
void tide_os_limits_set(size_t soft, size_t hard);
size_t tide_os_limits_soft(void);
size_t tide_os_limits_hard(void);

/* Whether more is mapped than the soft limit, so that nothing free is to be kept. */
bool tide_os_limits_is_above_soft(void);

/* Bytes mapped now. */
size_t tide_os_limits_mapped(void);

/* Before bytes are mapped.  False and ENOMEM beyond the hard limit. */
bool tide_os_limits_take(size_t bytes);

/* What was taken is mapped now. */
void tide_os_limits_note_mapped(void);

/* Bytes are mapped no more, or could not be. */
void tide_os_limits_put(size_t bytes);

#endif
