/* base/due.h - whether something waits to be done by a thread without locks
 *
 * What is found necessary in the middle of something, with locks held, is left to
 * the end of a malloc on its slow path, which asks one question.  Each module
 * that has such work keeps a state of its own and sets this one as well.
 */
#ifndef TIDE_BASE_DUE_H
#define TIDE_BASE_DUE_H

#include "base/atomic.h"
#include "base/bits.h"

extern TIDE_HIDDEN _Atomic bool tide_something_is_due; /* any thread */

/* After the state is set, which whoever takes this then sees. */
static inline void tide_make_due(void)
{
    tide_set_release(&tide_something_is_due, true);
}

#endif
