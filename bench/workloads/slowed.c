/* bench/workloads/slowed.c - the malloc beneath, made slow on purpose
 *
 * libtidepool-slowed.so, preloaded before any allocator, holds one lock over
 * every call.  The bench must show it as slower, most of all where threads
 * contend: `LD_PRELOAD="libtidepool-slowed.so libother.so" program`, or alone
 * for libc's malloc.
 *
 * C++'s new comes through malloc unless the library beneath defines it itself.
 *
 * dlsym may allocate while it looks the functions up; those few blocks come
 * from a static arena and are never freed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT       __attribute__((visibility("default")))
#define EARLY_BYTES  65536
#define ALIGNMENT    16

/* The functions beneath: ROW(name, result, parameters). */
#define BENEATH(ROW)                                                                          \
    ROW(malloc, void *, (size_t))                                                             \
    ROW(free, void, (void *))                                                                 \
    ROW(calloc, void *, (size_t, size_t))                                                     \
    ROW(realloc, void *, (void *, size_t))                                                    \
    ROW(aligned_alloc, void *, (size_t, size_t))                                              \
    ROW(memalign, void *, (size_t, size_t))                                                   \
    ROW(posix_memalign, int, (void **, size_t, size_t))                                       \
    ROW(valloc, void *, (size_t))                                                             \
    ROW(malloc_usable_size, size_t, (void *))

#define MEMBER(name, result, parameters) result(*name) parameters;
static struct { BENEATH(MEMBER) } beneath;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool found;                                             /* under lock */
static __thread bool holds_lock __attribute__((tls_model("initial-exec")));

/* ---- Before the functions beneath are known ------------------------------------- */

static char early[EARLY_BYTES] __attribute__((aligned(ALIGNMENT)));
static size_t early_used; /* under lock; each block's size is in the ALIGNMENT bytes before it */

static bool is_early(const void *block)
{
    return (uintptr_t)block - (uintptr_t)early < EARLY_BYTES;
}

static size_t early_size(const void *block)
{
    return *(const size_t *)((const char *)block - ALIGNMENT);
}

/* Zeroed. */
static void *take_early(size_t size)
{
    char *block = early + early_used + ALIGNMENT;

    if (size > EARLY_BYTES / 2 || early_used + size + 2 * ALIGNMENT > EARLY_BYTES)
        return NULL;
    early_used += ALIGNMENT + (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *(size_t *)(block - ALIGNMENT) = size;
    return block;
}

static void find_beneath(void)
{
#define FIND(name, result, parameters) *(void **)&beneath.name = dlsym(RTLD_NEXT, #name);
    BENEATH(FIND)
    if (!beneath.malloc || !beneath.free || !beneath.calloc || !beneath.realloc) {
        static const char text[] = "libtidepool-slowed: no malloc beneath\n";

        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            _exit(126);
        _exit(127);
    }
    found = true;
}

/* ---- The lock ---------------------------------------------------------------------- */

/* False if this thread holds the lock already: the allocator beneath, or dlsym,
 * calls what we wrap. */
static bool enter(void)
{
    if (holds_lock)
        return false;
    pthread_mutex_lock(&lock);
    holds_lock = true;
    if (!found)
        find_beneath();
    return true;
}

static void leave(bool entered)
{
    int error = errno;

    if (!entered)
        return;
    holds_lock = false;
    pthread_mutex_unlock(&lock);
    errno = error;
}

/* Other libraries' fork handlers may allocate meanwhile. */
static void before_fork(void)
{
    pthread_mutex_lock(&lock);
    holds_lock = true;
}

static void after_fork(void)
{
    holds_lock = false;
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void start(void)
{
    free(malloc(1)); /* the functions beneath are found while there is one thread */
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* ---- What is wrapped ------------------------------------------------------------------ */

EXPORT void *malloc(size_t size)
{
    bool entered = enter();
    void *block = found ? beneath.malloc(size) : take_early(size);

    leave(entered);
    return block;
}

EXPORT void *calloc(size_t count, size_t size)
{
    bool entered = enter();
    size_t bytes;
    void *block;

    if (found)
        block = beneath.calloc(count, size);
    else
        block = __builtin_mul_overflow(count, size, &bytes) ? NULL : take_early(bytes);
    leave(entered);
    return block;
}

EXPORT void free(void *block)
{
    bool entered;

    if (!block || is_early(block))
        return;
    entered = enter();
    beneath.free(block);
    leave(entered);
}

static void *move_early(void *block, size_t size)
{
    size_t old = early_size(block);
    void *copy = malloc(size);

    return copy ? memcpy(copy, block, old < size ? old : size) : NULL;
}

EXPORT void *realloc(void *block, size_t size)
{
    bool entered;
    void *moved;

    if (block && is_early(block))
        return move_early(block, size);
    entered = enter();
    moved = found ? beneath.realloc(block, size) : take_early(size);
    leave(entered);
    return moved;
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    bool entered = enter();
    void *block = beneath.aligned_alloc(alignment, size);

    leave(entered);
    return block;
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    bool entered = enter();
    void *block = beneath.memalign(alignment, size);

    leave(entered);
    return block;
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    bool entered = enter();
    int error = beneath.posix_memalign(out, alignment, size);

    leave(entered);
    return error;
}

EXPORT void *valloc(size_t size)
{
    bool entered = enter();
    void *block = beneath.valloc(size);

    leave(entered);
    return block;
}

EXPORT void *pvalloc(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes;

    if (__builtin_add_overflow(size, page - 1, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return valloc(bytes / page * page);
}

EXPORT size_t malloc_usable_size(void *block)
{
    bool entered;
    size_t size;

    if (!block)
        return 0;
    if (is_early(block))
        return early_size(block);
    entered = enter();
    size = beneath.malloc_usable_size(block);
    leave(entered);
    return size;
}
