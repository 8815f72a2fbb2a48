/* api/glibc.c - usable size, glibc's control and statistics, and the few names
 * of tidepool's own that go with them */
#include <tidepool/malloc.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "api/fork.h"
#include "api/override.h"
#include "api/slow.h"
#include "arena/address_map.h"
#include "base/fatal.h"
#include "base/options.h"
#include "check/inspect.h"
#include "large/cache.h"
#include "observe/stats.h"
#include "os/barrier.h"
#include "upkeep/idle.h"
#include "upkeep/look.h"
#include "upkeep/reclaim.h"
#include "upkeep/thread.h"

size_t tide_usable_size(const void *block)
{
    return block ? tide_check_find(block, "malloc_usable_size").bytes : 0;
}

size_t tide_good_size(size_t size)
{
    return tide_api_good_size(size);
}

bool tide_owns(const void *address)
{
    struct tide_range range;
    bool is_passing, owns;

    if (tide_is_in_arena(address))
        return true;
    is_passing = tide_fork_pass_in();
    owns = tide_store_find(address, &range);
    if (is_passing)
        tide_fork_pass_out();
    return owns;
}

tide_pressure_handler *tide_on_pressure(tide_pressure_handler *handler, void *argument)
{
    bool is_passing = tide_fork_pass_in();
    tide_pressure_handler *before = tide_reclaim_set_handler(handler, argument);

    if (is_passing)
        tide_fork_pass_out();
    return before;
}

const char *tide_version(void)
{
    return TIDE_VERSION;
}

static size_t purge(size_t keep)
{
    bool is_passing = tide_fork_pass_in();
    size_t returned = tide_upkeep_purge(keep, false);

    if (is_passing)
        tide_fork_pass_out();
    return returned;
}

int tide_malloc_trim(size_t pad)
{
    return purge(pad) > 0;
}

size_t tide_purge(void)
{
    return purge(0);
}

size_t tide_thread_idle(void)
{
    tide_fork_check();
    tide_large_cache_flush_own();
    return tide_idle_give_back_own();
}

static void gather(struct stats *stats)
{
    bool is_passing = tide_fork_pass_in();

    tide_stats_gather(stats);
    if (is_passing)
        tide_fork_pass_out();
}

struct tide_mallinfo2 tide_mallinfo2(void)
{
    struct tide_mallinfo2 info = { .arena = 0 };
    struct stats stats;

    gather(&stats);
    info.arena = stats.arena_bytes;
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        info.ordblks += stats.classes[c].blocks - stats.classes[c].allocated;
    info.hblks = stats.store.blocks;
    info.hblkhd = stats.store.block_bytes;
    info.uordblks = stats.pooled_bytes;
    if (info.uordblks > info.arena) /* arenas came or went between the two counts */
        info.uordblks = info.arena;
    info.fordblks = info.arena - info.uordblks;
    info.keepcost = stats.returnable_bytes;
    return info;
}

static int to_int(size_t value)
{
    return value < INT_MAX ? (int)value : INT_MAX;
}

struct tide_mallinfo tide_mallinfo(void)
{
    struct tide_mallinfo2 info = tide_mallinfo2();

    return (struct tide_mallinfo){
        .arena = to_int(info.arena),
        .ordblks = to_int(info.ordblks),
        .hblks = to_int(info.hblks),
        .hblkhd = to_int(info.hblkhd),
        .uordblks = to_int(info.uordblks),
        .fordblks = to_int(info.fordblks),
        .keepcost = to_int(info.keepcost),
    };
}

/* ---- Statistics as text ------------------------------------------------ */

static void print_classes(const struct stats *stats)
{
    tide_base_print("%10s %8s %8s %12s %12s %6s\n", "block", "pools", "full", "blocks", "allocated",
                    "in use");
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        const struct class_stats *line = &stats->classes[c];

        if (line->pools != 0)
            tide_base_print("%10u %8zu %8zu %12zu %12zu %5zu%%\n", tide_class_bytes[c], line->pools,
                            line->full_pools, line->blocks, line->allocated,
                            line->allocated * 100 / line->blocks);
    }
}

