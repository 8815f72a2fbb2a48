/* test/unit/nodes.h - for the tests of memory nodes: machines drawn by hwloc, a
 * CPU for each thread, and what was bound
 *
 * ON_MACHINE(suite, name, nodes, setting) is a test that runs in a new process
 * on such a machine, each of whose nodes has CPUS_PER_NODE CPUs; CPU n is on
 * node n / CPUS_PER_NODE.
 */
#ifndef TIDE_TEST_NODES_H
#define TIDE_TEST_NODES_H

#include <errno.h>
#include <linux/mempolicy.h>

#include "base/lock.h"
#include "machine/cpu.h"
#include "machine/hwloc_plugin.h"
#include "machine/topology.h"
#include "unit.h"

enum { CPUS_PER_NODE = 2 };

/* Under make check; else it is in the folder one works in. */
MAY_BE_UNUSED static const char *plugin_setting(void)
{
    static char setting[300];
    const char *build = getenv("TIDE_BUILDDIR");

    snprintf(setting, sizeof setting, "TIDEPOOL_PLUGIN_DIR=%s/.libs", build ? build : ".");
    return setting;
}

MAY_BE_UNUSED static struct outcome run_on_machine(const char *name, unsigned nodes,
                                                   const char *setting, const char *another)
{
    char machine[60];
    const char *const settings[MOST_SETTINGS] = { machine, plugin_setting(), setting ? setting : another,
                                                  setting ? another : NULL };

    snprintf(machine, sizeof machine, "HWLOC_SYNTHETIC=node:%u core:%d pu:1", nodes,
             CPUS_PER_NODE);
    return run_program_with(name, settings);
}

MAY_BE_UNUSED static void need_plugin(void)
{
    if (!TIDE_HWLOC)
        cr_skip_test("configured --without-hwloc");
}

#define ON_MACHINE(suite, name, nodes, setting)                                               \
    Test(suite, name)                                                                         \
    {                                                                                         \
        need_plugin();                                                                        \
        assert_ended_well(run_on_machine(#name, nodes, setting, NULL));                       \
    }                                                                                         \
    PROGRAM(name)

/* The same on each machine of 1, 2, 4 and 8 nodes. */
#define ON_MACHINES(suite, name, setting)                                                     \
    Test(suite, name)                                                                         \
    {                                                                                         \
        need_plugin();                                                                        \
        for (unsigned drawn = 1; drawn <= 8; drawn *= 2)                                      \
            assert_ended_well(run_on_machine(#name, drawn, setting, NULL));                   \
    }                                                                                         \
    PROGRAM(name)

MAY_BE_UNUSED static unsigned nodes_of_machine(void)
{
    unsigned nodes;

    TIDE_REQUIRE(sscanf(getenv("HWLOC_SYNTHETIC"), "node:%u", &nodes) == 1);
    return nodes;
}

/* ---- The CPU that a thread seems to be on -------------------------------- */

MAY_BE_UNUSED static __thread unsigned on_cpu;
MAY_BE_UNUSED static __thread unsigned cpu_looks;

MAY_BE_UNUSED static unsigned fake_cpu(void)
{
    cpu_looks++;
    return on_cpu;
}

/* ---- What was bound ------------------------------------------------------ */

struct binding {
    void *start;
    size_t bytes;
    int policy;
    unsigned long nodes; /* a bit for each of the first */
};

enum { MOST_BINDINGS = 1024 };

MAY_BE_UNUSED static struct binding bindings[MOST_BINDINGS];
MAY_BE_UNUSED static size_t binding_count;
MAY_BE_UNUSED static bool is_refusing;
MAY_BE_UNUSED static struct tide_lock bindings_lock = TIDE_LOCK_INITIALIZER;

MAY_BE_UNUSED static bool note_binding(void *start, size_t bytes, int policy,
                                       const unsigned long nodes[TIDE_NODE_WORDS])
{
    tide_lock(&bindings_lock);
    TIDE_REQUIRE(binding_count < MOST_BINDINGS);
    bindings[binding_count++] = (struct binding){ start, bytes, policy, nodes[0] };
    tide_unlock(&bindings_lock);
    errno = EPERM;
    return !is_refusing;
}

/* The last binding that the address lies in; NULL: none. */
MAY_BE_UNUSED static const struct binding *binding_of(const void *address)
{
    for (size_t n = binding_count; n-- > 0;)
        if ((size_t)((const char *)address - (char *)bindings[n].start) < bindings[n].bytes)
            return &bindings[n];
    return NULL;
}

MAY_BE_UNUSED static void take_over(void)
{
    tide_machine_fake_cpu(fake_cpu);
    tide_machine_set_binder(note_binding);
}

/* ---- What is loaded ------------------------------------------------------ */

MAY_BE_UNUSED static bool is_loaded(const char *library)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    bool is_found = false;

    TIDE_REQUIRE(maps);
    while (!is_found && fgets(line, sizeof line, maps))
        is_found = strstr(line, library) != NULL;
    fclose(maps);
    return is_found;
}

/* How many nodes this machine really has, by the kernel. */
MAY_BE_UNUSED static bool has_machine_several_nodes(void)
{
    char list[256] = "";
    FILE *online = fopen("/sys/devices/system/node/online", "r");

    if (!online)
        return false;
    TIDE_REQUIRE(fgets(list, sizeof list, online));
    fclose(online);
    return strpbrk(list, ",-") != NULL;
}

#endif
