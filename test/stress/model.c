/* model.c - random operations of every call, against a record of every block
 *
 * usage: model [operations [threads [seed]]]
 *
 * Each thread keeps a table of its live blocks and does random operations on
 * it; some blocks go to another thread's mailbox and live on there.  Checked:
 *   - no two live blocks overlap: one bit per 8 bytes of address space, set
 *     while a live block covers them (stamps.h);
 *   - contents stay, through realloc too, and calloc's are zero;
 *   - alignment, usable_size (at least the size, never changing), good_size,
 *     owns;
 *   - errno: ENOMEM and EINVAL where due, else as it was;
 *   - in pauses between phases, and at the end, the allocator's own check.
 * The bits are relaxed atomics and order nothing: ThreadSanitizer still sees
 * a block that is handed out again without synchronisation.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "stamps.h"
#include "tidepool/malloc.h"

enum {
    PHASES = 8,
    RECORDS_MAX = 4096, /* live blocks of one thread */
    MAILBOX_MAX = 64,
    RECEIVE_EVERY = 64, /* operations */
    THREADS_MAX = 256,
    ERRNO_BEFORE = EXDEV, /* a value that no allocating call sets */
};
#define LIVE_BYTES_MAX (96 * MIB) /* per thread; one huge block may exceed it */

/* ---- Threads and their blocks ------------------------------------------- */

enum origin { FROM_MALLOC, FROM_ALIGNED_ALLOC, FROM_OTHER };

struct record {
    unsigned char *block;
    size_t size;      /* asked for */
    size_t filled;    /* bytes with the pattern: size, or all that is usable */
    size_t usable;    /* what usable_size said at first */
    size_t alignment; /* asked for; 0 when none was */
    uint64_t id;
    enum origin origin; /* says which sized free may be used */
};

struct worker {
    struct rng rng;
    struct record *records; /* the first count are live */
    size_t count;
    size_t live_bytes;
    size_t operations; /* to do in each phase */
    uint64_t next_id;
    bool is_growing; /* allocates more than it frees, for a while */
    pthread_t thread;
    pthread_mutex_t mailbox_lock;
    size_t mailbox_count;                /* under mailbox_lock */
    struct record mailbox[MAILBOX_MAX]; /* under mailbox_lock */
};

static struct worker *workers;
static size_t worker_count;
static pthread_barrier_t phase_barrier;

static size_t random_size(struct rng *rng)
{
    uint64_t kind = rng_below(rng, 4000);
    if (kind < 2)
        return rng_log(rng, 26); /* to 64 MiB */
    if (kind < 150)
        return rng_log(rng, 20);
    if (kind < 600) /* at a class boundary */
        return tide_good_size(rng_log(rng, kind < 200 ? 20 : 13)) + rng_below(rng, 3) - 1;
    return rng_log(rng, kind < 1200 ? 15 : 10);
}

static size_t random_alignment(struct rng *rng)
{
    uint64_t kind = rng_below(rng, 1000);
    return (size_t)1 << rng_below(rng, kind == 0 ? 25 : kind < 30 ? 17 : 13);
}

/* ---- Checks of one block ------------------------------------------------- */

static void check_record(const struct record *record, const char *when)
{
    size_t usable = tide_usable_size(record->block);
    REQUIRE(usable == record->usable, "%s: block %p had %zu usable bytes and now has %zu", when,
            (void *)record->block, record->usable, usable);
    pattern_check(record->block, record->filled, record->filled, record->id, when);
}

static void check_alignment(const struct record *record)
{
    size_t least = record->alignment;
    if (least == 0)
        least = record->size > 8 ? 16 : 8;
    REQUIRE((uintptr_t)record->block % least == 0, "block %p of %zu bytes isn't aligned to %zu",
            (void *)record->block, record->size, least);
}

