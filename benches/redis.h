/* What the benchmarks of Redis share: a cache that has nothing but Redis, and the entries that they read. */
#ifndef REDIS_H
#define REDIS_H
#include "bench.h"

enum { ENTRIES = 10000, VALUE = 7000 };

/* A cache on the Redis at this port of the loopback, without L1: every get asks it. */
subject open_redis(const char *port);
/* Sees to it that keys 0 … ENTRIES - 1 are there, VALUE bytes each. */
void fill(const subject *on, const char *keys);
#endif
