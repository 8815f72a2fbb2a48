/* test_purge.c - tide_purge and tide_thread_idle: what they give back, of which threads */
#include <tidepool/malloc.h>

#include <errno.h>

#include "../heap/heaps.h"
#include "os/barrier.h"
#include "os/map.h"

TestSuite(purge, .init = leave_maintenance_out);

/* A size that fills pages in each geometry. */
enum { PURGED = 40, PAGED = 1024, THIN_POOLS = 20 };

static void *purged[PURGED], *thin[THIN_POOLS][MOST_BLOCKS];

static size_t rss(void)
{
    char line[100];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    TIDE_REQUIRE(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "Rss: %zu kB", &kib) != 1)
        ;
    fclose(file);
    return kib * 1024;
}

enum { OTHER_PAGES = 64 << 10 }; /* bytes of code and of what asking allocates */

IN_NEW_THREAD(purge, purge_tells_how_much_it_returned, NULL)
{
    size_t before, after, returned, mapped;

    leave_maintenance_out();
    tide_free(allocate(TIDE_ARENA_BYTES / 2 + 1));
    TIDE_REQUIRE(rss() > 0); /* what reading it allocates is there */
    tide_purge();
    for (int n = 0; n < PURGED; n++)
        memset(purged[n] = allocate(TIDE_SLOT_BYTES), 1, TIDE_SLOT_BYTES);
    free_all(purged, PURGED);
    mapped = tide_mallinfo2().arena + tide_store_totals().dirty_bytes; /* with its code */
    before = rss();
    errno = ERANGE;
    returned = tide_purge();
    TIDE_REQUIRE(errno == ERANGE);
    after = rss();
    TIDE_REQUIRE(returned >= PURGED * TIDE_SLOT_BYTES && returned <= mapped);
    TIDE_REQUIRE(before + OTHER_PAGES >= after + PURGED * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(before <= after + returned + OTHER_PAGES);
    tide_purge();
    TIDE_REQUIRE(tide_purge() == 0);
}

/* Pools that have one block each, which tells whose they are. */
static void make_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < THIN_POOLS; n++) {
        fill_pool(PAGED, thin[n]);
        for (uint32_t k = 0; k < capacity_of(PAGED); k++)
            memset(thin[n][k], n + 1, PAGED);
    }
    for (int n = 0; n < THIN_POOLS; n++)
        free_all(thin[n] + 1, capacity_of(PAGED) - 1);
}

static const size_t thin_bytes = (TIDE_SLOT_BYTES > 4096 ? TIDE_SLOT_BYTES : 4 * TIDE_SLOT_BYTES);

static void check_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < THIN_POOLS; n++) {
        for (int k = 0; k < PAGED; k++)
            TIDE_REQUIRE(((char *)thin[n][0])[k] == n + 1);
        tide_free(thin[n][0]);
    }
}

/* As many blocks, wherever they come from. */
static void use_as_much(void *unused)
{
    void **all = thin[0];
    size_t count = THIN_POOLS * capacity_of(PAGED);

    (void)unused;
    for (size_t n = 0; n < count; n++)
        memset(all[n] = allocate(PAGED), (int)n % 255 + 1, PAGED);
    for (size_t n = 0; n < count; n++) {
        for (int k = 0; k < PAGED; k++)
            TIDE_REQUIRE(((unsigned char *)all[n])[k] == n % 255 + 1);
        tide_free(all[n]);
    }
}

static size_t count_resident_ends(void)
{
    size_t count = 0;

    for (int n = 0; n < THIN_POOLS; n++)
        count += is_resident(thin[n][capacity_of(PAGED) - 1]);
    return count;
}

static void check_purge_of_sleeper(size_t (*purge)(void))
{
    static struct peer peer;
    struct heap *heap;

    peer_start(&peer);
    peer_do(&peer, get_heap, &heap);
    peer_do(&peer, make_thin_pools, NULL);
    TIDE_REQUIRE(count_resident_ends() == THIN_POOLS);
    if (tide_os_barrier()) {
        TIDE_REQUIRE(purge() > 0);
        TIDE_REQUIRE(is_bare(heap) && count_resident_ends() == 0);
    }
    tide_check_all();
    peer_do(&peer, check_thin_pools, NULL);
    peer_do(&peer, use_as_much, NULL);
    peer_end(&peer);
}

