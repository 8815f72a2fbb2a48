/* machine/hwloc_plugin.h - what libtidepool and libtidepool-hwloc.so tell each other
 *
 * The plug-in is a library of its own, because hwloc calls malloc and brings
 * other libraries along.  It has one function; machine/topology.c calls it once.
 */
#ifndef TIDE_MACHINE_HWLOC_PLUGIN_H
#define TIDE_MACHINE_HWLOC_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIDE_HWLOC_PLUGIN "libtidepool-hwloc.so"
#define TIDE_HWLOC_READ "tide_hwloc_read"

enum {
    TIDE_MOST_CPUS = 8192,
    TIDE_MOST_NODES = 64, /* that have CPUs; those of more share theirs */
};

/* Nodes are numbered from 0 without gaps, and only those that some CPU is
 * nearest to. */
struct tide_places {
    unsigned nodes;
    bool is_this_machine;                   /* false: drawn by HWLOC_SYNTHETIC or the like */
    uint16_t kernel_node[TIDE_MOST_NODES];  /* each node's number in the system */
    uint16_t node_of_cpu[TIDE_MOST_CPUS];   /* 0 for a CPU that there isn't */
    uint16_t rank_of_cpu[TIDE_MOST_CPUS];   /* which of its node's CPUs it is, from 0 */
};

/* Fills *places, which is all zero and of so many bytes.  NULL, or what is
 * wrong. */
typedef const char *tide_hwloc_read_function(struct tide_places *places, size_t bytes);

#endif
