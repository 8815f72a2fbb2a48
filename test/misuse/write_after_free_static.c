/* expect: tidepool: the freed block PTR of 112 bytes was written to: its first word is PTR */
#include "tidepool/malloc.h"

int main(void)
{
    static char text[112];
    void *block = tide_malloc(112), *other = tide_malloc(112);

    tide_free(other);
    tide_free(block);
    *(char **)block = text;
    tide_free(tide_malloc(112));
    return 0;
}
