/* expect: tidepool: free(PTR): not a block: tidepool's own records are there */
#include "arena/layout.h"
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(112);
    tide_free(tide_arena_of(block));
    return 0;
}
