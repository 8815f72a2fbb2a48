/* bench/workloads/common.c - see common.h */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- Failures: without malloc, which may be what is broken ------------------- */

void fail(const char *format, ...)
{
    char text[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof text - 2)
        length = (int)sizeof text - 2;
    text[length] = '\n';
    if (write(STDERR_FILENO, "workload: ", 10) < 0 ||
        write(STDERR_FILENO, text, (size_t)length + 1) < 0)
        _exit(3);
    _exit(1);
}

void fail_memory(size_t bytes)
{
    fail("no memory: the allocator refused %zu bytes", bytes);
}

void fail_block(const void *block, size_t bytes)
{
    fail("corrupted: block %p of %zu bytes isn't as it was left", block, bytes);
}

/* ---- Memory ------------------------------------------------------------------ */

static _Atomic size_t areas;

void *area(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = (bytes + page - 1) / page * page;
    void *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        fail("mmap of %zu bytes for the harness: %s", whole, strerror(errno));
    atomic_fetch_add(&areas, whole);
    return memory;
}

size_t area_bytes(void)
{
    return atomic_load(&areas);
}

size_t resident_bytes(void)
{
    char text[128];
    unsigned long total, resident;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);

    if (length <= 0)
        fail("/proc/self/statm can't be read: %s", strerror(errno));
    close(file);
    text[length] = 0;
    if (sscanf(text, "%lu %lu", &total, &resident) != 2)
        fail("/proc/self/statm isn't understood: %s", text);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

int64_t live_bytes(const struct run *run)
{
    int64_t live = 0;

    for (unsigned i = 0; i < run->threads; i++)
        live += atomic_load_explicit(&run->workers[i].live, memory_order_relaxed);
    return live;
}

/* ---- calloc ---------------------------------------------------------------------- */

void *take_zeroed(size_t size)
{
    unsigned char *block = hide(calloc(1, size));

    if (!block)
        fail_memory(size);
    if (block[0] | block[size / 2] | block[size - 1])
        fail("calloc: block %p of %zu bytes isn't zero", (void *)block, size);
    block[size / 2] = 1;
    return mark_sized(block, size);
}

/* ---- Timed calls ---------------------------------------------------------------- */

void *take_with_clock(struct worker *worker, size_t size)
{
    uint64_t before = now_ticks();
    void *block = hide(malloc(size));

    histogram_add(worker->malloc_ticks, now_ticks() - before);
    return mark_sized(block, size);
}

void give_with_clock(struct worker *worker, void *block)
{
    uint64_t before;

    check_sized(block);
    before = now_ticks();
    free(block);
    histogram_add(worker->free_ticks, now_ticks() - before);
}

/* ---- Small things --------------------------------------------------------------- */

uint64_t scaled(const struct run *run, uint64_t quantity)
{
    uint64_t part = quantity * run->scale / 100;

    return part ? part : 1;
}

void add_metric(struct run *run, const char *name, double value)
{
    if (run->metric_count == MOST_METRICS)
        fail("more than %d metrics", MOST_METRICS);
    run->metrics[run->metric_count++] = (struct metric){ name, value };
}

void sleep_seconds(double seconds)
{
    struct timespec left = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

void meet(struct worker *worker)
{
    if (worker->run->threads > 1)
        pthread_barrier_wait(&worker->run->meeting);
}

void idle(struct worker *worker, double seconds)
{
    uint64_t before;

    meet(worker);
    before = now_ns();
    sleep_seconds(seconds);
    meet(worker);
    if (worker->index == 0)
        worker->run->idle_seconds += (double)(now_ns() - before) / 1e9;
}
