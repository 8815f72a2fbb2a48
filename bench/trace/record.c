/* bench/trace/record.c - libtidepool-record.so: records a program's allocation calls
 *
 *   LD_PRELOAD=libtidepool-record.so PROGRAM ...
 *   LD_PRELOAD="libtidepool-record.so libtidepool.so" PROGRAM ...
 *
 * Every call goes on to the malloc that would have been used without us, the
 * next in line.  TIDE_RECORD_FILE names the trace; %p in it is the process id
 * [tidepool-%p.trace].
 *
 * What is recorded: malloc, calloc, realloc, reallocarray, free, aligned_alloc,
 * posix_memalign, memalign, valloc, pvalloc, operator new and delete in all
 * forms, and threads from their pthread_create to their end.  Passed on only:
 * malloc_usable_size (by not being here).  Not seen: other entries of an
 * allocator's (mallocx, tide_malloc), and calls that the allocator or
 * pthread_create make themselves, which a replay's will make as well.
 *
 * Fork: the child records nothing, the file is its parent's; a server is
 * recorded in the foreground.  Exec begins a new trace, in place of the old one
 * if it has the same name and process; a program started by a recorded one with
 * the same name takes NAME.PID.  The end, by exit, quick_exit, _exit or
 * return from main, writes what is buffered; a program killed by a signal
 * leaves a trace without its end, which replay refuses.
 *
 * A thread with inside != 0 is in the next malloc, or in us: its calls pass
 * through unrecorded.  Thread-local storage is initial-exec; early calls, which
 * dlsym may make before the next malloc is known, get memory that is never freed.
 */
#include "writer.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <unistd.h>

#define EXPORT      __attribute__((visibility("default")))
#define EARLY_BYTES 65536

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int (*thrd_create)(thrd_t *, thrd_start_t, void *);
    void (*exit_now)(int);
} next;

enum { NOTHING_KNOWN, LOOKING, READY };
static atomic_int state = NOTHING_KNOWN;

static __thread unsigned inside;

/* ---- Before the next malloc is known ------------------------------------- */

static _Alignas(64) char early[EARLY_BYTES];
static atomic_size_t early_used;

static bool is_early(const void *block)
{
    return (uintptr_t)block - (uintptr_t)early < sizeof early;
}

/* Zeroed; its size is in the 16 bytes before it. */
static void *early_take(size_t size)
{
    if (size > sizeof early)
        return NULL;
    size_t bytes = (size + 31) & ~(size_t)15;
    size_t at = atomic_fetch_add(&early_used, bytes);
    if (at + bytes > sizeof early)
        return NULL;
    memcpy(early + at, &size, sizeof size);
    return early + at + 16;
}

static size_t early_size(const void *block)
{
    size_t size;
    memcpy(&size, (const char *)block - 16, sizeof size);
    return size;
}

static void *must_find(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        static const char text[] = "libtidepool-record: no malloc in line after it\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) > 0)
            abort();
        abort();
    }
    return function;
}

static void find_all(void)
{
    next.calloc = must_find("calloc");
    next.malloc = must_find("malloc");
    next.realloc = must_find("realloc");
    next.free = must_find("free");
    next.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
    next.memalign = dlsym(RTLD_NEXT, "memalign");
    next.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    next.valloc = dlsym(RTLD_NEXT, "valloc");
    next.pvalloc = dlsym(RTLD_NEXT, "pvalloc");
    next.pthread_create = must_find("pthread_create");
    next.thrd_create = dlsym(RTLD_NEXT, "thrd_create");
    next.exit_now = must_find("_exit");
}

/* False while the thread that looks for the next malloc calls malloc itself;
 * the constructor, or a call before it, looks while there is one thread. */
static bool is_ready(void)
{
    if (__builtin_expect(atomic_load_explicit(&state, memory_order_acquire) == READY, 1))
        return true;
    int expected = NOTHING_KNOWN;
    if (!atomic_compare_exchange_strong(&state, &expected, LOOKING))
        return expected == READY;
    find_all();
    atomic_store(&state, READY);
    return true;
}

/* ---- Recording a call ---------------------------------------------------- */

/* True: record this call, between enter and leave. */
static bool enter(void)
{
    if (inside != 0 || !writer_is_on())
        return false;
    inside = 1;
    return true;
}

static void leave(void)
{
    inside = 0;
}

/* After the call; returns the block. */
static void *note_block(enum trace_operation operation, size_t align, size_t size, void *block)
{
    writer_note(&(struct trace_event){
        .operation = operation,
        .order = writer_draw_order(),
        .align_log2 = align != 0 ? (unsigned)__builtin_ctzl(align) : 0,
        .size = size,
        .block = (uintptr_t)block,
    });
    leave();
    return block;
}

/* Before the call. */
static void note_free(void *block)
{
    writer_note(&(struct trace_event){
        .operation = block != NULL ? TRACE_FREE : TRACE_FREE_NULL,
        .order = writer_draw_order(),
        .block = (uintptr_t)block,
    });
}

