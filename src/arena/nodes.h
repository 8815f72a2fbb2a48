/* arena/nodes.h - which shards are which memory node's
 *
 * With several nodes each has as many shards, one after the other (a group), and the
 * arenas of a shard are bound to its node.  With one node (machine/topology.h) all shards
 * are one group, and nothing here costs more than finding that out.
 */
#ifndef TIDE_ARENA_NODES_H
#define TIDE_ARENA_NODES_H

#include "arena/shard.h"
#include "machine/topology.h"

/* How many shards a node has. */
static inline unsigned tide_nodes_group(void)
{
    unsigned nodes = tide_machine_node_count(); /* before the shards, which were made before it */

    return nodes == 1 ? tide_shard_count : tide_shard_count / nodes;
}

unsigned tide_nodes_of_shard(unsigned shard);

/* The nth shard that a heap of home tries, group shards of the same node first. */
unsigned tide_nodes_nth_shard(unsigned home, unsigned n, unsigned group);

/* The shard that a heap born on this CPU belongs to, on the CPU's node. */
unsigned tide_arena_shard_for_cpu(unsigned cpu);

/* The memory node that an arena's shard is on; 0 with one node. */
unsigned tide_arena_node(const struct arena *arena);

/* From now on so many memory nodes, that of machine/topology.h, have shards of their
 * own.  What is in the shard for first_cpu by now counts as that CPU's node's.
 * Once, under the start lock. */
void tide_arena_use_nodes(unsigned nodes, unsigned first_cpu);

/* Binds what other arenas there are; no locks held. */
void tide_arena_bind_all(void);

#endif
