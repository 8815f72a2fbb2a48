/* mmap_failure.c - every k-th request for address space fails
 *
 * usage: mmap_failure [largest-k]
 *
 * For each k a mixed workload runs, on the main thread and on a new one, while
 * the OS layer pretends that each k-th mapping fails.  A call that fails says
 * so with NULL and ENOMEM and changes nothing; blocks keep their contents.
 * After that everything works again and can be freed.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common.h"
#include "os/map.h"
#include "tidepool/malloc.h"

enum { RECORDS = 256 };

struct record {
    void *block; /* NULL: none */
    size_t size;
    uint64_t id;
};

struct worker {
    struct rng rng;
    struct record records[RECORDS];
    size_t failures;
};

static struct worker workers[2];
static size_t operations;

static size_t random_size(struct rng *rng)
{
    uint64_t kind = rng_below(rng, 100);
    return rng_log(rng, kind < 4 ? 24 : kind < 30 ? 19 : 13);
}

static void check(const struct record *record, size_t kept, const char *when)
{
    pattern_check(record->block, record->size, kept, record->id, when);
}

static void *allocate(struct rng *rng, size_t size)
{
    void *block = NULL;
    switch (rng_below(rng, 5)) {
    case 0:
        return tide_calloc(1, size);
    case 1:
        return tide_aligned_alloc((size_t)16 << rng_below(rng, 19), size);
    case 2:
        errno = tide_posix_memalign(&block, 4096, size);
        return block;
    default:
        return tide_malloc(size);
    }
}

static void fill(struct worker *worker, struct record *record)
{
    size_t size = random_size(&worker->rng);
    errno = 0;
    void *block = allocate(&worker->rng, size);
    REQUIRE((errno == 0) == (block != NULL) && (block != NULL || errno == ENOMEM),
            "allocating %zu bytes: %p, errno %d", size, block, errno);
    if (block == NULL) {
        worker->failures++;
        return;
    }
    *record = (struct record){block, size, rng_next(&worker->rng)};
    pattern_fill(block, size, record->id);
}

static void resize(struct worker *worker, struct record *record)
{
    size_t size = random_size(&worker->rng) + 1;
    errno = 0;
    void *block = tide_realloc(record->block, size);
    REQUIRE((errno == 0) == (block != NULL) && (block != NULL || errno == ENOMEM),
            "resizing %zu to %zu bytes: %p, errno %d", record->size, size, block, errno);
    if (block == NULL) {
        worker->failures++;
        check(record, record->size, "after a realloc that failed");
        return;
    }
    record->block = block;
    check(record, size < record->size ? size : record->size, "after realloc");
    record->size = size;
    pattern_fill(block, size, record->id);
}

static void release(struct record *record)
{
    check(record, record->size, "before free");
    errno = EXDEV;
    tide_free(record->block);
    REQUIRE(errno == EXDEV, "free set errno to %d", errno);
    record->block = NULL;
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    for (size_t i = 0; i < operations; i++) {
        struct record *record = &worker->records[rng_below(&worker->rng, RECORDS)];
        if (record->block == NULL)
            fill(worker, record);
        else if (rng_below(&worker->rng, 3) == 0)
            resize(worker, record);
        else
            release(record);
        if (rng_below(&worker->rng, 200) == 0)
            tide_malloc_trim(0);
    }
    return NULL;
}

/* With no failures injected: nothing may fail, all blocks go. */
static void check_recovery(struct worker *worker)
{
    worker->failures = 0;
    run(worker);
    REQUIRE(worker->failures == 0, "%zu calls failed with memory there again", worker->failures);
    check_heap();
    for (int i = 0; i < RECORDS; i++)
        if (worker->records[i].block != NULL)
            release(&worker->records[i]);
}

static size_t run_with_failures(unsigned k)
{
    pthread_t thread;
    workers[0].failures = workers[1].failures = 0;
    tide_os_fail_map_every(k);
    /* A thread may need memory of this allocator to start at all. */
    bool is_started = pthread_create(&thread, NULL, run, &workers[1]) == 0;
    run(&workers[0]);
    if (is_started)
        thread_join(thread);
    tide_os_fail_map_every(0);
    check_heap();
    size_t failures = workers[0].failures + workers[1].failures;
    check_recovery(&workers[0]);
    check_recovery(&workers[1]); /* frees what the ended thread left */
    tide_malloc_trim(0);
    check_heap();
    return failures;
}

int main(int argc, char **argv)
{
    test_begin("mmap_failure");
    size_t most = test_argument(argc, argv, 1, test_work(60));
    operations = 3000;
    size_t failures = 0;
    for (unsigned k = 1; k <= most; k++) {
        workers[0].rng = rng_make(2 * k);
        workers[1].rng = rng_make(2 * k + 1);
        failures += run_with_failures(k);
    }
    REQUIRE(failures > 0, "no call failed: nothing was tested");
    say("%zu calls failed as they should, every 1st to %zuth mapping failing", failures, most);
    return 0;
}
