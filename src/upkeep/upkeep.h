/* upkeep/upkeep.h - what a call on its slow path does beside what it was asked for
 *
 * By a thread that holds no lock and uses no heap; errno is kept.
 *
 * Where no thread sees to what is idle, a malloc does a part of a look now and then, and
 * bound.h sees to what a program keeps that makes no further call.
 */
#ifndef TIDE_UPKEEP_UPKEEP_H
#define TIDE_UPKEEP_UPKEEP_H

#include "arena/huge_pages.h"
#include "base/due.h"
#include "upkeep/look.h"
#include "upkeep/nodes.h"

#define TIDE_UNMAINTAINED_BYTES ((size_t)4 << 20) /* nothing is done, up to as many */

/* The calling thread has got a heap. */
void tide_upkeep_note_born(void);

void tide_upkeep_become_due(void);
void tide_upkeep_tick(void);

/* The program may have more memory than before. */
static inline void tide_upkeep_weigh(void)
{
    uint32_t state = tide_relaxed(&tide_upkeep_state);

    if (TIDE_UNLIKELY(tide_relaxed(&tide_bell) == TIDE_BELL_ASLEEP) && tide_huge_look_is_due())
        tide_ring_slow();
    if (state == TIDE_UPKEEP_NONE && TIDE_UNLIKELY(tide_upkeep_mapped() > TIDE_UNMAINTAINED_BYTES))
        tide_upkeep_become_due();
    else if (TIDE_UNLIKELY(state == TIDE_UPKEEP_DUE))
        tide_upkeep_tick();
    tide_nodes_weigh(tide_relaxed(&tide_store_used));
}

void tide_upkeep_do_all_due(void);

/* Does what was left to such a thread.  May call malloc and the program's function. */
static inline void tide_upkeep_do_due(void)
{
    if (TIDE_UNLIKELY(tide_relaxed(&tide_something_is_due)))
        tide_upkeep_do_all_due();
}

#endif