void tide_malloc_stats(void)
{
    struct stats stats;

    gather(&stats);
    tide_base_print("tidepool " TIDE_VERSION " statistics (" TIDE_GEOMETRY_NAME
                    " geometry, arena_lock=%s)\n",
                    tide_options.arena_lock == TIDE_ARENA_LOCK_GLOBAL ? "global" : "arena");
    print_classes(&stats);
    tide_base_print("large blocks    %zu with %zu bytes\n", stats.store.blocks,
                    stats.store.block_bytes);
    tide_base_print("free ranges     %zu dirty with %zu bytes; %zu purged with %zu bytes; asked the "
                    "system %zu times\n",
                    stats.store.dirty_ranges, stats.store.dirty_bytes, stats.store.purged_ranges,
                    stats.store.purged_bytes, stats.store.grown);
    tide_base_print("arenas          %zu of %zu KiB; created %zu, released %zu; %zu slots free, "
                    "%zu empty pools stocked\n",
                    stats.arenas.arenas, TIDE_ARENA_BYTES / 1024, stats.arenas.created,
                    stats.arenas.released, stats.free_slots, stats.empty_pools);
    tide_base_print("huge pages      %zu transparent ones in arenas; reserve %zu bytes, %zu of %zu "
                    "arenas in use\n",
                    stats.huge_arenas, stats.reserve.bytes, stats.reserve.arenas_in_use,
                    stats.reserve.arenas);
    if (stats.arenas.waiting != 0)
        tide_base_print("walked          %zu released arenas are unmapped when nobody reads their "
                        "headers any more\n",
                        stats.arenas.waiting);
    tide_base_print("allocated       %zu bytes; free but resident at most %zu bytes\n",
                    stats.pooled_bytes + stats.store.block_bytes,
                    stats.returnable_bytes);
    tide_base_print("heaps           %zu, of which %zu without a thread; records %zu bytes\n",
                    stats.heaps, stats.orphans, stats.record_bytes);
    tide_base_print("maintenance     by %s; heaps tidied for their threads %zu times%s\n",
                    tide_upkeep_name(), tide_relaxed(&tide_idle_taken),
                    tide_os_has_barrier() ? "" : ", and not any more: membarrier is refused");
    for (enum lock_kind kind = 0; kind < LOCK_KINDS; kind++)
        tide_base_print("lock %-10s taken %" PRIu64 " times, waited for %" PRIu64 " times, %" PRIu64
                        " us in all\n",
                        tide_stats_lock_name(kind), tide_relaxed(&stats.locks[kind].acquired),
                        (uint64_t)tide_relaxed(&stats.locks[kind].contended),
                        tide_relaxed(&stats.locks[kind].waited_ns) / 1000);
}

int tide_malloc_info(int options, FILE *stream)
{
    struct stats stats;

    if (options != 0 || !stream) {
        errno = EINVAL;
        return -1;
    }
    gather(&stats);
    fprintf(stream, "<malloc version=\"tidepool-" TIDE_VERSION "\">\n<sizes>\n");
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        const struct class_stats *line = &stats.classes[c];

        if (line->pools != 0)
            fprintf(stream,
                    "<size block=\"%u\" pools=\"%zu\" full=\"%zu\" blocks=\"%zu\" "
                    "allocated=\"%zu\"/>\n",
                    tide_class_bytes[c], line->pools, line->full_pools, line->blocks,
                    line->allocated);
    }
    fprintf(stream, "</sizes>\n<large count=\"%zu\" bytes=\"%zu\"/>\n", stats.store.blocks,
            stats.store.block_bytes);
    fprintf(stream, "<free dirty=\"%zu\" purged=\"%zu\"/>\n", stats.store.dirty_bytes,
            stats.store.purged_bytes);
    fprintf(stream, "<arenas count=\"%zu\" bytes=\"%zu\" created=\"%zu\" released=\"%zu\"/>\n",
            stats.arenas.arenas, stats.arena_bytes, stats.arenas.created, stats.arenas.released);
    fprintf(stream,
            "<huge_pages transparent=\"%zu\" reserve_bytes=\"%zu\" reserve_arenas=\"%zu\" "
            "reserve_arenas_in_use=\"%zu\"/>\n",
            stats.huge_arenas, stats.reserve.bytes, stats.reserve.arenas,
            stats.reserve.arenas_in_use);
    for (enum lock_kind kind = 0; kind < LOCK_KINDS; kind++)
        fprintf(stream, "<lock name=\"%s\" taken=\"%" PRIu64 "\" waited=\"%" PRIu64 "\"/>\n",
                tide_stats_lock_name(kind), tide_relaxed(&stats.locks[kind].acquired),
                (uint64_t)tide_relaxed(&stats.locks[kind].contended));
    fprintf(stream, "<heaps count=\"%zu\" orphans=\"%zu\"/>\n</malloc>\n", stats.heaps,
            stats.orphans);
    return fflush(stream) == 0 && !ferror(stream) ? 0 : -1;
}

TIDE_ALSO_NAMED(malloc_usable_size, tide_usable_size)
TIDE_ALSO_NAMED(malloc_trim, tide_malloc_trim)
TIDE_ALSO_NAMED(mallinfo, tide_mallinfo)
TIDE_ALSO_NAMED(mallinfo2, tide_mallinfo2)
TIDE_ALSO_NAMED(malloc_stats, tide_malloc_stats)
TIDE_ALSO_NAMED(malloc_info, tide_malloc_info)
