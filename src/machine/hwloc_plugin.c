/* machine/hwloc_plugin.c - libtidepool-hwloc.so: the machine's memory nodes, by hwloc
 *
 * Knows nothing of the rest of tidepool but hwloc_plugin.h.  What it asks hwloc
 * for is no more than nodes and CPUs: the parts of hwloc that would look at
 * devices, or bind the calling thread to each CPU in turn, are left out.
 */
#include "machine/hwloc_plugin.h"

#include <hwloc.h>

__attribute__((visibility("default"))) tide_hwloc_read_function tide_hwloc_read;

/* All types of objects stay: a node whose parent was filtered out would seem to
 * be near all CPUs. */
static int load(hwloc_topology_t topology)
{
    static const char *const unneeded[] = { "x86", "pci", "opencl", "cuda", "nvml", "rsmi",
                                            "levelzero", "gl" };

    for (size_t n = 0; n < sizeof unneeded / sizeof *unneeded; n++)
        hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
                                      unneeded[n]); /* fails for one that there isn't */
    return hwloc_topology_load(topology);
}

/* Of nodes near the same CPUs, such as fast and large memory, the first has
 * them.  Whether the node has any. */
static bool take_cpus(struct tide_places *places, hwloc_obj_t node, hwloc_bitmap_t rest)
{
    unsigned number = places->nodes % TIDE_MOST_NODES;
    uint16_t rank = 0;
    unsigned cpu;

    hwloc_bitmap_foreach_begin(cpu, node->cpuset)
        if (cpu < TIDE_MOST_CPUS && hwloc_bitmap_isset(rest, cpu)) {
            hwloc_bitmap_clr(rest, cpu);
            places->node_of_cpu[cpu] = (uint16_t)number;
            places->rank_of_cpu[cpu] = rank++;
        }
    hwloc_bitmap_foreach_end();
    if (rank > 0 && places->nodes < TIDE_MOST_NODES)
        places->kernel_node[number] = (uint16_t)node->os_index;
    return rank > 0;
}

static const char *read_nodes(struct tide_places *places, hwloc_topology_t topology)
{
    hwloc_bitmap_t rest = hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(topology));
    hwloc_obj_t node = NULL;

    if (!rest)
        return "no memory for hwloc";
    while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)))
        places->nodes += take_cpus(places, node, rest);
    hwloc_bitmap_free(rest);
    if (places->nodes > TIDE_MOST_NODES)
        places->nodes = TIDE_MOST_NODES;
    places->is_this_machine = hwloc_topology_is_thissystem(topology);
    return places->nodes > 0 ? NULL : "hwloc finds no memory node that has CPUs";
}

const char *tide_hwloc_read(struct tide_places *places, size_t bytes)
{
    hwloc_topology_t topology;
    const char *wrong;

    if (bytes != sizeof *places)
        return TIDE_HWLOC_PLUGIN " is of another version of tidepool";
    if (hwloc_get_api_version() >> 16 != HWLOC_API_VERSION >> 16)
        return "hwloc is of another version than the plug-in was built for";
    if (hwloc_topology_init(&topology) != 0)
        return "no memory for hwloc";
    wrong = load(topology) != 0 ? "hwloc can't tell the machine's topology"
                                : read_nodes(places, topology);
    hwloc_topology_destroy(topology);
    return wrong;
}
