/* expect: tidepool: free(PTR): already free, or never allocated */
#include "base/geometry.h"
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc(112);
    tide_free(block + 20 * TIDE_SLOT_BYTES); /* in the same arena */
    return 0;
}
