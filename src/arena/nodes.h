/* arena/nodes.h - which shards are which memory node's
 *
 * The arena manager's inside, for manager.c and arena.c.  With several nodes
 * each has as many shards, one after the other (a group), and the arenas of a
 * shard are bound to its node.  With one node (machine/topology.h) all shards are one
 * group, and nothing here costs more than finding that out.
 */
#ifndef TIDE_ARENA_NODES_H
#define TIDE_ARENA_NODES_H

#include "arena/manager.h"
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

/* Now and then finds out where the tenant's thread runs: on another node than
 * its shard's, the tenant moves there. */
void tide_nodes_follow_slow(struct tide_tenant *tenant);

static inline void tide_nodes_follow(struct tide_tenant *tenant)
{
    if (TIDE_UNLIKELY(tide_machine_node_count() > 1))
        tide_nodes_follow_slow(tenant);
}

#endif
