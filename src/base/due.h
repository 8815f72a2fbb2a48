/* base/due.h - what waits to be done: words by which lower rooms tell higher ones
 *
 * What is found necessary in the middle of something, with locks held, is left to
 * the end of a malloc on its slow path, which asks one question.  Each module
 * that has such work keeps a state of its own and sets this one as well.
 *
 * What is freed and may go when it is idle rings for the thread that sees to it, if
 * that sleeps (upkeep/thread.h).
 */
#ifndef TIDE_BASE_DUE_H
#define TIDE_BASE_DUE_H

#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"

extern TIDE_HIDDEN _Atomic bool tide_something_is_due; /* any thread */

/* After the state is set, which whoever takes this then sees. */
static inline void tide_make_due(void)
{
    tide_set_release(&tide_something_is_due, true);
}

/* ---- Who sees to what is idle ------------------------------------------- */

enum tide_upkeep_state {
    TIDE_UPKEEP_NONE,    /* nobody: the program is small */
    TIDE_UPKEEP_DUE,     /* mallocs and frees do it, or start the thread */
    TIDE_UPKEEP_RUNNING, /* the thread does */
    TIDE_UPKEEP_SETTLED, /* nobody ever will */
};

enum tide_bell { TIDE_BELL_AWAKE, TIDE_BELL_ASLEEP, TIDE_BELL_END };

extern TIDE_HIDDEN _Atomic uint32_t tide_upkeep_state;
extern TIDE_HIDDEN _Atomic uint32_t tide_bell; /* a futex */

/* Whether there is no thread that does it. */
static inline bool tide_upkeep_is_by_calls(void)
{
    return tide_relaxed(&tide_upkeep_state) == TIDE_UPKEEP_DUE;
}

bool tide_bell_change(uint32_t from, uint32_t to);
void tide_ring_slow(void);

/* Something was freed that can go when it is idle.  Any locks may be held. */
static inline void tide_ring(void)
{
    if (TIDE_UNLIKELY(tide_relaxed(&tide_bell) == TIDE_BELL_ASLEEP))
        tide_ring_slow();
}

#endif
