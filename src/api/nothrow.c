/* api/nothrow.c - the nothrow forms of operator new
 *
 * The new_handler may throw, and these must catch: C can't.  So when there is
 * no memory, libstdc++'s own form is called, which calls the throwing form
 * (operators.c) and catches.  In a static link that one can't be reached from
 * here, but then it is there in the first place: these are in the shared
 * library only.
 */
#include "config.h"

#include <stddef.h>

/* Included either way, so that make knows what both objects depend on. */
#include "api/fast.h"
#include "api/libstdcxx.h"
#include "api/slow.h"

#if TIDE_OVERRIDE && defined(PIC)

#define TIDE_EXPORT __attribute__((visibility("default")))

typedef void *nothrow_function(size_t size, const void *tag);
typedef void *nothrow_aligned_function(size_t size, size_t alignment, const void *tag);

/* libstdc++'s function of the same name. */
#define FIND(name)                                                                           \
    ((void *)tide_api_find_libstdcxx(#name, (void *)name, __builtin_return_address(0)))

#define NOTHROW(name)                                                                        \
    TIDE_EXPORT void *name(size_t size, const void *tag);                                    \
    void *name(size_t size, const void *tag)                                                 \
    {                                                                                        \
        void *block = tide_api_malloc(size);                                                 \
                                                                                             \
        if (TIDE_LIKELY(block != NULL))                                                      \
            return block;                                                                    \
        nothrow_function *next = FIND(name);                                                 \
        return next ? next(size, tag) : NULL;                                                \
    }
#define NOTHROW_ALIGNED(name)                                                                \
    TIDE_EXPORT void *name(size_t size, size_t alignment, const void *tag);                  \
    void *name(size_t size, size_t alignment, const void *tag)                               \
    {                                                                                        \
        void *block = tide_api_malloc_aligned(size, alignment);                              \
                                                                                             \
        if (TIDE_LIKELY(block != NULL))                                                      \
            return block;                                                                    \
        nothrow_aligned_function *next = FIND(name);                                         \
        return next ? next(size, alignment, tag) : NULL;                                     \
    }

NOTHROW(_ZnwmRKSt9nothrow_t)
NOTHROW(_ZnamRKSt9nothrow_t)
NOTHROW_ALIGNED(_ZnwmSt11align_val_tRKSt9nothrow_t)
NOTHROW_ALIGNED(_ZnamSt11align_val_tRKSt9nothrow_t)

#endif
