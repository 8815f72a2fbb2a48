/* expect: tidepool: the freed block PTR of 112 bytes was written to: its first word is PTR */
#include "tidepool/malloc.h"

int main(void)
{
    void *blocks[] = { tide_malloc(112), tide_malloc(112), tide_malloc(112) };

    tide_free(blocks[0]);
    tide_free(blocks[1]);
    *(const char **)blocks[1] = (const char *)blocks[2] + 8;
    tide_free(tide_malloc(112));
    return 0;
}
