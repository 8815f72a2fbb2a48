/* test_nodes.c - upkeep/nodes.h: when a program finds out about nodes, and where its
 * blocks are then
 */
#include "upkeep/nodes.h"

#include "../nodes.h"
#include "../heap/heaps.h"
#include "arena/nodes.h"
#include "os/thread.h"
#include "store/store.h"

static uint32_t state(void)
{
    return atomic_load(&tide_nodes_state);
}

/* Some blocks, through the slow path. */
static void allocate_some(void)
{
    void *blocks[200];

    for (int n = 0; n < 200; n++)
        blocks[n] = tide_malloc(opaque(1000));
    for (int n = 0; n < 200; n++)
        tide_free(blocks[n]);
}

static void wait_until_settled(void)
{
    while (state() == TIDE_NODES_ASKED)
        tide_nodes_wait();
    TIDE_REQUIRE(state() == TIDE_NODES_SETTLED);
}

/* A thread's job: its CPU is what the argument points to. */
static void allocate_on(void *cpu)
{
    on_cpu = *(unsigned *)cpu;
    allocate_some();
}

/* A second heap, and what comes of it; its thread lives on. */
static void become_many(void)
{
    static struct peer second;
    static unsigned cpu;

    allocate_some();
    TIDE_REQUIRE(state() == TIDE_NODES_UNKNOWN);
    peer_start(&second);
    peer_do(&second, allocate_on, &cpu);
    wait_until_settled();
}

/* ---- When it is looked ---------------------------------------------------- */

ON_MACHINE(nodes, one_thread_does_not_ask, 2, NULL)
{
    for (int n = 0; n < 10; n++)
        TIDE_REQUIRE(tide_malloc(opaque(3 << 20)));
    allocate_some();
    TIDE_REQUIRE(state() == TIDE_NODES_UNKNOWN && !is_loaded("libhwloc"));
}

ON_MACHINES(nodes, a_second_thread_asks, NULL)
{
    take_over();
    become_many();
    TIDE_REQUIRE(is_loaded("libhwloc") && tide_machine_node_count() == nodes_of_machine());
    tide_check_all();
}

ON_MACHINE(nodes, one_thread_asks_if_it_is_told_to, 4, "TIDEPOOL_NUMA=interleave")
{
    take_over();
    allocate_some();
    TIDE_REQUIRE(state() == TIDE_NODES_UNKNOWN);
    TIDE_REQUIRE(tide_malloc(opaque(TIDE_NODES_BYTES))); /* more than small programs have */
    allocate_some();
    wait_until_settled();
    TIDE_REQUIRE(is_loaded("libhwloc") && tide_machine_node_count() == 1);
    TIDE_REQUIRE(tide_malloc(opaque(TIDE_ARENA_BYTES)));
    TIDE_REQUIRE(bindings[binding_count - 1].policy == MPOL_INTERLEAVE);
    TIDE_REQUIRE(bindings[binding_count - 1].nodes == 0xf);
}

ON_MACHINE(nodes, nobody_asks_if_told_not_to, 4, "TIDEPOOL_NUMA=off")
{
    unsigned cpu = 3;

    TIDE_REQUIRE(state() == TIDE_NODES_SETTLED);
    allocate_some();
    run_thread(allocate_on, &cpu);
    TIDE_REQUIRE(!is_loaded("libhwloc") && tide_machine_node_count() == 1);
}

PROGRAM(on_this_machine)
{
    become_many();
    TIDE_REQUIRE(!is_loaded("libhwloc") && !is_loaded(TIDE_HWLOC_PLUGIN));
    TIDE_REQUIRE(tide_machine_node_count() == 1 && !tide_machine_is_binding);
}

Test(nodes, a_machine_with_one_node_never_loads_hwloc)
{
    if (has_machine_several_nodes())
        cr_skip_test("this machine has several memory nodes");
    assert_ended_well(run_program("on_this_machine", plugin_setting(), NULL));
    assert_ended_well(run_program("on_this_machine", plugin_setting(), "TIDEPOOL_NUMA=auto"));
}

PROGRAM(on_this_machine_of_several)
{
    become_many();
    TIDE_REQUIRE(is_loaded("libhwloc") && tide_machine_node_count() > 1 && tide_machine_is_binding);
}

Test(nodes, a_machine_with_several_nodes_is_found_out_about)
{
    need_plugin();
    if (!has_machine_several_nodes())
        cr_skip_test("this machine has one memory node");
    assert_ended_well(run_program("on_this_machine_of_several", plugin_setting(), NULL));
}

