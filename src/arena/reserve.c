/* arena/reserve.c - see reserve.h.  lock guards everything here but the mapping's
 * two ends, which are written once under it.
 *
 * An arena's pages are taken (tide_os_populate) before it is given out; where
 * that fails there is no reserve any more, rather than a SIGBUS later. */
#include "arena/reserve.h"

#include <string.h>
#include <unistd.h>

#include "arena/layout.h"
#include "base/fatal.h"
#include "os/huge_pages.h"

char *_Atomic tide_reserve_start, *_Atomic tide_reserve_end;

static struct tide_lock lock = TIDE_LOCK_INITIALIZER;
static bool is_tried;             /* under lock: mapping it */
static char *fresh;               /* under lock: from here on never used */
static struct arena *spares;      /* under lock: came back; linked by next */
static _Atomic size_t in_use;     /* under lock, read by walkers */
static pid_t mapper;              /* written with the ends: the process that has the promise */

static size_t wanted_bytes(void)
{
    return tide_round_up((size_t)tide_options.hugetlb, TIDE_HUGE_PAGE_BYTES);
}

static void warn_of_missing(void)
{
    struct tide_huge_page_pool pool = tide_os_huge_page_pool();
    size_t wanted = wanted_bytes() / TIDE_HUGE_PAGE_BYTES;

    if (pool.available < wanted)
        tide_base_warn("TIDEPOOL_HUGETLB=%lld takes %zu huge pages of 2 MiB and the system has "
                       "%zu to give: %zu are missing (sysctl vm.nr_hugepages=%zu; as many again "
                       "for each child that it forks); going on without",
                       (long long)tide_options.hugetlb, wanted, pool.available,
                       wanted - pool.available, pool.pages + wanted - pool.available);
    else
        tide_base_warn("TIDEPOOL_HUGETLB=%lld: the kernel refuses %zu huge pages of 2 MiB though "
                       "it has them (a limit on address space or huge pages?); going on without",
                       (long long)tide_options.hugetlb, wanted);
}

/* Under lock. */
static void map_reserve(void)
{
    char *start = tide_os_map_huge_pages(wanted_bytes(), TIDE_HUGE_PAGE_BYTES);

    is_tried = true;
    mapper = getpid();
    if (!start) {
        warn_of_missing();
        return;
    }
    fresh = start;
    tide_set_relaxed(&tide_reserve_start, start);
    tide_set_relaxed(&tide_reserve_end, start + wanted_bytes());
}

/* Under lock.  NULL: none is left. */
static struct arena *pop(bool *is_fresh)
{
    struct arena *arena = spares;

    *is_fresh = !arena && fresh < tide_relaxed(&tide_reserve_end);
    if (arena) {
        spares = arena->next;
    } else if (*is_fresh) {
        arena = (struct arena *)fresh;
        fresh += TIDE_ARENA_BYTES;
    }
    return arena;
}

/* Whether the arena's pages are this process's for good. */
static bool is_safe(struct arena *arena)
{
    bool is_told;

    return tide_os_populate(arena, TIDE_ARENA_BYTES, &is_told) ||
           (!is_told && mapper == getpid());
}

/* Nothing more is taken: in a child for which the pool has no pages, or where a
 * cpuset or cgroup has none for the parent. */
static void give_up(void)
{
    tide_lock(&lock);
    spares = NULL;
    fresh = tide_relaxed(&tide_reserve_end);
    tide_count(&in_use, -1ul);
    tide_unlock(&lock);
    if (mapper == getpid())
        tide_base_warn("TIDEPOOL_HUGETLB: the kernel doesn't give the huge pages that it had "
                       "reserved (a cpuset's or cgroup's limit?); going on without more of them");
}

static void clear_header(struct arena *arena)
{
    uint64_t dirty = tide_relaxed(&arena->dirty);

    memset(arena, 0, sizeof *arena);
    tide_set_relaxed(&arena->dirty, dirty);
}

struct arena *tide_reserve_take_slow(void)
{
    struct arena *arena;
    bool is_fresh;

    tide_lock(&lock);
    if (!is_tried)
        map_reserve();
    arena = pop(&is_fresh);
    tide_count(&in_use, arena != NULL);
    tide_unlock(&lock);
    if (arena && !is_safe(arena)) {
        give_up();
        return NULL;
    }
    if (arena && !is_fresh)
        clear_header(arena);
    return arena;
}

bool tide_reserve_put(struct arena *arena)
{
    if (!tide_reserve_has(arena))
        return false;
    tide_lock(&lock);
    arena->next = spares;
    spares = arena;
    tide_count(&in_use, -1ul);
    tide_unlock(&lock);
    return true;
}

struct tide_reserve_totals tide_reserve_totals(void)
{
    size_t bytes =
        (size_t)(tide_relaxed(&tide_reserve_end) - tide_relaxed(&tide_reserve_start));

    return (struct tide_reserve_totals){
        .bytes = bytes,
        .arenas = bytes / TIDE_ARENA_BYTES,
        .arenas_in_use = tide_relaxed(&in_use),
    };
}

void tide_reserve_before_fork(void)
{
    static _Atomic bool is_told;
    size_t bytes = tide_relaxed(&in_use) * TIDE_ARENA_BYTES;
    size_t pages = tide_round_up(bytes, TIDE_HUGE_PAGE_BYTES) / TIDE_HUGE_PAGE_BYTES;
    struct tide_huge_page_pool pool;

    if (pages == 0 || tide_relaxed(&is_told))
        return;
    pool = tide_os_huge_page_pool();
    if (pool.available >= pages || atomic_exchange(&is_told, true))
        return;
    tide_base_warn("fork: %zu huge pages of TIDEPOOL_HUGETLB are in use and the system has %zu "
                   "more: a child that goes on may be killed (SIGBUS) for want of them; sysctl "
                   "vm.nr_hugepages=%zu",
                   pages, pool.available, pool.pages + pages - pool.available);
}

struct tide_lock *tide_reserve_lock(void)
{
    return &lock;
}
