/* machine/topology.h - the machine's memory nodes (NUMA): how many there are, which a
 * CPU is on, and binding a mapping to one
 *
 * There is one node, and nothing is bound, until tide_machine_topology_use: for good
 * where the system has one, or TIDEPOOL_NUMA=off.  Nodes are numbered from 0
 * without gaps; only this module knows the system's numbers.
 *
 * tide_machine_topology_read is for one thread, once; after tide_machine_topology_use all
 * is constant, and any thread calls the rest at any time.
 */
#ifndef TIDE_MACHINE_TOPOLOGY_H
#define TIDE_MACHINE_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"
#include "base/bits.h"

extern TIDE_HIDDEN _Atomic unsigned tide_machine_nodes; /* sets of memory that are kept apart */
extern TIDE_HIDDEN _Atomic bool tide_machine_is_binding;

/* At the start: whether hwloc is told what to find (HWLOC_SYNTHETIC). */
void tide_machine_topology_start(char *const *environment);

/* Whether there may be several nodes and the settings let them be used.  Reads
 * one small file; no more than that with one node. */
bool tide_machine_topology_is_wanted(void);

/* Asks hwloc, by the plug-in.  Takes milliseconds, calls malloc and takes the
 * loader's locks: for a thread that holds none.  What tide_machine_node_count() is to
 * be; 1 also when that can't be found out, which it warns of. */
unsigned tide_machine_topology_read(void);

/* From now on tide_machine_node_count() and binding are what was read. */
void tide_machine_topology_use(void);

/* The nodes whose memory is kept apart: 1 also when it is interleaved.  What was
 * set up before tide_machine_topology_use is seen: this acquires what that releases. */
static inline unsigned tide_machine_node_count(void)
{
    return tide_acquire(&tide_machine_nodes);
}

/* As it was read, in use or not.  A CPU's rank is which of its node's CPUs it
 * is. */
unsigned tide_machine_node_of_cpu(unsigned cpu);
unsigned tide_machine_rank_of_cpu(unsigned cpu);

/* The node of the CPU that the calling thread runs on; 0, at no cost, if there
 * is one. */
unsigned tide_machine_node_now(void);

void tide_machine_bind_always(void *start, size_t bytes, unsigned node);

/* Whole pages from start that are not touched yet will be the node's, as
 * TIDEPOOL_NUMA says: preferably, strictly, or spread over all nodes.  Keeps
 * errno. */
static inline void tide_machine_bind(void *start, size_t bytes, unsigned node)
{
    if (TIDE_UNLIKELY(tide_acquire(&tide_machine_is_binding)))
        tide_machine_bind_always(start, bytes, node);
}

enum { TIDE_NODE_WORDS = 1024 / (8 * sizeof(unsigned long)) }; /* the kernel's most nodes */

/* Binds by an MPOL_ policy to a set of the system's nodes.  False and errno when
 * that is refused. */
typedef bool tide_machine_binder(void *start, size_t bytes, int policy,
                            const unsigned long nodes[TIDE_NODE_WORDS]);

/* By mbind. */
tide_machine_binder tide_machine_bind_pages;

/* For tests: binder is called instead, also for a machine that isn't this. */
void tide_machine_set_binder(tide_machine_binder *binder);

#endif
