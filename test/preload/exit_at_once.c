/* exit_at_once.c - a program whose main thread ends with pthread_exit just when it
 * has enough memory for tidepool to start its maintenance thread
 *
 * It must run what atexit was given, with its own files.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 320, BYTES = 60000 };

static void say_goodbye(void)
{
    puts("goodbye");
}

int main(void)
{
    static volatile char *blocks[BLOCKS];

    atexit(say_goodbye);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BYTES);
        if (blocks[i] == NULL)
            return 1;
        blocks[i][0] = 1;
    }
    pthread_exit(NULL);
}
