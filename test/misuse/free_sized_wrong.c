/* expect: tidepool: free_sized(PTR): the block has 112 bytes, not 4000 */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(112);
    tide_free_sized(block, 4000);
    return 0;
}
