/* test_nodes.c - arena/nodes.h: which node a run's arena is on, for a thread that
 * seems to be on any CPU of a machine drawn by hwloc
 */
#include "arena/nodes.h"

#include "../nodes.h"
#include "arenas.h"

static unsigned nodes;

/* As the program does once it has several threads. */
static void use_nodes(unsigned first_cpu)
{
    take_over();
    nodes = tide_machine_topology_read();
    TIDE_REQUIRE(nodes == nodes_of_machine());
    tide_arena_use_nodes(nodes, first_cpu);
    TIDE_REQUIRE(tide_machine_node_count() == nodes);
}

static unsigned node_of(const struct pool *run)
{
    return tide_arena_node(tide_arena_of(run));
}

/* A heap born on that CPU. */
static struct tide_tenant tenant_on(unsigned cpu)
{
    struct tide_tenant tenant = { .arena = NULL };

    on_cpu = cpu;
    tide_arena_settle(&tenant, cpu);
    return tenant;
}

/* ---- Shards ---------------------------------------------------------------- */

static void check_shards(unsigned most_before)
{
    unsigned group = tide_nodes_group(), of_node[TIDE_MOST_NODES] = { 0 };

    TIDE_REQUIRE(group * nodes == tide_shard_count);
    TIDE_REQUIRE(tide_shard_count >= most_before && tide_shard_count < most_before + nodes);
    for (unsigned shard = 0; shard < tide_shard_count; shard++)
        of_node[tide_nodes_of_shard(shard)]++;
    for (unsigned node = 0; node < nodes; node++)
        TIDE_REQUIRE(of_node[node] == group);
    for (unsigned cpu = 0; cpu < nodes * CPUS_PER_NODE; cpu++)
        TIDE_REQUIRE(tide_nodes_of_shard(tide_arena_shard_for_cpu(cpu)) == cpu / CPUS_PER_NODE);
    TIDE_REQUIRE(tide_arena_shard_for_cpu(TIDE_MOST_CPUS) < tide_shard_count);
    tide_arena_check();
}

PROGRAM(shards)
{
    unsigned before = tide_shard_count;

    use_nodes(0);
    check_shards(before);
}

Test(nodes, each_node_has_as_many_shards)
{
    static const char *const settings[] = { "TIDEPOOL_SHARDS=1", "TIDEPOOL_SHARDS=3",
                                            "TIDEPOOL_SHARDS=16", "TIDEPOOL_SHARDS=63",
                                            "TIDEPOOL_SHARDS=64" };

    need_plugin();
    for (unsigned n = 0; n < sizeof settings / sizeof *settings; n++)
        for (unsigned of_machine = 1; of_machine <= 8; of_machine++) {
            assert_ended_well(
                run_on_machine("shards", of_machine, settings[n], "TIDEPOOL_ARENA_LOCK=arena"));
            assert_ended_well(
                run_on_machine("shards", of_machine, settings[n], "TIDEPOOL_ARENA_LOCK=global"));
        }
}

ON_MACHINE(nodes, the_cpus_of_a_node_have_shards_of_their_own, 4, "TIDEPOOL_SHARDS=8")
{
    use_nodes(0);
    for (unsigned cpu = 0; cpu < 8; cpu++)
        for (unsigned other = 0; other < cpu; other++)
            TIDE_REQUIRE(tide_arena_shard_for_cpu(cpu) != tide_arena_shard_for_cpu(other));
}

ON_MACHINE(nodes, all_shards_are_tried_those_of_the_node_first, 4, "TIDEPOOL_SHARDS=8")
{
    use_nodes(0);
    for (unsigned home = 0; home < tide_shard_count; home++) {
        uint64_t tried = 0;

        TIDE_REQUIRE(tide_nodes_nth_shard(home, 0, 2) == home);
        for (unsigned n = 0; n < tide_shard_count; n++) {
            unsigned shard = tide_nodes_nth_shard(home, n, 2);

            TIDE_REQUIRE((tide_nodes_of_shard(shard) == tide_nodes_of_shard(home)) == (n < 2));
            tried |= UINT64_C(1) << shard;
        }
        TIDE_REQUIRE(tried == 0xff);
    }
}

