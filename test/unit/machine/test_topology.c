/* test_topology.c - machine/topology.h: nodes that hwloc finds or doesn't, and what is
 * bound to them */
#include "machine/topology.h"

#include <sys/syscall.h>

#include "../auxv.h"
#include "../nodes.h"
#include "base/options.h"

/* ---- Whether to look at all ---------------------------------------------- */

PROGRAM(a_machine_with_one_node)
{
    TIDE_REQUIRE(!tide_machine_topology_is_wanted());
    TIDE_REQUIRE(tide_machine_node_count() == 1 && tide_machine_node_now() == 0);
}

Test(topology, with_one_node_there_is_nothing_to_ask)
{
    if (has_machine_several_nodes())
        cr_skip_test("this machine has several memory nodes");
    assert_ended_well(run_program("a_machine_with_one_node", NULL, NULL));
    assert_ended_well(run_program("a_machine_with_one_node", "TIDEPOOL_NUMA=bind", NULL));
}

PROGRAM(a_machine_with_several_nodes)
{
    errno = 77;
    TIDE_REQUIRE(tide_machine_topology_is_wanted() && errno == 77);
}

Test(topology, with_several_nodes_hwloc_is_asked)
{
    need_plugin();
    if (!has_machine_several_nodes())
        cr_skip_test("this machine has one memory node");
    assert_ended_well(run_program("a_machine_with_several_nodes", NULL, NULL));
}

ON_MACHINE(topology, hwloc_is_asked_about_a_machine_that_is_drawn, 2, NULL)
{
    errno = 77;
    TIDE_REQUIRE(tide_machine_topology_is_wanted() && errno == 77);
}

ON_MACHINE(topology, a_setting_leaves_nodes_out, 2, "TIDEPOOL_NUMA=off")
{
    TIDE_REQUIRE(!tide_machine_topology_is_wanted());
}

ON_MACHINE(topology, a_setuid_program_does_not_trust_hwlocs_environment, 2, NULL)
{
    is_secure = true;
    TIDE_REQUIRE(!tide_machine_topology_is_wanted());
    is_secure = false;
    TIDE_REQUIRE(tide_machine_topology_is_wanted());
}

/* ---- What is found --------------------------------------------------------- */

ON_MACHINES(topology, each_cpu_has_the_node_that_hwloc_says, NULL)
{
    unsigned nodes = nodes_of_machine(), cpus = nodes * CPUS_PER_NODE;

    TIDE_REQUIRE(!is_loaded("libhwloc"));
    TIDE_REQUIRE(tide_machine_topology_read() == nodes);
    TIDE_REQUIRE(is_loaded("libhwloc") && is_loaded(TIDE_HWLOC_PLUGIN));
    TIDE_REQUIRE(tide_machine_node_count() == 1); /* not yet */
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        TIDE_REQUIRE(tide_machine_node_of_cpu(cpu) == cpu / CPUS_PER_NODE);
        TIDE_REQUIRE(tide_machine_rank_of_cpu(cpu) == cpu % CPUS_PER_NODE);
    }
    TIDE_REQUIRE(tide_machine_node_of_cpu(cpus) == 0 && tide_machine_node_of_cpu(TIDE_MOST_CPUS) == 0);
    TIDE_REQUIRE(tide_machine_rank_of_cpu(TIDE_MOST_CPUS) == 0);
    tide_machine_topology_use();
    TIDE_REQUIRE(tide_machine_node_count() == nodes);
}

ON_MACHINES(topology, a_thread_is_on_its_cpus_node, NULL)
{
    unsigned nodes = tide_machine_topology_read();

    take_over();
    tide_machine_topology_use();
    for (on_cpu = 0; on_cpu < nodes * CPUS_PER_NODE; on_cpu++)
        TIDE_REQUIRE(tide_machine_node_now() == on_cpu / CPUS_PER_NODE);
    TIDE_REQUIRE(cpu_looks == (nodes == 1 ? 0 : nodes * CPUS_PER_NODE));
}

