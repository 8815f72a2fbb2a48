/* api/operators.c - C++'s operator new and delete, by their mangled names
 *
 * Failing is libstdc++'s business: the new_handler is asked for and called,
 * and std::bad_alloc thrown, by functions of libstdc++, found when the program
 * has it.  The nothrow forms of new are in nothrow.c.
 */
#include "config.h"

#if TIDE_OVERRIDE

#include <stddef.h>

#include "api/fast.h"
#include "api/libstdcxx.h"
#include "api/slow.h"
#include "base/fatal.h"

#define TIDE_EXPORT __attribute__((visibility("default")))

typedef void handler_function(void);
typedef handler_function *get_handler_function(void);
typedef void throw_function(void);

/* std::get_new_handler() and std::__throw_bad_alloc() */
extern handler_function *_ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

static void *find(void *linked, const char *name, const void *caller)
{
    return linked ? linked : tide_api_find_libstdcxx(name, NULL, caller);
}

/* Runs the new_handler once, or throws when there is none. */
static __attribute__((cold)) void handle_failure(size_t size, const void *caller)
{
    get_handler_function *get_handler = (get_handler_function *)find(
        (void *)_ZSt15get_new_handlerv, "_ZSt15get_new_handlerv", caller);
    throw_function *throw_bad_alloc = (throw_function *)find(
        (void *)_ZSt17__throw_bad_allocv, "_ZSt17__throw_bad_allocv", caller);
    handler_function *handler = get_handler ? get_handler() : NULL;

    if (handler) {
        handler();
        return;
    }
    if (throw_bad_alloc)
        throw_bad_alloc();
    tide_base_fatal("operator new(%zu) failed and libstdc++, which throws std::bad_alloc, is not "
                    "visible in this program",
                    size);
}

static __attribute__((always_inline)) inline void *new_block(size_t size)
{
    void *block;

    while (TIDE_UNLIKELY(!(block = tide_api_malloc(size))))
        handle_failure(size, __builtin_return_address(0));
    return block;
}

static __attribute__((always_inline)) inline void *new_aligned_block(size_t size, size_t alignment)
{
    void *block;

    while (TIDE_UNLIKELY(!(block = tide_api_malloc_aligned(size, alignment))))
        handle_failure(size, __builtin_return_address(0));
    return block;
}

/* new and new[], throwing, and throwing with an alignment */
TIDE_EXPORT void *_Znwm(size_t size);
TIDE_EXPORT void *_Znam(size_t size);
TIDE_EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
TIDE_EXPORT void *_ZnamSt11align_val_t(size_t size, size_t alignment);

void *_Znwm(size_t size)
{
    return new_block(size);
}

void *_Znam(size_t size)
{
    return new_block(size);
}

void *_ZnwmSt11align_val_t(size_t size, size_t alignment)
{
    return new_aligned_block(size, alignment);
}

void *_ZnamSt11align_val_t(size_t size, size_t alignment)
{
    return new_aligned_block(size, alignment);
}

/* delete and delete[]: plain, sized, aligned, both, and the nothrow ones.
 * What follows the block tells nothing that free doesn't know. */
#define DELETE(name, ...)                                                                    \
    TIDE_EXPORT void name(void *block, ##__VA_ARGS__);                                       \
    void name(void *block, ##__VA_ARGS__)                                                    \
    {                                                                                        \
        tide_api_free(block, "operator delete");                                             \
    }
#define UNUSED __attribute__((unused))

DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE(_ZdlPvm, UNUSED size_t size)
DELETE(_ZdaPvm, UNUSED size_t size)
DELETE(_ZdlPvSt11align_val_t, UNUSED size_t alignment)
DELETE(_ZdaPvSt11align_val_t, UNUSED size_t alignment)
DELETE(_ZdlPvmSt11align_val_t, UNUSED size_t size, UNUSED size_t alignment)
DELETE(_ZdaPvmSt11align_val_t, UNUSED size_t size, UNUSED size_t alignment)
DELETE(_ZdlPvRKSt9nothrow_t, UNUSED const void *tag)
DELETE(_ZdaPvRKSt9nothrow_t, UNUSED const void *tag)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, UNUSED size_t alignment, UNUSED const void *tag)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, UNUSED size_t alignment, UNUSED const void *tag)

#endif
