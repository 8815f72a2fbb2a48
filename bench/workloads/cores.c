/* bench/workloads/cores.c - prints a CPU of each core that this process may use
 *
 * usage: cores [FILE-DESCRIPTOR]
 *
 * By hwloc, in hwloc's order, so that neighbours share most.  Numbers are the
 * kernel's, separated by spaces.
 */
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int out = argc > 1 ? atoi(argv[1]) : 1;
    hwloc_topology_t topology;
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc(), own = hwloc_bitmap_alloc();
    hwloc_obj_t core = NULL;

    if (hwloc_topology_init(&topology) != 0 || hwloc_topology_load(topology) != 0) {
        fprintf(stderr, "cores: hwloc can't tell the machine's topology\n");
        return 1;
    }
    if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS) != 0)
        hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(topology));
    while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core))) {
        hwloc_bitmap_and(own, core->cpuset, allowed);
        if (!hwloc_bitmap_iszero(own))
            dprintf(out, "%d ", hwloc_bitmap_first(own));
    }
    dprintf(out, "\n");
    hwloc_bitmap_free(own);
    hwloc_bitmap_free(allowed);
    hwloc_topology_destroy(topology);
    return 0;
}