/* Two nodes near the same CPUs: one of them is theirs. */
PROGRAM(nodes_without_cpus)
{
    TIDE_REQUIRE(tide_machine_topology_read() == 2);
    for (unsigned cpu = 0; cpu < 4; cpu++)
        TIDE_REQUIRE(tide_machine_node_of_cpu(cpu) == cpu / 2);
}

Test(topology, memory_that_no_cpu_is_nearest_to_is_no_node)
{
    const char *const settings[MOST_SETTINGS] = {
        "HWLOC_SYNTHETIC=package:2 [numa] [numa] core:2 pu:1", plugin_setting()
    };

    need_plugin();
    assert_ended_well(run_program_with("nodes_without_cpus", settings));
}

/* ---- A plug-in that can't be had ------------------------------------------ */

PROGRAM(no_plugin)
{
    TIDE_REQUIRE(tide_machine_topology_read() == 1);
    tide_machine_topology_use();
    TIDE_REQUIRE(tide_machine_node_count() == 1);
    take_over();
    tide_machine_bind(&on_cpu, 1, 0);
    TIDE_REQUIRE(binding_count == 0);
}

static void assert_told(const char *folder, const char *why)
{
    char setting[200], expected[1000];
    const char *const settings[MOST_SETTINGS] = { setting };
    struct outcome outcome;

    snprintf(setting, sizeof setting, "TIDEPOOL_PLUGIN_DIR=%s", folder);
    snprintf(expected, sizeof expected,
             "tidepool: the machine's memory nodes are left out of account: %s/" TIDE_HWLOC_PLUGIN
             ": %s; TIDEPOOL_PLUGIN_DIR names the folder of " TIDE_HWLOC_PLUGIN
             ", TIDEPOOL_NUMA=off does without it\n",
             folder, why);
    outcome = run_program_with("no_plugin", settings);
    assert_ended_well(outcome);
    cr_assert_str_eq(outcome.text, expected, "%s instead of %s", outcome.text, expected);
}

Test(topology, a_plugin_that_is_missing_is_told)
{
    assert_told("/no/such", "cannot open shared object file: No such file or directory");
}

Test(topology, a_plugin_that_is_no_library_is_told)
{
    char folder[] = "/tmp/tidepool-unit-XXXXXX", path[100];
    int file;

    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/" TIDE_HWLOC_PLUGIN, folder);
    file = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(file, "junk", 4), 4);
    close(file);
    assert_told(folder, "file too short");
    unlink(path);
    rmdir(folder);
}

/* ---- Binding ---------------------------------------------------------------- */

static char range[3 * 4096];

static void bind_to_each(int policy)
{
    unsigned nodes = tide_machine_topology_read();

    take_over();
    nodes = nodes_of_machine();
    tide_machine_bind(range, sizeof range, 0);
    TIDE_REQUIRE(binding_count == 0);
    tide_machine_topology_use();
    for (unsigned node = 0; node < nodes; node++) {
        errno = 77;
        tide_machine_bind(range, sizeof range, node);
        TIDE_REQUIRE(errno == 77);
        if (nodes == 1)
            continue;
        TIDE_REQUIRE(binding_count == node + 1 && bindings[node].policy == policy);
        TIDE_REQUIRE(bindings[node].start == range && bindings[node].bytes == sizeof range);
        TIDE_REQUIRE(bindings[node].nodes ==
                     (policy == MPOL_INTERLEAVE ? (1ul << nodes) - 1 : 1ul << node));
    }
    TIDE_REQUIRE(nodes > 1 || binding_count == 0);
}

ON_MACHINES(topology, memory_is_preferably_on_the_node, NULL)
{
    bind_to_each(MPOL_PREFERRED);
}