EXPORT void *malloc(size_t size)
{
    if (!is_ready())
        return early_take(size);
    if (!enter())
        return next.malloc(size);
    return note_block(TRACE_MALLOC, 0, size, next.malloc(size));
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX; /* the call will fail */
    if (!is_ready())
        return early_take(bytes);
    if (!enter())
        return next.calloc(count, size);
    return note_block(TRACE_CALLOC, 0, bytes, next.calloc(count, size));
}

EXPORT void free(void *block)
{
    if (is_early(block) || !is_ready())
        return;
    if (enter()) {
        note_free(block);
        next.free(block);
        leave();
    } else {
        next.free(block);
    }
}

static void *move_early(void *block, size_t size)
{
    void *moved = malloc(size);
    size_t old = early_size(block);
    return moved != NULL ? memcpy(moved, block, old < size ? old : size) : NULL;
}

EXPORT void *realloc(void *block, size_t size)
{
    if (block != NULL && is_early(block))
        return move_early(block, size);
    if (!is_ready())
        return early_take(size);
    if (!enter())
        return next.realloc(block, size);
    struct trace_event event = {
        .operation = TRACE_REALLOC,
        .began = writer_draw_order(),
        .old_block = (uintptr_t)block,
        .size = size,
    };
    void *moved = next.realloc(block, size);
    event.order = writer_draw_order();
    event.block = (uintptr_t)moved;
    writer_note(&event);
    leave();
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

/* ---- Aligned ------------------------------------------------------------- */

/* The next malloc lacks it, or was not known yet. */
static void *no_such_call(void)
{
    errno = ENOMEM;
    return NULL;
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
    if (!is_ready() || next.aligned_alloc == NULL)
        return no_such_call();
    if (!enter())
        return next.aligned_alloc(align, size);
    return note_block(TRACE_ALIGNED, align, size, next.aligned_alloc(align, size));
}

EXPORT void *memalign(size_t align, size_t size)
{
    if (!is_ready() || next.memalign == NULL)
        return no_such_call();
    if (!enter())
        return next.memalign(align, size);
    return note_block(TRACE_ALIGNED, align, size, next.memalign(align, size));
}

EXPORT int posix_memalign(void **block, size_t align, size_t size)
{
    if (!is_ready() || next.posix_memalign == NULL)
        return ENOMEM;
    if (!enter())
        return next.posix_memalign(block, align, size);
    int result = next.posix_memalign(block, align, size);
    note_block(TRACE_ALIGNED, align, size, result == 0 ? *block : NULL);
    return result;
}

EXPORT void *valloc(size_t size)
{
    if (!is_ready() || next.valloc == NULL)
        return no_such_call();
    if (!enter())
        return next.valloc(size);
    return note_block(TRACE_ALIGNED, (size_t)sysconf(_SC_PAGESIZE), size, next.valloc(size));
}

EXPORT void *pvalloc(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (size + page - 1) / page * page;
    if (!is_ready() || next.pvalloc == NULL)
        return no_such_call();
    if (!enter())
        return next.pvalloc(size);
    return note_block(TRACE_ALIGNED, page, bytes < size ? size : bytes, next.pvalloc(size));
}

/* ---- Operators of C++ ---------------------------------------------------- */

/* An allocator's own operators don't pass by malloc, so they would be missed.
 * Ours do; when memory is short the next operator in line tries again, calls
 * the program's handler and throws. */
typedef void *new_function(size_t size);
typedef void *new_aligned_function(size_t size, size_t align);

static void *new_or(const char *name, size_t size)
{
    void *block = malloc(size);
    if (block != NULL)
        return block;
    new_function *other = (new_function *)dlsym(RTLD_NEXT, name);
    return other != NULL ? other(size) : NULL;
}

static void *new_aligned_or(const char *name, size_t size, size_t align)
{
    void *block = NULL;
    if (posix_memalign(&block, align < sizeof block ? sizeof block : align, size) == 0)
        return block;
    new_aligned_function *other = (new_aligned_function *)dlsym(RTLD_NEXT, name);
    return other != NULL ? other(size, align) : NULL;
}

static void *new_or_null(size_t size)
{
    return malloc(size);
}

static void *new_aligned_or_null(size_t size, size_t align)
{
    void *block = NULL;
    return posix_memalign(&block, align < sizeof block ? sizeof block : align, size) == 0 ? block
                                                                                          : NULL;
}

/* Names as the C++ ABI mangles them: m is size_t, align_val_t an enum of it. */
#define OPERATOR_NEW(name)                                                                         \
    EXPORT void *name(size_t size);                                                                \
    EXPORT void *name(size_t size)                                                                 \
    {                                                                                              \
        return new_or(#name, size);                                                                \
    }
#define OPERATOR_NEW_ALIGNED(name)                                                                 \
    EXPORT void *name(size_t size, size_t align);                                                  \
    EXPORT void *name(size_t size, size_t align)                                                   \
    {                                                                                              \
        return new_aligned_or(#name, size, align);                                                 \
    }
#define OPERATOR_NEW_NOTHROW(name)                                                                 \
    EXPORT void *name(size_t size, const void *nothrow);                                           \
    EXPORT void *name(size_t size, const void *nothrow)                                            \
    {                                                                                              \
        (void)nothrow;                                                                             \
        return new_or_null(size);                                                                  \
    }
#define OPERATOR_NEW_ALIGNED_NOTHROW(name)                                                         \
    EXPORT void *name(size_t size, size_t align, const void *nothrow);                             \
    EXPORT void *name(size_t size, size_t align, const void *nothrow)                              \
    {                                                                                              \
        (void)nothrow;                                                                             \
        return new_aligned_or_null(size, align);                                                   \
    }
/* Whatever else it is told, in registers, delete frees the block. */
#define OPERATOR_DELETE(name)                                                                      \
    EXPORT void name(void *block);                                                                 \
    EXPORT void name(void *block)                                                                  \
    {                                                                                              \
        free(block);                                                                               \
    }

OPERATOR_NEW(_Znwm)
OPERATOR_NEW(_Znam)
OPERATOR_NEW_ALIGNED(_ZnwmSt11align_val_t)
OPERATOR_NEW_ALIGNED(_ZnamSt11align_val_t)
OPERATOR_NEW_NOTHROW(_ZnwmRKSt9nothrow_t)
OPERATOR_NEW_NOTHROW(_ZnamRKSt9nothrow_t)
OPERATOR_NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t)
OPERATOR_NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t)
OPERATOR_DELETE(_ZdlPv)
OPERATOR_DELETE(_ZdaPv)
OPERATOR_DELETE(_ZdlPvm)
OPERATOR_DELETE(_ZdaPvm)
OPERATOR_DELETE(_ZdlPvSt11align_val_t)
OPERATOR_DELETE(_ZdaPvSt11align_val_t)
OPERATOR_DELETE(_ZdlPvmSt11align_val_t)
OPERATOR_DELETE(_ZdaPvmSt11align_val_t)
OPERATOR_DELETE(_ZdlPvRKSt9nothrow_t)
OPERATOR_DELETE(_ZdaPvRKSt9nothrow_t)
OPERATOR_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t)
OPERATOR_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t)