/* Takes note of a block that a call just returned. */
static void adopt(struct worker *worker, struct record record)
{
    REQUIRE(record.block != NULL, "no memory for %zu bytes aligned to %zu", record.size,
            record.alignment);
    REQUIRE(errno == ERRNO_BEFORE, "an allocation that succeeded set errno to %d", errno);
    record.usable = tide_usable_size(record.block);
    REQUIRE(record.usable >= record.size, "block %p of %zu bytes has only %zu usable",
            (void *)record.block, record.size, record.usable);
    check_alignment(&record);
    stamp(record.block, record.usable, true);
    record.filled = rng_below(&worker->rng, 4) == 0 ? record.usable : record.size;
    pattern_fill(record.block, record.filled, record.id);
    worker->records[worker->count++] = record;
    worker->live_bytes += record.usable;
}

/* Takes a random record out of the table, its contents checked. */
static struct record pick(struct worker *worker, const char *when)
{
    size_t i = rng_below(&worker->rng, worker->count);
    struct record record = worker->records[i];
    worker->records[i] = worker->records[--worker->count];
    worker->live_bytes -= record.usable;
    check_record(&record, when);
    return record;
}

static struct record new_record(struct worker *worker)
{
    errno = ERRNO_BEFORE;
    return (struct record){.size = random_size(&worker->rng), .id = worker->next_id++};
}

/* ---- Operations that allocate --------------------------------------------- */

static void do_malloc(struct worker *worker)
{
    struct record record = new_record(worker);
    record.block = tide_malloc(record.size);
    adopt(worker, record);
}

static void check_zero(const unsigned char *block, size_t size)
{
    static const unsigned char zero[4096];
    for (size_t at = 0; at < size; at += sizeof(zero)) {
        size_t n = size - at < sizeof(zero) ? size - at : sizeof(zero);
        REQUIRE(memcmp(block + at, zero, n) == 0, "calloc's block %p of %zu bytes isn't zero",
                (const void *)block, size);
    }
}

static void do_calloc(struct worker *worker)
{
    struct record record = new_record(worker);
    size_t count = 1 + rng_below(&worker->rng, 9);
    record.size = record.size / count * count;
    record.block = tide_calloc(count, record.size / count);
    if (record.block != NULL)
        check_zero(record.block, record.size);
    adopt(worker, record);
}

static void do_aligned_alloc(struct worker *worker)
{
    struct record record = new_record(worker);
    record.alignment = random_alignment(&worker->rng);
    record.origin = FROM_ALIGNED_ALLOC;
    record.block = tide_aligned_alloc(record.alignment, record.size);
    adopt(worker, record);
}

static void do_posix_memalign(struct worker *worker)
{
    struct record record = new_record(worker);
    record.alignment = random_alignment(&worker->rng);
    if (record.alignment < sizeof(void *))
        record.alignment = sizeof(void *);
    record.origin = FROM_OTHER;
    void *block = NULL;
    int error = tide_posix_memalign(&block, record.alignment, record.size);
    REQUIRE(error == 0, "posix_memalign(%zu, %zu) returned %d", record.alignment, record.size,
            error);
    record.block = block;
    adopt(worker, record);
}

static void do_memalign(struct worker *worker)
{
    struct record record = new_record(worker);
    record.alignment = random_alignment(&worker->rng);
    record.origin = FROM_OTHER;
    /* memalign rounds an alignment that is no power of two up to one. */
    size_t asked = record.alignment - rng_below(&worker->rng, record.alignment / 4 + 1);
    record.block = tide_memalign(asked, record.size);
    adopt(worker, record);
}

static void do_valloc(struct worker *worker)
{
    struct record record = new_record(worker);
    record.alignment = (size_t)sysconf(_SC_PAGESIZE);
    record.origin = FROM_OTHER;
    record.block = tide_valloc(record.size);
    adopt(worker, record);
}

static void do_pvalloc(struct worker *worker)
{
    struct record record = new_record(worker);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), asked = record.size;
    record.alignment = page;
    record.size = (asked + page - 1) / page * page;
    record.origin = FROM_OTHER;
    record.block = tide_pvalloc(asked);
    adopt(worker, record);
}

static void do_realloc_null(struct worker *worker)
{
    struct record record = new_record(worker);
    record.block = tide_realloc(NULL, record.size);
    adopt(worker, record);
}

