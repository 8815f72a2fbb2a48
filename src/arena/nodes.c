/* arena/nodes.c - see nodes.h
 *
 * Nodes become known while the program runs.  Shards are added then, so that
 * each node has as many; they never become fewer.
 */
#include "arena/nodes.h"

#include "arena/walk.h"
#include "machine/hwloc_plugin.h"
#include "store/grow.h"

_Static_assert((int)MOST_NODES == TIDE_MOST_NODES, "each may need a shard more than there were");

static unsigned first_node; /* of shard 0; constant once nodes are used */

/* ---- Numbers ----------------------------------------------------------- */

unsigned tide_nodes_of_shard(unsigned shard)
{
    unsigned nodes = tide_machine_node_count();

    return nodes == 1 ? 0 : (shard / (tide_shard_count / nodes) + first_node) % nodes;
}

unsigned tide_nodes_nth_shard(unsigned home, unsigned n, unsigned group)
{
    unsigned first = home - home % group;

    if (n < group)
        return first + (home - first + n) % group;
    first += n;
    return first < tide_shard_count ? first : first - tide_shard_count;
}

unsigned tide_arena_shard_for_cpu(unsigned cpu)
{
    unsigned nodes = tide_machine_node_count(), group = tide_nodes_group();

    unsigned homes = (tide_relaxed(&tide_shard_homes) + nodes - 1) / nodes;

    if (nodes == 1)
        return cpu % homes;
    return (tide_machine_node_of_cpu(cpu) + nodes - first_node) % nodes * group +
           tide_machine_rank_of_cpu(cpu) % (homes < group ? homes : group);
}

unsigned tide_arena_node(const struct arena *arena)
{
    return tide_nodes_of_shard(arena->shard);
}

/* ---- The nodes become known -------------------------------------------- */

void tide_arena_use_nodes(unsigned nodes, unsigned first_cpu)
{
    unsigned before = tide_shard_count, group = (before + nodes - 1) / nodes;

    tide_shard_start(before, group * nodes);
    first_node = (tide_machine_node_of_cpu(first_cpu) + nodes - first_cpu % before / group) % nodes;
    tide_store_use_nodes(tide_machine_node_of_cpu(first_cpu));
    tide_machine_topology_use();
}

void tide_arena_bind_all(void)
{
    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        if (!tide_reserve_has(arena))
            tide_machine_bind(arena, TIDE_ARENA_BYTES, tide_arena_node(arena));
}