/* ---- Without the plug-in --------------------------------------------------- */

PROGRAM(missing_and_used)
{
    unsigned cpu = 3;

    take_over();
    become_many();
    TIDE_REQUIRE(tide_machine_node_count() == 1 && binding_count == 0);
    for (int n = 0; n < 10; n++)
        run_thread(allocate_on, &cpu);
    tide_free(tide_malloc(opaque(3 << 20)));
    tide_check_all();
}

Test(nodes, without_the_plugin_there_is_one_set_of_arenas_and_one_warning)
{
    const char *const settings[MOST_SETTINGS] = { "HWLOC_SYNTHETIC=node:2 core:2 pu:1",
                                                  "TIDEPOOL_PLUGIN_DIR=/no/such" };
    struct outcome outcome;
    const char *line;

    need_plugin();
    outcome = run_program_with("missing_and_used", settings);
    assert_ended_well(outcome);
    line = strchr(outcome.text, '\n');
    cr_assert(line && line[1] == '\0', "one line: %s", outcome.text);
    cr_assert(strstr(outcome.text, "/no/such/libtidepool-hwloc.so: cannot open"), "%s",
              outcome.text);
}

/* ---- Where blocks are ------------------------------------------------------ */

/* The node of a large block. */
static unsigned node_of(const void *block)
{
    return tide_store_block(block)->home;
}

static bool is_bound_to(const void *address, unsigned node)
{
    const struct binding *binding = binding_of(address);

    return binding && binding->nodes == 1ul << node;
}

static void check_blocks(void *cpu)
{
    unsigned node;
    void *small, *large, *larger;

    on_cpu = *(unsigned *)cpu;
    node = tide_machine_node_count() == 1 ? 0 : on_cpu / CPUS_PER_NODE;
    small = tide_malloc(opaque(100));
    large = tide_malloc(opaque(TIDE_ARENA_BYTES / 2));
    larger = tide_malloc(opaque(2 * TIDE_ARENA_BYTES));
    TIDE_REQUIRE(tide_arena_node(tide_arena_of(small)) == node);
    TIDE_REQUIRE(node_of(large) == node && node_of(larger) == node);
    if (tide_machine_node_count() > 1) {
        TIDE_REQUIRE(is_bound_to(small, node));
        for (size_t at = 0; at < 2 * TIDE_ARENA_BYTES; at += TIDE_SLOT_BYTES)
            TIDE_REQUIRE(is_bound_to((char *)larger + at, node));
    }
    tide_free(small);
    tide_free(large);
    tide_free(larger);
}

/* One thread for each CPU, all at a time, so that no heap is another's before. */
static void check_all_cpus(void)
{
    static struct peer peers[8 * CPUS_PER_NODE];
    static unsigned cpus[8 * CPUS_PER_NODE];
    unsigned count = tide_machine_node_count() * CPUS_PER_NODE;

    for (unsigned cpu = 0; cpu < count; cpu++) {
        cpus[cpu] = cpu;
        peer_start(&peers[cpu]);
        peer_do(&peers[cpu], check_blocks, &cpus[cpu]);
    }
    for (unsigned cpu = 0; cpu < count; cpu++)
        peer_end(&peers[cpu]);
}

ON_MACHINES(nodes, a_threads_blocks_are_on_the_node_of_its_cpu, "TIDEPOOL_DEPOT=0")
{
    take_over();
    become_many();
    if (nodes_of_machine() <= 2) /* with more heaps the common one gives first blocks */
        check_all_cpus();
    else
        for (unsigned cpu = 0; cpu < nodes_of_machine() * CPUS_PER_NODE; cpu += CPUS_PER_NODE)
            run_thread(check_blocks, &cpu);
    tide_check_all();
}

ON_MACHINE(nodes, a_freed_large_block_serves_its_own_node, 2, NULL)
{
    void *first, *second;
    size_t grown;

    leave_maintenance_out();
    take_over();
    become_many();
    on_cpu = 0;
    first = tide_malloc(opaque(8 << 20));
    tide_free(first);
    on_cpu = 2;
    second = tide_malloc(opaque(8 << 20));
    TIDE_REQUIRE(second != first && node_of(second) == 1);
    on_cpu = 1;
    grown = tide_store_totals().grown;
    TIDE_REQUIRE(node_of(tide_malloc(opaque(8 << 20))) == 0);
    TIDE_REQUIRE(tide_store_totals().grown == grown || TIDE_GEOMETRY_CLASSIC);
}

