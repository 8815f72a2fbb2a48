/* expect: tidepool: realloc(PTR): already free: a block of 112 bytes */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(112);
    tide_free(block);
    block = tide_realloc(block, 200);
    tide_free(block);
    return 0;
}
