/* expect: tidepool: free_sized(PTR): already free: a block of 112 bytes */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(112);
    tide_free_sized(block, 112);
    tide_free_sized(block, 112);
    return 0;
}
