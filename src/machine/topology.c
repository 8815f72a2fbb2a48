/* machine/topology.c - see topology.h
 *
 * How many nodes there are the system tells in one small file.  Only with
 * several of them, or a synthetic topology, is the plug-in opened that asks
 * hwloc for the rest.
 */
#include "machine/topology.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/options.h"
#include "machine/cpu.h"
#include "machine/hwloc_plugin.h"
#include "os/kernel.h"

/* A static program has no loader, and needs none for this. */
#pragma weak dlopen
#pragma weak dlsym
#pragma weak dlerror

_Atomic unsigned tide_machine_nodes = 1;
_Atomic bool tide_machine_is_binding;

static bool is_synthetic;                 /* constant after the start */
static struct tide_places places;         /* constant once it is used */
static tide_machine_binder *_Atomic binder;    /* NULL: none for a machine that isn't this one */

void tide_machine_topology_start(char *const *environment)
{
    static const char synthetic[] = "HWLOC_SYNTHETIC=";

    for (; environment && *environment; environment++)
        is_synthetic |= strncmp(*environment, synthetic, sizeof synthetic - 1) == 0;
}

/* ---- Finding out ------------------------------------------------------- */

/* A list such as "0" or "0-1,4". */
static bool has_several_nodes(void)
{
    struct tide_lines lines;
    const char *list;
    bool has_several;

    if (!tide_os_lines_open(&lines, "/sys/devices/system/node/online"))
        return false;
    list = tide_os_lines_next(&lines);
    has_several = list && strpbrk(list, ",-");
    tide_os_lines_close(&lines);
    return has_several;
}

/* hwloc believes its environment, which a setuid program must not. */
bool tide_machine_topology_is_wanted(void)
{
    int saved_errno = errno;
    bool can_be = dlopen || tide_options.numa != TIDE_NUMA_AUTO; /* not in static programs */
    bool is_wanted = tide_options.numa != TIDE_NUMA_OFF && !getauxval(AT_SECURE) && can_be &&
                     (is_synthetic || has_several_nodes());

    if (is_wanted && !TIDE_HWLOC && tide_options.numa != TIDE_NUMA_AUTO)
        tide_base_warn("TIDEPOOL_NUMA has no effect: tidepool was configured --without-hwloc");
    errno = saved_errno;
    return is_wanted && TIDE_HWLOC;
}

/* The plug-in's function; NULL and *wrong when it can't be had. */
static tide_hwloc_read_function *open_plugin(const char **wrong)
{
    const char *folder = tide_options_text(tide_options.plugin_dir);
    tide_hwloc_read_function *function = NULL;
    char path[512];
    void *plugin;

    snprintf(path, sizeof path, "%s/" TIDE_HWLOC_PLUGIN, folder ? folder : TIDE_PLUGIN_DIR);
    *wrong = "a static program can't open " TIDE_HWLOC_PLUGIN;
    if (!dlopen || !dlsym || !dlerror)
        return NULL;
    plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin)
        function = (tide_hwloc_read_function *)dlsym(plugin, TIDE_HWLOC_READ);
    *wrong = function ? NULL : dlerror();
    return function;
}

unsigned tide_machine_topology_read(void)
{
    const char *wrong;
    tide_hwloc_read_function *hwloc_read = open_plugin(&wrong);

    if (hwloc_read)
        wrong = hwloc_read(&places, sizeof places);
    if (!wrong)
        return tide_options.numa == TIDE_NUMA_INTERLEAVE ? 1 : places.nodes;
    places.nodes = 1;
    tide_base_warn("the machine's memory nodes are left out of account: %s; TIDEPOOL_PLUGIN_DIR "
                   "names the folder of " TIDE_HWLOC_PLUGIN ", TIDEPOOL_NUMA=off does without it",
                   wrong);
    return 1;
}

void tide_machine_topology_use(void)
{
    if (places.nodes < 2)
        return;
    if (!tide_relaxed(&binder) && places.is_this_machine)
        tide_set_relaxed(&binder, tide_machine_bind_pages);
    tide_set_release(&tide_machine_is_binding, tide_relaxed(&binder) != NULL);
    if (tide_options.numa != TIDE_NUMA_INTERLEAVE)
        tide_set_release(&tide_machine_nodes, places.nodes);
}

/* ---- CPUs -------------------------------------------------------------- */

unsigned tide_machine_node_of_cpu(unsigned cpu)
{
    return cpu < TIDE_MOST_CPUS ? places.node_of_cpu[cpu] : 0;
}

unsigned tide_machine_rank_of_cpu(unsigned cpu)
{
    return cpu < TIDE_MOST_CPUS ? places.rank_of_cpu[cpu] : 0;
}

unsigned tide_machine_node_now(void)
{
    return tide_machine_node_count() > 1 ? tide_machine_node_of_cpu(tide_machine_cpu_now()) : 0;
}

/* ---- Binding ----------------------------------------------------------- */

static void add_node(unsigned long nodes[TIDE_NODE_WORDS], unsigned node)
{
    unsigned number = places.kernel_node[node], bits = 8 * sizeof *nodes;

    if (number < TIDE_NODE_WORDS * bits)
        nodes[number / bits] |= 1ul << number % bits;
}

bool tide_machine_bind_pages(void *start, size_t bytes, int policy,
                        const unsigned long nodes[TIDE_NODE_WORDS])
{
    /* The kernel takes one bit less than it is told. */
    return syscall(SYS_mbind, start, bytes, policy, nodes,
                   TIDE_NODE_WORDS * 8 * sizeof *nodes + 1, 0) == 0;
}

/* Containers often forbid it.  Memory that is preferred on a node comes from
 * there mostly without, as its threads touch it first. */
static void warn_of_refusal(const char *setting)
{
    static _Atomic bool is_told;

    if (!atomic_exchange(&is_told, true))
        tide_base_warn("TIDEPOOL_NUMA=%s has no effect on some memory: mbind is refused (%s)",
                       setting, strerrordesc_np(errno));
}

void tide_machine_bind_always(void *start, size_t bytes, unsigned node)
{
    unsigned long nodes[TIDE_NODE_WORDS] = { 0 };
    bool is_spread = tide_options.numa == TIDE_NUMA_INTERLEAVE;
    bool is_strict = tide_options.numa == TIDE_NUMA_BIND;
    int policy = is_spread ? MPOL_INTERLEAVE : is_strict ? MPOL_BIND : MPOL_PREFERRED;
    int saved_errno = errno;

    for (unsigned n = is_spread ? 0 : node; n < (is_spread ? places.nodes : node + 1); n++)
        add_node(nodes, n);
    if (!tide_relaxed(&binder)(start, bytes, policy, nodes) && (is_spread || is_strict))
        warn_of_refusal(is_spread ? "interleave" : "bind");
    errno = saved_errno;
}

void tide_machine_set_binder(tide_machine_binder *function)
{
    tide_set_relaxed(&binder, function);
}
