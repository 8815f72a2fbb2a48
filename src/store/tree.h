/* store/tree.h - free ranges by size, and where sizes are equal by address
 *
 * A treap: a search tree that is balanced as each node is put above those of lower
 * priority, which is a number as good as random.  All take O(log n), without recursion.
 * The caller has the store's lock.
 */
#ifndef TIDE_STORE_TREE_H
#define TIDE_STORE_TREE_H

#include <stddef.h>

struct tide_range;

/* Enters a range that is in no tree; takes out one that is in this tree.  Its start and
 * bytes don't change in between. */
void tide_tree_insert(struct tide_range **root, struct tide_range *range);
void tide_tree_remove(struct tide_range **root, struct tide_range *range);

/* The smallest range of at least so many bytes; NULL: there is none. */
struct tide_range *tide_tree_fit(struct tide_range *root, size_t bytes);

/* The one after a range of the tree; the last one of all.  NULL: there is none. */
struct tide_range *tide_tree_next(struct tide_range *root, const struct tide_range *range);
struct tide_range *tide_tree_last(struct tide_range *root);

#endif
