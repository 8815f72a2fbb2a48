/* expect: tidepool: malloc_usable_size(PTR): already free: a block of 112 bytes */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(112);
    tide_free(block);
    return (int)tide_usable_size(block);
}