static void do_good_size(struct worker *worker)
{
    struct record record = new_record(worker);
    size_t good = tide_good_size(record.size);
    REQUIRE(good >= record.size, "good_size(%zu) is %zu", record.size, good);
    REQUIRE(tide_good_size(good) == good, "good_size(%zu) is %zu, whose good_size is %zu",
            record.size, good, tide_good_size(good));
    record.block = tide_malloc(record.size);
    adopt(worker, record);
    size_t usable = worker->records[worker->count - 1].usable;
    REQUIRE(usable == good || (usable > good && good > MIB / 16),
            "malloc(%zu) has %zu usable bytes, good_size %zu",
            record.size, usable, good);
}

/* ---- Operations that resize ------------------------------------------------ */

static size_t resized(struct rng *rng, size_t size)
{
    switch (rng_below(rng, 4)) {
    case 0: /* a little more or less */
        return size + size / 8 + rng_below(rng, 32);
    case 1:
        return size - rng_below(rng, size / 4 + 1);
    case 2:
        return size < MIB ? size * 2 : size / 2;
    default:
        return random_size(rng);
    }
}

static void resize(struct worker *worker, bool is_array)
{
    struct record record = pick(worker, "before realloc");
    size_t old = record.size, filled = record.filled, count = 1 + rng_below(&worker->rng, 5);
    size_t size = resized(&worker->rng, old) / count * count;
    if (size == 0)
        size = count;
    stamp(record.block, record.usable, false);
    errno = ERRNO_BEFORE;
    record.block = is_array ? tide_reallocarray(record.block, count, size / count)
                            : tide_realloc(record.block, size);
    REQUIRE(record.block != NULL, "no memory to resize %zu to %zu bytes", old, size);
    size_t kept = old < size ? old : size;
    pattern_check(record.block, filled, kept, record.id, "after realloc");
    record.size = size;
    record.alignment = 0;
    record.origin = FROM_MALLOC;
    adopt(worker, record);
}

static void do_realloc(struct worker *worker)
{
    resize(worker, false);
}

static void do_reallocarray(struct worker *worker)
{
    resize(worker, true);
}

/* ---- Operations that free --------------------------------------------------- */

static void release(struct worker *worker, const struct record *record)
{
    stamp(record->block, record->usable, false);
    errno = ERRNO_BEFORE;
    uint64_t kind = rng_below(&worker->rng, 8);
    if (kind == 0)
        REQUIRE(tide_realloc(record->block, 0) == NULL, "realloc(block, 0) returned a block");
    else if (kind < 4 && record->origin == FROM_MALLOC)
        tide_free_sized(record->block, record->size);
    else if (kind < 4 && record->origin == FROM_ALIGNED_ALLOC)
        tide_free_aligned_sized(record->block, record->alignment, record->size);
    else
        tide_free(record->block);
    REQUIRE(errno == ERRNO_BEFORE, "a free set errno to %d", errno);
}

static void do_free(struct worker *worker)
{
    struct record record = pick(worker, "before free");
    release(worker, &record);
}

static void do_send(struct worker *worker)
{
    struct worker *to = &workers[rng_below(&worker->rng, worker_count)];
    struct record record = pick(worker, "before it was sent");
    pthread_mutex_lock(&to->mailbox_lock);
    bool is_sent = to->mailbox_count < MAILBOX_MAX;
    if (is_sent)
        to->mailbox[to->mailbox_count++] = record;
    pthread_mutex_unlock(&to->mailbox_lock);
    if (!is_sent)
        release(worker, &record);
}

static void receive(struct worker *worker)
{
    struct record received[MAILBOX_MAX];
    pthread_mutex_lock(&worker->mailbox_lock);
    size_t count = worker->mailbox_count;
    memcpy(received, worker->mailbox, count * sizeof(*received));
    worker->mailbox_count = 0;
    pthread_mutex_unlock(&worker->mailbox_lock);
    for (size_t i = 0; i < count; i++) {
        check_record(&received[i], "on arrival");
        if (rng_below(&worker->rng, 2) == 0 && worker->count < RECORDS_MAX / 2) {
            worker->records[worker->count++] = received[i];
            worker->live_bytes += received[i].usable;
        } else {
            release(worker, &received[i]);
        }
    }
}

/* ---- Operations that only ask, or must fail ---------------------------------- */

