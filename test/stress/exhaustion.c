/* exhaustion.c - address space ends, and comes back
 *
 * usage: exhaustion [megabytes]
 *
 * Under a low RLIMIT_AS each size is allocated until it fails: the failure is
 * NULL and ENOMEM, live blocks keep their contents, failed reallocs leave the
 * block alone, the heap is in order, and after everything is freed as much can
 * be allocated again, round after round.  Then several threads do the same at
 * once with mixed sizes.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include "common.h"
#include "tidepool/malloc.h"

enum { ROUNDS = 3, THREADS = 4 };

/* The blocks are their own record: a list. */
struct link {
    struct link *next;
    size_t size;
};

static const size_t sizes[] = {16,        48,      100,     512,     2000,     9000,
                               40 * KIB, 100 * KIB, MIB,     3 * MIB, 8 * MIB, 33 * MIB};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static size_t limit_bytes;

static struct link *push(struct link *list, void *block, size_t size)
{
    struct link *link = block;
    *link = (struct link){list, size};
    pattern_fill(link + 1, size - sizeof(*link), (uintptr_t)link);
    return link;
}

static void check_link(const struct link *link)
{
    size_t size = link->size - sizeof(*link);
    pattern_check(link + 1, size, size, (uintptr_t)link, "with memory exhausted");
}

static void free_all(struct link *list)
{
    while (list != NULL) {
        struct link *next = list->next;
        check_link(list);
        tide_free(list);
        list = next;
    }
}

/* NULL must come with ENOMEM. */
static void *allocate(struct rng *rng, size_t size)
{
    void *block = NULL;
    errno = 0;
    switch (rng_below(rng, 4)) {
    case 0:
        block = tide_calloc(1, size);
        break;
    case 1: {
        int error = tide_posix_memalign(&block, 16, size);
        REQUIRE(error == (block == NULL ? ENOMEM : 0) && errno == error,
                "posix_memalign of %zu bytes: %d, errno %d", size, error, errno);
        return block;
    }
    default:
        block = tide_malloc(size);
    }
    REQUIRE(errno == (block == NULL ? ENOMEM : 0), "%zu bytes: %p, errno %d", size, block, errno);
    return block;
}

static void check_failed_realloc(struct link *link)
{
    errno = 0;
    void *block = tide_realloc(link, link->size + limit_bytes);
    REQUIRE(block == NULL && errno == ENOMEM, "realloc beyond the limit: %p, errno %d", block,
            errno);
    check_link(link);
}

/* ---- One thread, one size at a time ------------------------------------------ */

static size_t fill_with(struct rng *rng, size_t size)
{
    struct link *list = NULL;
    size_t count = 0;
    void *block;
    while ((block = allocate(rng, size)) != NULL) {
        list = push(list, block, size);
        count++;
    }
    REQUIRE(list != NULL, "not one block of %zu bytes", size);
    check_failed_realloc(list);
    if (count > 1)
        check_failed_realloc(list->next);
    check_heap();
    free_all(list);
    check_heap();
    return count;
}

static void exhaust_by_size(struct rng *rng)
{
    size_t first[SIZES];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < SIZES; i++) {
            size_t count = fill_with(rng, sizes[i]);
            if (round == 0)
                first[i] = count;
            REQUIRE(count * sizes[i] >= limit_bytes / 3,
                    "only %zu blocks of %zu bytes although %zu bytes are allowed", count, sizes[i],
                    limit_bytes);
            REQUIRE(count >= first[i] - first[i] / 8 - 1,
                    "memory was lost: %zu blocks of %zu bytes at first, now %zu", first[i],
                    sizes[i], count);
        }
    }
}

/* ---- Several threads, mixed sizes ----------------------------------------------- */

static pthread_barrier_t barrier;

static size_t random_size(struct rng *rng)
{
    uint64_t kind = rng_below(rng, 100);
    return sizeof(struct link) + rng_log(rng, kind < 2 ? 23 : kind < 20 ? 17 : 11);
}

static void *run_thread(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    for (int round = 0; round < ROUNDS; round++) {
        struct link *list = NULL;
        barrier_wait(&barrier);
        for (int failures = 0; failures < 100;) {
            size_t size = random_size(&rng);
            void *block = allocate(&rng, size);
            if (block != NULL)
                list = push(list, block, size);
            else
                failures++;
        }
        barrier_wait(&barrier);
        if (argument == NULL)
            check_heap();
        barrier_wait(&barrier);
        free_all(list);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    test_begin("exhaustion");
    if (TEST_SANITIZED) {
        say("skipped: a sanitizer needs the whole address space");
        return TEST_SKIPPED;
    }
    limit_bytes = test_argument(argc, argv, 1, test_work(96)) * MIB;
    if (limit_bytes < 64 * MIB)
        limit_bytes = 64 * MIB;

    /* The threads' stacks come before the limit. */
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        thread_start(&threads[i], run_thread, (void *)i);

    struct rng rng = rng_make(THREADS);
    tide_free(tide_malloc(1));
    struct rlimit limit = {vm_bytes() + limit_bytes, RLIM_INFINITY};
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit: %s", strerror(errno));
    exhaust_by_size(&rng);
    for (int i = 0; i < 3 * ROUNDS; i++)
        barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    check_heap();
    exhaust_by_size(&rng);
    say("%zu MiB exhausted at %d sizes and by %d threads", limit_bytes / MIB, SIZES, THREADS);
    return 0;
}