/* ---- Arenas ---------------------------------------------------------------- */

ON_MACHINES(nodes, a_run_is_on_the_node_of_the_cpu, NULL)
{
    use_nodes(0);
    for (unsigned cpu = 0; cpu < nodes * CPUS_PER_NODE; cpu++) {
        struct tide_tenant tenant = tenant_on(cpu);
        struct pool *first = take(&tenant, 1), *other = take_new(&tenant);

        TIDE_REQUIRE(node_of(first) == cpu / CPUS_PER_NODE);
        TIDE_REQUIRE(node_of(other) == cpu / CPUS_PER_NODE);
    }
    tide_arena_check();
}

ON_MACHINES(nodes, a_new_arena_is_bound_to_its_node, NULL)
{
    size_t grown;

    use_nodes(0);
    grown = tide_store_totals().grown;
    for (unsigned cpu = 0; cpu < nodes * CPUS_PER_NODE; cpu++) {
        struct tide_tenant tenant = tenant_on(cpu);
        struct arena *arena = tide_arena_of(take_new(&tenant));
        const struct binding *binding = binding_of(arena);

        TIDE_REQUIRE(!binding == (nodes == 1));
        if (!binding)
            continue;
        TIDE_REQUIRE(binding == binding_of((char *)arena + TIDE_ARENA_BYTES - 1));
        TIDE_REQUIRE(binding->policy == MPOL_PREFERRED);
        TIDE_REQUIRE(binding->nodes == 1ul << cpu / CPUS_PER_NODE);
    }
    TIDE_REQUIRE(binding_count == (nodes == 1 ? 0 : tide_store_totals().grown - grown));
}

ON_MACHINE(nodes, arenas_are_spread_if_asked, 4, "TIDEPOOL_NUMA=interleave")
{
    struct tide_tenant tenant = { .arena = NULL };
    unsigned before = tide_shard_count;

    take_over();
    tide_arena_use_nodes(tide_machine_topology_read(), 0);
    TIDE_REQUIRE(tide_shard_count == before && tide_machine_node_count() == 1);
    do /* what is of the earlier memory isn't bound */
        take_new(&tenant);
    while (binding_count == 0);
    TIDE_REQUIRE(bindings[0].policy == MPOL_INTERLEAVE);
    TIDE_REQUIRE(bindings[0].nodes == 0xf);
}

/* What there was before is where its thread ran, whatever the shard's number. */
ON_MACHINE(nodes, earlier_arenas_count_as_the_first_cpus_nodes, 4, "TIDEPOOL_SHARDS=3")
{
    struct tide_tenant tenant = { .arena = NULL };
    struct pool *run;

    take_over();
    on_cpu = 7; /* on node 3 */
    tide_arena_settle(&tenant, on_cpu);
    run = take_new(&tenant);
    use_nodes(7);
    TIDE_REQUIRE(node_of(run) == 3);
    TIDE_REQUIRE(binding_count == 0);
    tide_arena_bind_all();
    TIDE_REQUIRE(binding_count == tide_arena_totals().arenas);
    TIDE_REQUIRE(binding_of(tide_arena_of(run))->nodes == 1ul << 3);
    check_shards(3);
}

ON_MACHINE(nodes, a_nodes_free_memory_is_left_to_it, 2, NULL)
{
    struct tide_tenant here, there;
    struct pool *first, *second;
    size_t grown;

    use_nodes(0);
    here = tenant_on(0);
    first = take_new(&here);
    tide_arena_put_run(first);
    tide_arena_leave(&here);
    there = tenant_on(2);
    second = take_new(&there);
    TIDE_REQUIRE(second != first && node_of(first) == 0 && node_of(second) == 1);
    here = tenant_on(1); /* another shard of the same node */
    grown = tide_store_totals().grown;
    TIDE_REQUIRE(node_of(take_new(&here)) == 0);
    TIDE_REQUIRE(tide_store_totals().grown == grown || TIDE_GEOMETRY_CLASSIC);
}

