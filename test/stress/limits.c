/* limits.c - what is kept for later, and what it may cost
 *
 * usage: limits [pairs]
 *
 * Free memory that is kept is used, whatever it was before, or given up before an
 * allocation fails.  The system is asked for more only when nothing else has room,
 * and addresses that were freed are used again.  errno is left alone by each
 * call that succeeds, whatever failed on the way.
 *
 * Each test runs in a child process, where it sets the limits it needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/geometry.h"
#include "common.h"
#include "base/due.h"
#include "store/store.h"
#include "tidepool/malloc.h"

static size_t pairs;

/* From now on the process can map so many bytes more. */
static void limit_room(size_t bytes)
{
    struct rlimit limit = {vm_bytes() + bytes, RLIM_INFINITY};
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit: %s", strerror(errno));
}

/* Allocates until it fails; bytes got.  The blocks stay. */
static size_t use_up(size_t size)
{
    size_t bytes = 0;
    for (errno = EXDEV; tide_malloc(size) != NULL; bytes += size)
        REQUIRE(errno == EXDEV, "malloc of %zu bytes succeeded and set errno to %d", size, errno);
    REQUIRE(errno == ENOMEM, "malloc failed with errno %d", errno);
    return bytes;
}

/* ---- Given up before malloc fails ---------------------------------------------- */

/* Small blocks get what a large one had. */
static void test_freed_large_block_for_small_ones(void)
{
    const size_t freed = 28 * MIB, room = 64 * MIB;
    atomic_store(&tide_upkeep_state, TIDE_UPKEEP_SETTLED); /* which would let it go */
    tide_free(tide_malloc(freed));
    REQUIRE(tide_store_totals().dirty_bytes >= freed, "a freed large block isn't kept");
    limit_room(room);
    size_t bytes = use_up(1000);
    REQUIRE(tide_store_totals().dirty_bytes == 0, "malloc fails with %zu free bytes kept",
            tide_store_totals().dirty_bytes);
    REQUIRE(bytes > room + freed / 2, "%zu bytes in small blocks, with room for %zu", bytes,
            room + freed);
}

/* All is freed; arenas go when they are empty.  Bytes of those that did. */
static size_t make_empty_arenas(void)
{
    enum { BLOCKS = 8 * TIDE_SLOTS };
    static void *blocks[BLOCKS];
    size_t before = tide_store_totals().dirty_bytes;
    for (int i = 0; i < BLOCKS; i++)
        REQUIRE((blocks[i] = tide_malloc(TIDE_POOLED_MAX)) != NULL, "no memory");
    for (int i = 0; i < BLOCKS; i++)
        tide_free(blocks[i]);
    return tide_store_totals().dirty_bytes - before;
}

static void *large_malloc(size_t size)
{
    return tide_malloc(size);
}

static void *large_calloc(size_t size)
{
    return tide_calloc(size, 1);
}

static void *large_aligned(size_t size)
{
    return tide_aligned_alloc(64, size);
}

static void check_large_needs_arenas(void *(*allocate)(size_t size), const char *name)
{
    size_t most = 0, size = TIDE_ARENA_BYTES / 2, room = 4 * TIDE_ARENA_BYTES, empty;
    atomic_store(&tide_upkeep_state, TIDE_UPKEEP_SETTLED);
    empty = make_empty_arenas();
    REQUIRE(empty >= TIDE_ARENA_BYTES, "no empty arena went: nothing is tested");
    limit_room(room);
    for (errno = EXDEV; allocate(size) != NULL; most += size)
        REQUIRE(errno == EXDEV, "%s succeeded and set errno to %d", name, errno);
    REQUIRE(errno == ENOMEM, "%s failed with errno %d", name, errno);
    REQUIRE(most >= room / 2 + empty, "%s: %zu bytes in large blocks, with room for %zu", name, most,
            room + empty);
}