static void do_ask(struct worker *worker)
{
    static char static_byte;
    char stack_byte;
    const struct record *record = &worker->records[rng_below(&worker->rng, worker->count)];
    check_record(record, "when asked");
    size_t last = record->usable > 0 ? record->usable - 1 : 0;
    REQUIRE(tide_owns(record->block) && tide_owns(record->block + last),
            "block %p isn't owned", (void *)record->block);
    REQUIRE(!tide_owns(&static_byte) && !tide_owns(&stack_byte) && !tide_owns(NULL) &&
                !tide_owns((void *)(uintptr_t)rng_below(&worker->rng, 4096)) &&
                !tide_owns((void *)~(uintptr_t)0) &&
                !tide_owns((void *)(uintptr_t)0x4141414141414141),
            "an address is owned that isn't tidepool's");
    REQUIRE(tide_usable_size(NULL) == 0, "NULL has usable bytes");
    tide_free(NULL);
}

static void do_impossible(struct worker *worker)
{
    /* volatile: the compiler would warn of a size that it can see is too large */
    const volatile size_t half = SIZE_MAX / 2 + 1;
    const volatile size_t huge = SIZE_MAX - rng_below(&worker->rng, half);
    const volatile size_t crooked = 48; /* no power of two */
    void *out = worker;
    struct record *record = &worker->records[rng_below(&worker->rng, worker->count)];
#define MUST_FAIL(call, error)                                                                     \
    do {                                                                                           \
        errno = ERRNO_BEFORE;                                                                      \
        REQUIRE((call) == NULL && errno == (error), "%s: errno %d", #call, errno);                 \
    } while (0)
    MUST_FAIL(tide_malloc(huge), ENOMEM);
    MUST_FAIL(tide_calloc(huge, 2), ENOMEM);
    MUST_FAIL(tide_calloc(1, huge), ENOMEM);
    MUST_FAIL(tide_realloc(record->block, huge), ENOMEM);
    MUST_FAIL(tide_reallocarray(record->block, huge, 3), ENOMEM);
    MUST_FAIL(tide_aligned_alloc(64, huge), ENOMEM);
    MUST_FAIL(tide_aligned_alloc(crooked, 100), EINVAL);
    MUST_FAIL(tide_memalign(half + 1, 100), EINVAL);
    MUST_FAIL(tide_valloc(huge), ENOMEM);
    MUST_FAIL(tide_pvalloc(huge), ENOMEM);
    errno = ERRNO_BEFORE;
    REQUIRE(tide_posix_memalign(&out, 4, 100) == EINVAL &&
                tide_posix_memalign(&out, 24, 100) == EINVAL && errno == ERRNO_BEFORE &&
                tide_posix_memalign(&out, 64, huge) == ENOMEM && errno == ENOMEM && out == worker,
            "posix_memalign fails in another way than it should");
    REQUIRE(tide_good_size(huge) == huge, "good_size of the impossible isn't that itself");
    check_record(record, "after a realloc that failed");
}

static size_t allocated_bytes(void)
{
    struct tide_mallinfo2 info = tide_mallinfo2();

    return info.uordblks + info.hblkhd;
}

static void do_mallinfo(struct worker *worker)
{
    (void)worker;
    struct tide_mallinfo2 info = tide_mallinfo2();
    REQUIRE(info.arena < (size_t)1 << 47 && info.uordblks <= info.arena &&
                info.uordblks + info.fordblks == info.arena && info.hblkhd < (size_t)1 << 47,
            "mallinfo2 says arena %zu, uordblks %zu, fordblks %zu, hblkhd %zu", info.arena,
            info.uordblks, info.fordblks, info.hblkhd);
}

static void do_trim(struct worker *worker)
{
    int returned = tide_malloc_trim(rng_below(&worker->rng, 2) * 8 * MIB);
    REQUIRE(returned == 0 || returned == 1, "malloc_trim returned %d", returned);
}

/* ---- The mixture ---------------------------------------------------------------- */

struct operation {
    unsigned weight;
    void (*run)(struct worker *);
};

static const struct operation allocating[] = {
    {520, do_malloc},    {120, do_calloc}, {60, do_aligned_alloc}, {60, do_posix_memalign},
    {40, do_memalign},   {4, do_valloc},   {4, do_pvalloc},        {40, do_realloc_null},
    {60, do_good_size},
};
static const struct operation working[] = {
    {300, do_realloc}, {100, do_reallocarray}, {60, do_ask}, {10, do_impossible}, {100, do_send},
};

static void run_one_of(struct worker *worker, const struct operation *operations, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += operations[i].weight;
    uint64_t at = rng_below(&worker->rng, total);
    size_t i = 0;
    while (at >= operations[i].weight)
        at -= operations[i++].weight;
    operations[i].run(worker);
}
#define RUN_ONE_OF(worker, operations)                                                             \
    run_one_of(worker, operations, sizeof(operations) / sizeof((operations)[0]))

static void run_operation(struct worker *worker)
{
    uint64_t kind = rng_below(&worker->rng, 100);
    if (rng_below(&worker->rng, 5000) == 0)
        worker->is_growing = !worker->is_growing;
    if (rng_below(&worker->rng, 20000) == 0)
        do_mallinfo(worker);
    if (rng_below(&worker->rng, 100000) == 0)
        do_trim(worker);
    if (worker->count == 0)
        do_malloc(worker);
    else if (worker->count == RECORDS_MAX || worker->live_bytes > LIVE_BYTES_MAX)
        do_free(worker);
    else if (kind < 20)
        RUN_ONE_OF(worker, working);
    else if (kind < (worker->is_growing ? 65 : 55))
        RUN_ONE_OF(worker, allocating);
    else
        do_free(worker);
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    for (int phase = 0; phase < PHASES; phase++) {
        for (size_t i = 0; i < worker->operations; i++) {
            run_operation(worker);
            if (i % RECEIVE_EVERY == 0)
                receive(worker);
        }
        barrier_wait(&phase_barrier);
        if (worker == &workers[0])
            check_heap();
        barrier_wait(&phase_barrier);
        for (size_t i = 0; i < worker->count; i++)
            check_record(&worker->records[i], "between phases");
    }
    return NULL;
}

static void start_workers(size_t operations)
{
    workers = shadow_map(worker_count * sizeof(*workers));
    pthread_barrier_init(&phase_barrier, NULL, (unsigned)worker_count);
    for (size_t i = 0; i < worker_count; i++) {
        struct worker *worker = &workers[i];
        worker->rng = rng_make(i);
        worker->next_id = (uint64_t)i << 48;
        worker->operations = operations / worker_count / PHASES + 1;
        worker->records = shadow_map(RECORDS_MAX * sizeof(*worker->records));
        worker->is_growing = true;
        pthread_mutex_init(&worker->mailbox_lock, NULL);
    }
    for (size_t i = 0; i < worker_count; i++)
        thread_start(&workers[i].thread, run_worker, &workers[i]);
}

/* The threads have ended: their blocks are freed by this one. */
static void free_the_rest(void)
{
    for (size_t i = 0; i < worker_count; i++) {
        receive(&workers[i]);
        while (workers[i].count > 0)
            do_free(&workers[i]);
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    test_begin("model");
    size_t operations = test_argument(argc, argv, 1, test_work(10000000));
    worker_count = test_argument(argc, argv, 2, 4);
    REQUIRE(worker_count <= THREADS_MAX, "at most %d threads", THREADS_MAX);
    if (argc > 3)
        test_set_seed(test_argument(argc, argv, 3, 1));
    stamps_init();

    size_t bytes_before = allocated_bytes();
    double start = seconds();
    start_workers(operations);
    for (size_t i = 0; i < worker_count; i++)
        thread_join(workers[i].thread);
    double took = seconds() - start;
    check_heap();
    free_the_rest();
    check_heap();

    tide_malloc_trim(0);
    size_t bytes_after = allocated_bytes();
    REQUIRE(bytes_after <= bytes_before + MIB, "%zu bytes are still allocated, %zu were at start",
            bytes_after, bytes_before);
    size_t done = workers[0].operations * PHASES * worker_count;
    say("%zu operations on %zu threads, %.0f per second", done, worker_count, (double)done / took);
    return 0;
}
