/* A set that compares, beside one that does not: one thread, one of each in turn, on different keys, so that neither
 * finds its key warmer than the other. Usage: redis_cas PORT [ROUNDS] [SETS of each kind in a round] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis.h"

enum { KEYS = 1000, MAX_ROUNDS = 101 };

static subject redis;
static char *keys;
static char data[VALUE];
static uint64_t versions[KEYS];

/* Stores the `sets`-th value of this run under a key over `expected`; answers how long it took in µs. */
static double timed_set(size_t key, uint64_t expected, uint64_t sets) {
  memcpy(data, &sets, sizeof sets);
  tc_set_options options = TC_SET_OPTIONS;
  options.expected_version = expected;
  double began = now_ns();
  tc_status status = redis.set(redis.cache, keys + key * KEY_STRIDE, KEY_LENGTH, data, VALUE, &options, &versions[key]);
  double took = now_ns() - began;
  must(status, "tc_set");
  return took / 1e3;
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: redis_cas PORT [ROUNDS] [SETS]\n"), 2;
  size_t rounds = count > 2 ? atoi(arguments[2]) : 9, sets = count > 3 ? atoi(arguments[3]) : 2000;
  if (rounds < 1 || rounds > MAX_ROUNDS) return fprintf(stderr, "1 … %d rounds\n", MAX_ROUNDS), 2;
  redis = open_redis(arguments[1]);
  keys = make_keys(KEYS);
  memset(data, 'v', sizeof data);
  uint64_t state = 1, written = 0;
  for (size_t i = 0; i < KEYS; i++) timed_set(i, 0, written++);
  /* The server learns the script before anything is timed. */
  timed_set(0, versions[0], written++);

  double *plain = malloc(sets * sizeof *plain), *compared = malloc(sets * sizeof *compared);
  double ratios[MAX_ROUNDS], plain_p50[MAX_ROUNDS], compared_p50[MAX_ROUNDS];
  for (size_t round = 0; round < rounds; round++) {
    for (size_t i = 0; i < sets; i++) {
      plain[i] = timed_set(next_random(&state) % KEYS, 0, written++);
      size_t key = next_random(&state) % KEYS;
      compared[i] = timed_set(key, versions[key], written++);
    }
    plain_p50[round] = median(plain, sets), compared_p50[round] = median(compared, sets);
    ratios[round] = compared_p50[round] / plain_p50[round];
  }
  report("cas", median(ratios, rounds), "p50 %.1f µs, a plain set's %.1f µs", median(compared_p50, rounds),
         median(plain_p50, rounds));
  must(redis.close(redis.cache), "tc_close");
}
