/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers of one test program: the seed is printed, and an environment variable gives it. */
#ifndef YARDER_BASE_TEST_RANDOM_H
#define YARDER_BASE_TEST_RANDOM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static uint64_t random_state;

static inline uint64_t random_next(void) /* splitmix64 */
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint32_t below(uint32_t limit)
{
    return (uint32_t)(random_next() % limit);
}

static inline void random_begin(const char *variable)
{
    const char *seed = getenv(variable);
    random_state = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    print_message("%s=%llu\n", variable, (unsigned long long)random_state);
}

#endif