static size_t purge_and_compare(void)
{
    size_t returned = tide_purge();

    TIDE_REQUIRE(returned >= THIN_POOLS * (thin_bytes - tide_os_page_bytes));
    return returned;
}

static size_t trim(void)
{
    return (size_t)tide_malloc_trim(0);
}

IN_NEW_THREAD(purge, purge_returns_what_threads_keep_that_sleep, NULL)
{
    check_purge_of_sleeper(purge_and_compare);
}

IN_NEW_THREAD(purge, purge_does_with_checks_too, "TIDEPOOL_CHECK=on")
{
    check_purge_of_sleeper(purge_and_compare);
}

IN_NEW_THREAD(purge, purge_does_with_one_lock_too, "TIDEPOOL_ARENA_LOCK=global")
{
    check_purge_of_sleeper(purge_and_compare);
}

IN_NEW_THREAD(purge, trim_returns_what_threads_keep_that_sleep, NULL)
{
    check_purge_of_sleeper(trim);
}

static void purge_in_child(void)
{
    leave_maintenance_out();
    TIDE_REQUIRE(purge_and_compare() > 0 && count_resident_ends() == 0);
    check_thin_pools(NULL);
    use_as_much(NULL);
    check_purge_of_sleeper(purge_and_compare);
    tide_check_all();
}

/* Another thread, which isn't in the child, has a heap and sleeps. */
IN_NEW_THREAD(purge, purge_works_in_a_fork_child, NULL)
{
    struct outcome outcome;
    struct peer peer;
    struct heap *heap;

    peer_start(&peer);
    peer_do(&peer, get_heap, &heap);
    make_thin_pools(NULL);
    outcome = run_apart(purge_in_child);
    TIDE_REQUIRE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    TIDE_REQUIRE(count_resident_ends() == THIN_POOLS);
    check_thin_pools(NULL);
}

enum { PURGERS = 4, PURGES = 20 };

static void purge_often(void *unused)
{
    void *own[PURGES];

    (void)unused;
    for (int n = 0; n < PURGES; n++) {
        own[n] = memset(allocate(500 * (size_t)(n + 1)), n, 500);
        tide_purge();
        TIDE_REQUIRE(((char *)own[n])[499] == n);
    }
    free_all(own, PURGES);
}

IN_NEW_THREAD(purge, threads_may_purge_at_once, NULL)
{
    struct peer peers[PURGERS];

    for (int n = 0; n < PURGERS; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < PURGERS; n++)
        peer_ask(&peers[n], purge_often, NULL);
    for (int n = 0; n < PURGES; n++)
        use_as_much(NULL);
    for (int n = 0; n < PURGERS; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
}

IN_NEW_THREAD(purge, an_idle_thread_gives_back_what_is_its_own, NULL)
{
    struct peer peer;
    struct heap *heap;

    peer_start(&peer);
    peer_do(&peer, get_heap, &heap);
    peer_do(&peer, make_thin_pools, NULL);
    tide_free(allocate(100));
    TIDE_REQUIRE(!is_bare(own_heap()));
    errno = ERANGE;
    TIDE_REQUIRE(tide_thread_idle() == 0 && errno == ERANGE); /* its pages are on free slots */
    TIDE_REQUIRE(is_bare(own_heap()));
    TIDE_REQUIRE(!is_bare(heap) && count_resident_ends() == THIN_POOLS);
    peer_do(&peer, check_thin_pools, NULL);
    peer_end(&peer);
    make_thin_pools(NULL);
    TIDE_REQUIRE(tide_thread_idle() == THIN_POOLS * (thin_bytes - tide_os_page_bytes));
    TIDE_REQUIRE(count_resident_ends() == 0);
    TIDE_REQUIRE(tide_thread_idle() == 0);
    check_thin_pools(NULL);
}

static void be_idle_late(void *argument)
{
    void *shared = allocate(100);

    (void)argument;
    TIDE_REQUIRE(tide_thread_idle() == 0);
    tide_purge();
    tide_free(shared);
}

Test(purge, threads_past_their_destructors_may_call_them)
{
    int argument;

    do_late(be_idle_late, &argument);
}
