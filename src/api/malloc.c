/* api/malloc.c - malloc, calloc, free and the sized frees: thin over heap/ */
#include <tidepool/malloc.h>

#include <errno.h>
#include <string.h>

#include "api/fast.h"
#include "api/override.h"
#include "api/slow.h"
#include "api/start.h"
#include "base/fatal.h"
#include "base/options.h"
#include "check/inspect.h"
#include "large/large.h"
#include "store/store.h"

/* A static link that takes this object, as every program does, must take all
 * of malloc's family and the start with it. */
static void (*const whole[])(void) __attribute__((used)) = {
    (void (*)(void))tide_api_start,
    tide_malloc_stats,
    (void (*)(void))tide_realloc,
    (void (*)(void))tide_aligned_alloc,
    (void (*)(void))tide_mallopt,
};

void *tide_malloc(size_t size)
{
    return tide_api_malloc(size);
}

/* Usable bytes of a pooled block.  What serves the classes below the line class
 * may be larger than they are. */
static size_t pooled_bytes(const void *block, size_t size)
{
    unsigned size_class = tide_class_of(size);

    return size_class < TIDE_LINE_CLASS ? tide_slot_pool(block)->block_bytes
                                        : tide_class_bytes[size_class];
}

/* As with glibc, all that malloc_usable_size tells is zero. */
void *tide_calloc(size_t count, size_t size)
{
    bool is_zero = false;
    size_t bytes;
    void *block;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    block = bytes <= TIDE_LOOKUP_MAX   ? tide_api_malloc(bytes)
            : bytes <= TIDE_POOLED_MAX ? tide_api_malloc_slow(bytes)
                                       : tide_api_malloc_any(bytes, &is_zero);
    if (!block || is_zero)
        return block;
    if (bytes <= TIDE_POOLED_MAX)
        return memset(block, 0, pooled_bytes(block, bytes));
    tide_large_clear(tide_store_block(block));
    return block;
}

void tide_free(void *block)
{
    tide_api_free(block, "free");
}

static void check_size(void *block, size_t size, const char *call)
{
    size_t bytes = tide_check_find(block, call).bytes;

    if (size > bytes)
        tide_base_misuse(call, block, "the block has %zu bytes, not %zu", bytes, size);
}

/* Whether the sized frees look at what they are told. */
static bool is_checking(const void *block)
{
    return block && (TIDE_DEBUG || tide_options.check);
}

void tide_free_sized(void *block, size_t size)
{
    if (TIDE_UNLIKELY(is_checking(block))) {
        check_size(block, size, "free_sized");
        tide_api_free_checked(block, "free_sized");
        return;
    }
    tide_api_free(block, "free_sized");
}

void tide_free_aligned_sized(void *block, size_t alignment, size_t size)
{
    if (TIDE_UNLIKELY(is_checking(block))) {
        check_size(block, size, "free_aligned_sized");
        if (!tide_is_power_of_two(alignment) || ((uintptr_t)block & (alignment - 1)) != 0)
            tide_base_misuse("free_aligned_sized", block, "the block is not aligned to %zu",
                             alignment);
        tide_api_free_checked(block, "free_aligned_sized");
        return;
    }
    tide_api_free(block, "free_aligned_sized");
}

TIDE_ALSO_NAMED(malloc, tide_malloc)
TIDE_ALSO_NAMED(calloc, tide_calloc)
TIDE_ALSO_NAMED(free, tide_free)
TIDE_ALSO_NAMED(__libc_malloc, tide_malloc)
TIDE_ALSO_NAMED(__libc_calloc, tide_calloc)
TIDE_ALSO_NAMED(__libc_free, tide_free)
TIDE_ALSO_NAMED(cfree, tide_free) /* of programs from before glibc 2.26 */
TIDE_ALSO_NAMED(free_sized, tide_free_sized)
TIDE_ALSO_NAMED(free_aligned_sized, tide_free_aligned_sized)
