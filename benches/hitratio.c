/* The hit ratio of L1 and of its peers over one trace, at 1, 5 and 10 % of all bytes of key and value; a miss sets what
 * was missing. Usage: hitratio TRACE [REQUESTS [CACHE]...] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "traces.h"

enum { SHORTEST = 6500, LONGEST = 7500 };

static size_t length_of(uint32_t number) {
  uint64_t state = number;
  return SHORTEST + next_random(&state) % (LONGEST - SHORTEST + 1);
}

/* In percent, of all requests but the first tenth, which warm up. */
static double hit_ratio(const subject *cache, const uint32_t *requests, size_t count) {
  static char value[LONGEST];
  size_t hits = 0, warm_up = count / 10;
  for (size_t i = 0; i < count; i++) {
    char key[KEY_STRIDE];
    write_key(requests[i], key);
    const tc_value *got;
    tc_status status = cache->get(cache->cache, key, KEY_LENGTH, &got);
    if (status == TC_NOT_FOUND) {
      must(set(cache, key, value, length_of(requests[i])), "set");
      continue;
    }
    must(status, "get");
    hits += i >= warm_up;
    cache->release(got);
  }
  return 100.0 * hits / (count - warm_up);
}

int main(int count, char **arguments) {
  static const char *const everybody[] = {"tokencache", "lru", "moka", "quick_cache", NULL};
  static const int percents[] = {1, 5, 10};
  if (count < 2) return fprintf(stderr, "usage: hitratio TRACE [REQUESTS [CACHE]...]\n"), 2;
  size_t requests = count > 2 ? strtoul(arguments[2], NULL, 10) : 1000000;
  const uint32_t *numbers = trace(arguments[1], requests);
  if (!numbers) return fprintf(stderr, "no trace %s\n", arguments[1]), 2;
  uint64_t all_bytes = 0;
  for (uint32_t i = 0; i < TRACE_ENTRIES; i++) all_bytes += length_of(i) + KEY_LENGTH;

  for (size_t i = 0; i < sizeof percents / sizeof *percents; i++)
    for (const char *const *name = count > 3 ? (const char *const *)arguments + 3 : everybody; *name; name++) {
      uint64_t capacity_bytes = all_bytes * percents[i] / 100;
      bool is_ours = !strcmp(*name, "tokencache");
      subject cache = is_ours ? open_tokencache(capacity_bytes) : open_peer(*name, capacity_bytes);
      char row[64];
      snprintf(row, sizeof row, "%s %d %s", arguments[1], percents[i], *name);
      report(row, hit_ratio(&cache, numbers, requests), "%%");
      cache.close(cache.cache);
    }
  return 0;
}
