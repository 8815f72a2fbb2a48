/* store/take.h - how a range is found: the store's inside
 *
 * Rather a dirty range than a purged one, and the smallest that suits; where none does,
 * the largest dirty one with what is purged around it.  What is to be zero is rather
 * purged.
 */
#ifndef TIDE_STORE_TAKE_H
#define TIDE_STORE_TAKE_H

#include "store/counts.h"

/* What is asked for, and what comes of it. */
struct tide_taking {
    const struct tide_request *request;
    size_t replaced; /* bytes of a range that it is to replace; then it is all zero */
    size_t fresh;    /* bytes that have no pages */
    bool is_refused; /* by the limit */
};

/* NULL and ENOMEM when there is no memory.  No locks held. */
struct tide_range *tide_take(struct tide_taking *taking);

/* ---- Under the store's lock ------------------------------------------------ */

/* Free bytes in a row from address on, as many as are wanted; *dirty becomes how many of
 * them are dirty. */
size_t tide_take_survey(const char *address, unsigned home, size_t wanted, size_t *dirty);

/* The range gets what is free behind it, as much as is wanted, which there is. */
void tide_take_behind(struct tide_range *range, size_t wanted);

#endif
