/* heap/slow.c - see slow.h */
#include "heap/slow.h"

#include "heap/common.h"
#include "heap/refill.h"

struct block *tide_heap_refill(struct heap *heap, unsigned size_class)
{
    bool is_own;
    struct block *blocks = tide_heap_take_used(heap, size_class, &is_own);

    if (!blocks)
        blocks = tide_common_share(heap, size_class);
    if (!blocks) {
        blocks = tide_heap_take_unused(heap, size_class);
        is_own = true;
    }
    return tide_heap_fill_list(heap, size_class, blocks, is_own);
}

struct block *tide_heap_take(struct heap *heap, unsigned size_class)
{
    struct block *block = heap->list[size_class].freed;

    if (TIDE_UNLIKELY(tide_heap_is_common(heap)))
        return tide_common_take(size_class);
    if (TIDE_UNLIKELY(!block))
        return tide_heap_refill(heap, size_class);
    heap->list[size_class].freed = block->next;
    return block;
}