ON_MACHINES(topology, memory_is_strictly_on_the_node_if_asked, "TIDEPOOL_NUMA=bind")
{
    bind_to_each(MPOL_BIND);
}

ON_MACHINES(topology, memory_is_spread_over_the_nodes_if_asked, "TIDEPOOL_NUMA=interleave")
{
    bind_to_each(MPOL_INTERLEAVE);
    TIDE_REQUIRE(tide_machine_node_count() == 1);
}

ON_MACHINE(topology, a_machine_that_is_not_this_one_is_not_bound, 2, NULL)
{
    TIDE_REQUIRE(tide_machine_topology_read() == 2);
    tide_machine_topology_use();
    TIDE_REQUIRE(tide_machine_node_count() == 2 && !tide_machine_is_binding);
}

PROGRAM(refused)
{
    tide_machine_topology_read();
    take_over();
    is_refusing = true;
    tide_machine_topology_use();
    for (int n = 0; n < 3; n++)
        tide_machine_bind(range, sizeof range, 1);
    TIDE_REQUIRE(binding_count == 3);
}

static void assert_refusal(const char *value, const char *expected)
{
    char setting[60];
    struct outcome outcome;

    snprintf(setting, sizeof setting, "TIDEPOOL_NUMA=%s", value);
    outcome = run_on_machine("refused", 2, setting, NULL);
    assert_ended_well(outcome);
    cr_assert_str_eq(outcome.text, expected);
}

Test(topology, a_refusal_is_told_once_to_whom_it_matters)
{
    need_plugin();
    assert_refusal("auto", "");
    assert_refusal("bind", "tidepool: TIDEPOOL_NUMA=bind has no effect on some memory: mbind is "
                           "refused (Operation not permitted)\n");
    assert_refusal("interleave", "tidepool: TIDEPOOL_NUMA=interleave has no effect on some memory: "
                                 "mbind is refused (Operation not permitted)\n");
}

/* ---- The system call -------------------------------------------------------- */

static int policy_of(void *address, unsigned long nodes[TIDE_NODE_WORDS])
{
    int policy;

    TIDE_REQUIRE(syscall(SYS_get_mempolicy, &policy, nodes,
                         TIDE_NODE_WORDS * 8 * sizeof *nodes, address, MPOL_F_ADDR) == 0);
    return policy;
}

static int node_of_page(void *address)
{
    int node;

    TIDE_REQUIRE(syscall(SYS_get_mempolicy, &node, NULL, 0, address, MPOL_F_NODE | MPOL_F_ADDR) ==
                 0);
    return node;
}

/* A page for each node that the system allows. */
Test(topology, the_system_binds_pages_to_nodes)
{
    unsigned long allowed[TIDE_NODE_WORDS] = { 0 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned bound = 0;

    if (syscall(SYS_get_mempolicy, NULL, allowed, TIDE_NODE_WORDS * 8 * sizeof *allowed, NULL,
                MPOL_F_MEMS_ALLOWED) != 0)
        cr_skip_test("get_mempolicy is refused: %s", strerror(errno));
    for (unsigned node = 0; node < 64; node++) {
        unsigned long wanted[TIDE_NODE_WORDS] = { 1ul << node }, found[TIDE_NODE_WORDS] = { 0 };
        char *start = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (!(allowed[0] & wanted[0]))
            continue;
        cr_assert_neq(start, MAP_FAILED);
        if (!tide_machine_bind_pages(start, page, MPOL_BIND, wanted))
            cr_skip_test("mbind is refused: %s", strerror(errno));
        cr_assert_eq(policy_of(start, found), MPOL_BIND);
        cr_assert_eq(memcmp(found, wanted, sizeof found), 0, "node %u", node);
        *start = 1;
        cr_assert_eq(node_of_page(start), (int)node);
        bound++;
    }
    cr_assert_gt(bound, 0);
    if (bound == 1)
        cr_log_info("this machine has one memory node: only that was bound to");
}
