/* base/fatal.h - saying what is wrong without allocating
 *
 * Messages are one line on stderr, formatted on the stack and written with
 * one write, so that they work inside malloc and do not interleave.
 */
#ifndef TIDE_BASE_FATAL_H
#define TIDE_BASE_FATAL_H

#include "config.h"

#define TIDE_PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* "tidepool: " and the message. */
void tide_base_warn(const char *format, ...) TIDE_PRINTF_LIKE(1, 2);

/* The same, then abort. */
_Noreturn void tide_base_fatal(const char *format, ...)
    TIDE_PRINTF_LIKE(1, 2) __attribute__((cold));

/* "tidepool: CALL(POINTER): " and the message, then abort. */
_Noreturn void tide_base_misuse(const char *call, const void *pointer, const char *format, ...)
    TIDE_PRINTF_LIKE(3, 4) __attribute__((cold));

/* Text with no prefix, for tables. */
void tide_base_print(const char *format, ...) TIDE_PRINTF_LIKE(1, 2);

#define TIDE_REQUIRE(condition)                                                              \
    ((condition) ? (void)0                                                                   \
                 : tide_base_fatal("%s:%d: broken invariant: %s", __FILE__, __LINE__, #condition))

#if TIDE_DEBUG
#define TIDE_ASSERT(condition) TIDE_REQUIRE(condition)
#else
#define TIDE_ASSERT(condition) ((void)sizeof(condition))
#endif

#endif