/* Whichever number that has. */
ON_MACHINE(nodes, what_goes_of_earlier_memory_is_left_to_the_first_cpus_node, 2, NULL)
{
    struct tide_tenant here = { .arena = NULL }, there;
    struct arena *arena;
    size_t grown;

    take_over();
    on_cpu = 2; /* on node 1 */
    tide_arena_settle(&here, on_cpu);
    arena = take_whole_of(here.shard);
    use_nodes(2);
    keep_runs(arena, 0);
    TIDE_REQUIRE(is_in_store(arena));
    there = tenant_on(0);
    TIDE_REQUIRE(tide_arena_of(take_new(&there)) != arena);
    here = tenant_on(2);
    grown = tide_store_totals().grown;
    TIDE_REQUIRE(node_of(take_new(&here)) == 1);
    TIDE_REQUIRE(tide_store_totals().grown == grown || TIDE_GEOMETRY_CLASSIC);
}

ON_MACHINE(nodes, without_memory_another_nodes_is_taken, 2, NULL)
{
    struct tide_tenant here, there;
    struct pool *first;

    use_nodes(0);
    here = tenant_on(0);
    first = take(&here, 1);
    there = tenant_on(2);
    tide_os_fail_map_every(1);
    TIDE_REQUIRE(tide_arena_of(take(&there, 1)) == tide_arena_of(first) && node_of(first) == 0);
    tide_os_fail_map_every(0);
}

ON_MACHINE(nodes, what_another_nodes_thread_frees_goes_home, 2, NULL)
{
    struct tide_tenant here;
    struct pool *first;

    use_nodes(0);
    here = tenant_on(0);
    first = take_new(&here);
    on_cpu = 2;
    tide_arena_put_run(first);
    here = tenant_on(0);
    TIDE_REQUIRE(take(&here, 1) == first && node_of(first) == 0);
}

/* ---- Threads that move ---------------------------------------------------- */

ON_MACHINES(nodes, a_tenant_that_moved_is_followed, NULL)
{
    struct tide_tenant tenant;
    struct pool *run = NULL;
    unsigned looks, takes = 0;

    use_nodes(0);
    tenant = tenant_on(0);
    TIDE_REQUIRE(node_of(take(&tenant, 1)) == 0);
    for (unsigned node = nodes; node-- > 0; takes = 0) {
        on_cpu = node * CPUS_PER_NODE;
        do
            run = take(&tenant, 1);
        while (++takes < 16);
        TIDE_REQUIRE(node_of(run) == node && tide_arena_node(tenant.arena) == node);
    }
    looks = cpu_looks;
    for (int n = 0; n < 160; n++)
        TIDE_REQUIRE(node_of(take(&tenant, 1)) == 0);
    TIDE_REQUIRE(cpu_looks - looks == (nodes == 1 ? 0 : 10));
    tide_arena_check();
}

/* From CPU to CPU of one node: the shard stays, and so does the arena. */
ON_MACHINE(nodes, a_tenant_on_another_cpu_of_its_node_stays, 2, NULL)
{
    struct tide_tenant tenant;
    struct arena *arena;
    unsigned shard;

    use_nodes(0);
    tenant = tenant_on(2);
    shard = tenant.shard;
    arena = tide_arena_of(take(&tenant, 1));
    on_cpu = 3;
    for (int n = 0; n < 20; n++)
        TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == arena);
    TIDE_REQUIRE(tenant.shard == shard);
}

ON_MACHINE(nodes, a_heap_that_settles_elsewhere_lets_go_of_its_arena, 2, NULL)
{
    struct tide_tenant tenant;

    use_nodes(0);
    tenant = tenant_on(0);
    take(&tenant, 1);
    tide_arena_settle(&tenant, 1);
    TIDE_REQUIRE(tenant.arena && tide_nodes_of_shard(tenant.shard) == 0);
    tide_arena_settle(&tenant, 2);
    TIDE_REQUIRE(!tenant.arena && tide_nodes_of_shard(tenant.shard) == 1);
    tide_arena_check();
}