ON_MACHINE(nodes, a_large_block_that_grows_stays_on_its_node, 2, NULL)
{
    void *block;

    take_over();
    become_many();
    on_cpu = 2;
    block = tide_malloc(opaque(8 << 20));
    on_cpu = 0;
    for (size_t size = 16; size <= 128; size *= 2) {
        block = tide_realloc(block, opaque(size << 20));
        TIDE_REQUIRE(block && node_of(block) == 1);
    }
}

/* The heap of a thread that moved takes its next pools where the thread is. */
ON_MACHINE(nodes, a_thread_that_moved_is_followed, 4, NULL)
{
    void *last = NULL;

    take_over();
    become_many();
    for (unsigned cpu = 6; cpu > 0; cpu -= CPUS_PER_NODE) {
        on_cpu = cpu;
        for (int n = 0; n < 400; n++)
            last = tide_malloc(opaque(TIDE_POOLED_MAX)); /* pools of a few blocks */
        TIDE_REQUIRE(tide_arena_node(tide_arena_of(last)) == cpu / CPUS_PER_NODE);
    }
    tide_check_all();
}

/* ---- Fork ------------------------------------------------------------------ */

static void check_in_child(void)
{
    unsigned cpu = 2;

    TIDE_REQUIRE(tide_machine_node_count() == 2);
    TIDE_REQUIRE(TIDE_THREAD_SANITIZER || state() == TIDE_NODES_SETTLED);
    allocate_some();
    on_cpu = 2;
    TIDE_REQUIRE(node_of(tide_malloc(opaque(5 << 20))) == 1);
    on_cpu = 0;
    run_thread(check_blocks, &cpu);
    tide_check_all();
}

ON_MACHINE(nodes, a_child_knows_what_its_parent_knew, 2, NULL)
{
    struct outcome outcome;

    take_over();
    become_many();
    outcome = run_apart(check_in_child);
    TIDE_REQUIRE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
}

/* The child of a fork in which a thread is asking has one set of arenas. */
static void check_without(void)
{
    unsigned cpu = 2;

    TIDE_REQUIRE(state() == TIDE_NODES_SETTLED && tide_machine_node_count() == 1);
    allocate_some();
    run_thread(allocate_on, &cpu);
    TIDE_REQUIRE(state() == TIDE_NODES_SETTLED && tide_machine_node_count() == 1);
    tide_check_all();
}

static void *take_long(void *unused)
{
    for (;;)
        pause();
    return unused;
}

ON_MACHINE(nodes, a_child_does_not_ask_what_its_parent_was_asking, 2, NULL)
{
    static const struct tide_os_job job = { take_long, "takes-long", (size_t)256 << 10 };
    struct outcome outcome;

    allocate_some();
    atomic_store(&tide_nodes_state, TIDE_NODES_ASKED); /* by that thread */
    TIDE_REQUIRE(tide_os_start_thread(&job));
    outcome = run_apart(check_without);
    TIDE_REQUIRE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    TIDE_REQUIRE(state() == TIDE_NODES_ASKED);
}

/* Forks while the thread that asks is at it: the fork waits for it. */
ON_MACHINE(nodes, a_fork_waits_for_the_answer, 2, NULL)
{
    static struct peer second;
    static unsigned cpu;
    struct outcome outcome;

    take_over();
    allocate_some();
    peer_start(&second);
    peer_do(&second, allocate_on, &cpu);
    TIDE_REQUIRE(state() == TIDE_NODES_ASKED || state() == TIDE_NODES_SETTLED);
    outcome = run_apart(allocate_some);
    TIDE_REQUIRE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    wait_until_settled();
    TIDE_REQUIRE(tide_machine_node_count() == 2);
}

static void be_many_in_child(void)
{
    become_many();
    TIDE_REQUIRE(tide_machine_node_count() == 2 && is_loaded("libhwloc"));
}

ON_MACHINE(nodes, a_child_asks_for_itself, 2, NULL)
{
    struct outcome outcome;

    take_over();
    allocate_some();
    outcome = run_apart(be_many_in_child);
    TIDE_REQUIRE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    TIDE_REQUIRE(state() == TIDE_NODES_UNKNOWN && !is_loaded("libhwloc"));
}