/* ---- Threads ------------------------------------------------------------- */

/* What a new thread is to become and to run; mapped, as malloc would be recorded. */
struct birth {
    uint32_t thread;
    void *(*run)(void *);
    thrd_start_t run_c11;
    void *argument;
};

static struct birth take_birth(void *argument)
{
    struct birth birth = *(struct birth *)argument;
    trace_unmap(argument, sizeof birth);
    inside = 1;
    writer_become_thread(birth.thread);
    inside = 0;
    return birth;
}

static void *run_thread(void *argument)
{
    struct birth birth = take_birth(argument);
    return birth.run(birth.argument);
}

static int run_thread_c11(void *argument)
{
    struct birth birth = take_birth(argument);
    return birth.run_c11(birth.argument);
}

static struct birth *new_birth(struct birth birth)
{
    struct birth *memory = trace_map(sizeof birth);
    if (memory != NULL) {
        birth.thread = writer_number_thread();
        *memory = birth;
    }
    return memory;
}

/* The thread came to be, or didn't, and then its number stays unused. */
static void note_birth(bool was_created, uint64_t order, uint32_t thread, struct birth *birth)
{
    if (!was_created)
        trace_unmap(birth, sizeof *birth);
    else if (thread < TRACE_THREAD_MOST)
        writer_note(&(struct trace_event){
            .operation = TRACE_CREATE, .order = order, .thread = thread});
    leave();
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *argument)
{
    is_ready();
    if (!enter())
        return next.pthread_create(thread, attributes, run, argument);
    struct birth *birth = new_birth((struct birth){.run = run, .argument = argument});
    uint32_t number = birth != NULL ? birth->thread : 0;
    uint64_t order = writer_draw_order();
    int result =
        birth != NULL ? next.pthread_create(thread, attributes, run_thread, birth) : EAGAIN;
    note_birth(result == 0, order, number, birth);
    return result;
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t run, void *argument)
{
    is_ready();
    if (next.thrd_create == NULL || !enter())
        return next.thrd_create != NULL ? next.thrd_create(thread, run, argument) : thrd_error;
    struct birth *birth = new_birth((struct birth){.run_c11 = run, .argument = argument});
    uint32_t number = birth != NULL ? birth->thread : 0;
    uint64_t order = writer_draw_order();
    int result = birth != NULL ? next.thrd_create(thread, run_thread_c11, birth) : thrd_nomem;
    note_birth(result == thrd_success, order, number, birth);
    return result;
}

/* ---- Begin and end ------------------------------------------------------- */

static void finish(void)
{
    inside = 1;
    writer_finish();
    inside = 0;
}

EXPORT void _exit(int status)
{
    finish();
    if (is_ready())
        next.exit_now(status);
    __builtin_trap();
}

EXPORT void _Exit(int status)
{
    _exit(status);
}

static void child_after_fork(void)
{
    writer_abandon();
}

__attribute__((constructor)) static void begin(void)
{
    is_ready();
    inside = 1;
    pthread_atfork(NULL, NULL, child_after_fork);
    at_quick_exit(finish);
    writer_begin();
    inside = 0;
}

__attribute__((destructor)) static void end(void)
{
    finish();
}
