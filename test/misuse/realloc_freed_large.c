/* expect: tidepool: realloc(PTR): already free: a large block */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(131072);
    tide_free(block);
    block = tide_realloc(block, 200000);
    tide_free(block);
    return 0;
}
