/* store/grow.h - address space from the OS
 *
 * It comes in pieces next to the last one, where that can be: as much as is needed, or an
 * eighth of what there is if that is more, up to 1 GiB.  Any thread, without locks.
 */
#ifndef TIDE_STORE_GROW_H
#define TIDE_STORE_GROW_H

#include <stdbool.h>
#include <stddef.h>

#include "store/counts.h"

enum { TIDE_CUT_RECORDS = 2 };

/* From now on there are several memory nodes; all up to now is the first one's. */
void tide_store_use_nodes(unsigned first);

/* Which home a memory node's ranges have: 0 is the one that all is on before nodes are
 * known. */
unsigned tide_store_home(unsigned node);

/* A purged range in which what is asked for has room at *place; then the caller has the
 * store's lock, and there are records to cut it.  NULL and ENOMEM when there is no
 * memory. */
struct tide_range *tide_store_grow(const struct tide_request *request, char **place);

/* One of so many bytes that begins where a range ends; others may take it.  False when
 * something is there, of anyone's. */
bool tide_store_grow_behind(const struct tide_range *range, size_t bytes);

#endif
