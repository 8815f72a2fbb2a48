/* base/atomic.h - the few shapes of atomic access tidepool uses
 *
 * C11 atomics with the order spelled out.  One shape is special: a counter
 * that only its owner writes and walkers read.  As a C11 atomic the owner's
 * decrement costs a load, a subtraction and a store; as a plain one it is a
 * single instruction.  A walker that reads it sees some recent value either
 * way, which is all it needs.  Under ThreadSanitizer both sides are atomics,
 * so that real races stay visible.
 */
#ifndef TIDE_BASE_ATOMIC_H
#define TIDE_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define tide_relaxed(object) atomic_load_explicit((object), memory_order_relaxed)
#define tide_acquire(object) atomic_load_explicit((object), memory_order_acquire)
#define tide_set_relaxed(object, value) \
    atomic_store_explicit((object), (value), memory_order_relaxed)
#define tide_set_release(object, value) \
    atomic_store_explicit((object), (value), memory_order_release)

/* Adds to a statistics counter that only one thread at a time writes. */
#define tide_count(object, amount) tide_set_relaxed((object), tide_relaxed(object) + (amount))

#if defined(__SANITIZE_THREAD__)
#define TIDE_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TIDE_THREAD_SANITIZER 1
#endif
#endif
#ifndef TIDE_THREAD_SANITIZER
#define TIDE_THREAD_SANITIZER 0
#endif

/* Whether an atomic byte is that: in one instruction, which compilers make of a
 * plain byte alone. */
#if TIDE_THREAD_SANITIZER
#define tide_byte_is(byte, value) (tide_relaxed(byte) == (value))
#else
#define tide_byte_is(byte, value) (*(const uint8_t *)(byte) == (value))
#endif

/* In a loop that waits for another processor. */
static inline void tide_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Owner thread only.  Adds to the counter. */
#if TIDE_THREAD_SANITIZER
#define tide_owner_add(counter, amount) tide_count((counter), (amount))
#else
#define tide_owner_add(counter, amount) \
    (*(__typeof__(tide_relaxed(counter)) *)(counter) += (amount))
#endif

/* Owner thread only.  Whether the counter is zero after taking one from it. */
#if TIDE_THREAD_SANITIZER
static inline bool tide_owner_drops_to_zero(_Atomic uint32_t *counter)
{
    uint32_t value = tide_relaxed(counter) - 1;

    tide_set_relaxed(counter, value);
    return value == 0;
}
#else
static inline bool tide_owner_drops_to_zero(_Atomic uint32_t *counter)
{
    return --*(uint32_t *)counter == 0;
}
#endif

#endif
