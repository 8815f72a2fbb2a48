/* api/nothrow.c - the nothrow forms of operator new
 *
 * The new_handler may throw, and these must catch: C can't.  So when there is
 * no memory, libstdc++'s own form is called, which calls the throwing form
 * (operators.c) and catches.  In a static link that one can't be reached from
 * here, but then it is there in the first place: these are in the shared
 * library only.
 */
#include "config.h"

#if TIDE_OVERRIDE && defined(PIC)

#include <dlfcn.h>
#include <stddef.h>

#include "heap/heap_fast.h"
#include "heap/slow.h"

#define TIDE_EXPORT __attribute__((visibility("default")))

typedef void *nothrow_function(size_t size, const void *tag);
typedef void *nothrow_aligned_function(size_t size, size_t alignment, const void *tag);

static void *new_nothrow(size_t size, const void *tag, const char *name)
{
    void *block = tide_heap_malloc(size);
    nothrow_function *next;

    if (TIDE_LIKELY(block != NULL))
        return block;
    next = (nothrow_function *)dlsym(RTLD_NEXT, name);
    return next ? next(size, tag) : NULL;
}

static void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag, const char *name)
{
    void *block = tide_heap_malloc_aligned(size, alignment);
    nothrow_aligned_function *next;

    if (TIDE_LIKELY(block != NULL))
        return block;
    next = (nothrow_aligned_function *)dlsym(RTLD_NEXT, name);
    return next ? next(size, alignment, tag) : NULL;
}

#define NOTHROW(name)                                                                        \
    TIDE_EXPORT void *name(size_t size, const void *tag);                                    \
    void *name(size_t size, const void *tag)                                                 \
    {                                                                                        \
        return new_nothrow(size, tag, #name);                                                \
    }
#define NOTHROW_ALIGNED(name)                                                                \
    TIDE_EXPORT void *name(size_t size, size_t alignment, const void *tag);                  \
    void *name(size_t size, size_t alignment, const void *tag)                               \
    {                                                                                        \
        return new_aligned_nothrow(size, alignment, tag, #name);                             \
    }

NOTHROW(_ZnwmRKSt9nothrow_t)
NOTHROW(_ZnamRKSt9nothrow_t)
NOTHROW_ALIGNED(_ZnwmSt11align_val_tRKSt9nothrow_t)
NOTHROW_ALIGNED(_ZnamSt11align_val_tRKSt9nothrow_t)

#endif
