/* store/tree.c - see tree.h */
#include "store/tree.h"

#include <stdbool.h>
#include <stdint.h>

#include "store/range.h"

/* Of the record's place, which stays. */
static uint64_t priority(const struct tide_range *range)
{
    return (uintptr_t)range * UINT64_C(0x9e3779b97f4a7c15);
}

static bool is_before(const struct tide_range *range, const struct tide_range *other)
{
    return range->bytes != other->bytes ? range->bytes < other->bytes
                                        : range->start < other->start;
}

void tide_tree_insert(struct tide_range **root, struct tide_range *range)
{
    struct tide_range **link = root, **left = &range->left, **right = &range->right, *rest;

    while (*link && priority(*link) >= priority(range))
        link = is_before(range, *link) ? &(*link)->left : &(*link)->right;
    rest = *link;
    *link = range;
    while (rest) { /* is parted at the new range */
        if (is_before(rest, range)) {
            *left = rest;
            left = &rest->right;
            rest = rest->right;
        } else {
            *right = rest;
            right = &rest->left;
            rest = rest->left;
        }
    }
    *left = *right = NULL;
}

void tide_tree_remove(struct tide_range **root, struct tide_range *range)
{
    struct tide_range **link = root, *left = range->left, *right = range->right;

    while (*link != range)
        link = is_before(range, *link) ? &(*link)->left : &(*link)->right;
    while (left && right) { /* are joined in its place */
        if (priority(left) > priority(right)) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left ? left : right;
}

struct tide_range *tide_tree_fit(struct tide_range *root, size_t bytes)
{
    struct tide_range *best = NULL;

    while (root) {
        bool fits = root->bytes >= bytes;

        best = fits ? root : best;
        root = fits ? root->left : root->right;
    }
    return best;
}

struct tide_range *tide_tree_next(struct tide_range *root, const struct tide_range *range)
{
    struct tide_range *next = NULL;

    while (root) {
        bool is_after = is_before(range, root);

        next = is_after ? root : next;
        root = is_after ? root->left : root->right;
    }
    return next;
}

struct tide_range *tide_tree_last(struct tide_range *root)
{
    while (root && root->right)
        root = root->right;
    return root;
}
