/* upkeep/nodes.h - when to find out about the machine's memory nodes
 *
 * Once a program has a second heap (or, where TIDEPOOL_NUMA asks for it, a second
 * arena), a malloc on its slow path looks how many nodes there are.  Only with
 * several a thread is started, which asks hwloc by way of machine/topology.h and ends:
 * malloc may have been called with any lock of the C library's, hwloc takes some,
 * and a thread of its own can wait for them.  Meanwhile, and for good when this
 * fails, there is one set of arenas.
 */
#ifndef TIDE_UPKEEP_NODES_H
#define TIDE_UPKEEP_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/geometry.h"

enum tide_nodes_state {
    TIDE_NODES_UNKNOWN,
    TIDE_NODES_DUE,     /* to be found out by the next that can */
    TIDE_NODES_ASKED,   /* a thread is at it */
    TIDE_NODES_SETTLED, /* known, or never to be */
};

extern TIDE_HIDDEN _Atomic uint32_t tide_nodes_state;
extern TIDE_HIDDEN _Atomic bool tide_nodes_are_wanted_early;

/* At the start, when settings have been read. */
void tide_nodes_start(char *const *environment);

/* A thread has got a heap. */
void tide_nodes_note_heap(void);

#define TIDE_NODES_BYTES ((size_t)4 << 20) /* from which on the nodes matter */

void tide_nodes_want(void);

/* The program may have more memory than before. */
static inline void tide_nodes_weigh(size_t bytes)
{
    if (TIDE_UNLIKELY(tide_relaxed(&tide_nodes_are_wanted_early)) &&
        bytes > TIDE_NODES_BYTES)
        tide_nodes_want();
}

void tide_nodes_find_out(void);

/* By a thread that holds no lock and uses no heap: it may call malloc.  Keeps
 * errno.  Whether it is left to another malloc. */
static inline bool tide_nodes_check(void)
{
    if (TIDE_UNLIKELY(tide_relaxed(&tide_nodes_state) == TIDE_NODES_DUE))
        tide_nodes_find_out();
    return tide_relaxed(&tide_nodes_state) == TIDE_NODES_DUE;
}

/* Waits while a thread is at it, a second at most.  Before a fork, which would
 * leave the child with the loader as that thread has it. */
void tide_nodes_wait(void);

void tide_nodes_after_fork_in_child(void);

#endif