static void test_empty_arenas_for_malloc(void)
{
    check_large_needs_arenas(large_malloc, "malloc");
}

static void test_empty_arenas_for_calloc(void)
{
    check_large_needs_arenas(large_calloc, "calloc");
}

static void test_empty_arenas_for_aligned_alloc(void)
{
    check_large_needs_arenas(large_aligned, "aligned_alloc");
}

/* What is free but in the way of nobody goes for good, where address space is short. */
static void test_free_address_space_for_one_block(void)
{
    enum { BLOCKS = 40 };
    const size_t size = 4 * MIB, room = 40 * MIB;
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        REQUIRE((blocks[i] = tide_malloc(size)) != NULL, "no memory");
    for (int i = 0; i < BLOCKS; i++)
        tide_free(blocks[i]);
    limit_room(room);
    errno = EXDEV;
    REQUIRE(tide_malloc(room + BLOCKS / 2 * size) != NULL,
            "no large block although %zu bytes of address space are free", BLOCKS * size);
    REQUIRE(errno == EXDEV, "malloc succeeded and set errno to %d", errno);
}

/* ---- Room that is there is used --------------------------------------------------- */

enum { SINGLES = 1300, HELD = 20, LARGE_SLOTS = 20 };

/* Many free ranges that are too short are in the way of the one that isn't. */
static void test_large_blocks_find_room(void)
{
    void **blocks = shadow_map(SINGLES * sizeof(*blocks));
    for (size_t i = 0; i < SINGLES; i++)
        REQUIRE((blocks[i] = tide_malloc(TIDE_SLOT_BYTES)) != NULL, "no memory");
    for (size_t i = 0; i < SINGLES; i += 2)
        tide_free(blocks[i]);

    size_t grown = tide_store_totals().grown;
    for (size_t i = 0; i < test_work(2000); i++)
        tide_free(tide_malloc(LARGE_SLOTS * TIDE_SLOT_BYTES));
    size_t more = tide_store_totals().grown - grown;
    REQUIRE(more <= 2, "the system was asked for more %zu times for one large block at a time",
            more);

    for (int i = 0; i < HELD; i++)
        REQUIRE(tide_malloc(LARGE_SLOTS * TIDE_SLOT_BYTES) != NULL, "no memory");
    more = tide_store_totals().grown - grown;
    REQUIRE(more <= HELD / 2,
            "the system was asked for more %zu times for %d blocks, a third of an arena each", more,
            HELD);
    check_heap();
}

/* Short free ranges serve short blocks, and arenas what is long enough. */
static void test_small_blocks_fill_what_large_ones_left(void)
{
    void **blocks = shadow_map(SINGLES * sizeof(*blocks));
    atomic_store(&tide_upkeep_state, TIDE_UPKEEP_SETTLED);
    for (size_t i = 0; i < SINGLES; i++)
        REQUIRE((blocks[i] = tide_malloc(TIDE_SLOT_BYTES)) != NULL, "no memory");
    size_t grown = tide_store_totals().grown;
    for (size_t i = 0; i < SINGLES; i++)
        if (i % (2 * TIDE_SLOTS + 1) != 0) /* two arenas in a row are free */
            tide_free(blocks[i]);
    for (size_t i = 0; i < SINGLES / 4 * (TIDE_SLOT_BYTES / 1024); i++)
        REQUIRE(tide_malloc(1000) != NULL, "no memory");
    size_t more = tide_store_totals().grown - grown;
    REQUIRE(more <= 1, /* for the other half of the first arena */
            "the system was asked for more %zu times for small blocks", more);
    check_heap();
}

/* Freed address space is used again: the page tables and the address map stay small. */
static void test_addresses_are_used_again(void)
{
    const size_t size = 1024 * MIB, range = 16 * size;
    uintptr_t least = UINTPTR_MAX, most = 0;
    size_t before = rss_bytes();
    for (size_t i = 0; i < pairs; i++) {
        char *block = tide_malloc(size);
        if (block == NULL) {
            say("not tested: this system doesn't give %zu MiB", size / MIB);
            return;
        }
        *block = 1;
        least = (uintptr_t)block < least ? (uintptr_t)block : least;
        most = (uintptr_t)block > most ? (uintptr_t)block : most;
        tide_free(block);
    }
    REQUIRE(most - least <= range, "one block at a time wandered over %zu MiB",
            (most - least) / MIB);
    check_rss_returned(before, RSS_ALLOWANCE);
}

/* ---- errno ------------------------------------------------------------------------- */

/* With nothing smaller to be had a block that is to shrink stays. */
static void test_realloc_keeps_errno(void)
{
    enum { SMALLER = 1000 };
    limit_room(80 * MIB);
    char *block = tide_malloc(20 * MIB);
    REQUIRE(block != NULL, "no memory");
    pattern_fill(block, SMALLER, 1);
    use_up(10000);
    use_up(16);
    use_up(SMALLER);
    errno = EXDEV;
    char *shrunk = tide_realloc(block, SMALLER);
    REQUIRE(shrunk != NULL, "realloc to %d bytes fails with memory short", SMALLER);
    REQUIRE(errno == EXDEV, "realloc succeeded and set errno to %d", errno);
    pattern_check(shrunk, SMALLER, SMALLER, 1, "after realloc");
}

static size_t most_mappings(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return SIZE_MAX;
    close(fd);
    return strtoull(text, NULL, 10);
}

/* Until the process can have no more: every second page is made read-only. */
static bool use_up_mappings(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), most = most_mappings();
    if (most > 200000)
        return false;
    char *pages = shadow_map(2 * most * page);
    for (size_t i = 0; i < most; i++)
        if (mprotect(pages + 2 * i * page, page, PROT_READ) != 0)
            return true;
    return false;
}

/* What lies between two others can't be unmapped when the process has as many
 * mappings as it may; free says nothing of that.  Most of these frees are fast
 * ones, that of a pool's last block is what lets an arena go. */
static void test_free_keeps_errno(void)
{
    enum { BLOCKS = 100000 };
    void **blocks = shadow_map(BLOCKS * sizeof(*blocks));
    for (int i = 0; i < BLOCKS; i++)
        REQUIRE((blocks[i] = tide_malloc(1000)) != NULL, "no memory");
    if (!use_up_mappings()) {
        say("not tested: this system gives a process too many mappings");
        return;
    }
    for (int i = 0; i < BLOCKS; i++) {
        errno = EXDEV;
        tide_free(blocks[i]);
        REQUIRE(errno == EXDEV, "free set errno to %d", errno);
    }
    check_heap();
}

/* ---- The run -------------------------------------------------------------------------- */

static void run(void (*test)(void), bool needs_limits)
{
    if (needs_limits && TEST_SANITIZED) /* whose own memory counts as well */
        return;
    pid_t child = fork();
    REQUIRE(child >= 0, "fork: %s", strerror(errno));
    if (child == 0) {
        test();
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
    REQUIRE(status == 0, "a test ended with wait status %#x", (unsigned)status);
}

int main(int argc, char **argv)
{
    test_begin("limits");
    pairs = test_argument(argc, argv, 1, test_work(4000));
    tide_free(tide_malloc(1));
    run(test_freed_large_block_for_small_ones, true);
    run(test_empty_arenas_for_malloc, true);
    run(test_empty_arenas_for_calloc, true);
    run(test_empty_arenas_for_aligned_alloc, true);
    run(test_free_address_space_for_one_block, true);
    run(test_large_blocks_find_room, false);
    run(test_small_blocks_fill_what_large_ones_left, false);
    run(test_addresses_are_used_again, false);
    run(test_realloc_keeps_errno, true);
    run(test_free_keeps_errno, true);
    return 0;
}
