/* The time of L1, as ratios. Usage: hit [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>

#include "calls.h"

enum { HOT = 1000, CALLS = 1 << 18 };

static void copy(const subject *on, const uint32_t *draws, size_t calls) {
  static _Thread_local char buffer[VALUE];
  for (size_t i = 0; i < calls; i++) {
    size_t len;
    if (on->get_into(on->cache, keys + draws[i] * KEY_STRIDE, KEY_LENGTH, buffer, sizeof buffer, &len)) abort();
  }
}

int main(int count, char **arguments) {
  size_t rounds = count > 1 ? strtoul(arguments[1], NULL, 10) : 9;
  if (rounds < 1 || rounds > MAX_ROUNDS) return 2;
  uint32_t *all = zipf_draws(ENTRIES, DRAWS, 1), *hot = zipf_draws(HOT, DRAWS, 2);
  uint32_t *one = calloc(DRAWS, sizeof *one);

  subject floor = open_floor(), ours = open_tokencache(1 << 30);
  fill(&floor);
  fill(&ours);
  must_hold_everything(&ours);

  for (int threads = 1; threads <= 2; threads++)
    compare(threads == 1 ? "hit_1" : "hit_2", (side){zero_copy, &ours, all, threads},
            (side){zero_copy, &floor, all, threads}, rounds, CALLS, "floor");
  compare("hit_read", (side){read_all, &ours, all, 1}, (side){read_all, &floor, all, 1}, rounds, CALLS / 2, "floor");
  compare("hot_2", (side){zero_copy, &ours, hot, 2}, (side){zero_copy, &ours, hot, 1}, rounds, CALLS, "one thread");
  compare("one_key_2", (side){zero_copy, &ours, one, 2}, (side){zero_copy, &floor, one, 2}, rounds, CALLS, "floor");

  tc_cache *(*bare_open)(tc_cache *) = floor_symbol("bare_open");
  void (*bare_close)(tc_cache *) = floor_symbol("bare_close");
  subject bare = {.cache = bare_open(floor.cache), .get_into = floor_symbol("bare_get_into")};
  compare("copy", (side){copy, &ours, all, 1}, (side){copy, &bare, all, 1}, rounds, CALLS / 2, "bare");
  bare_close(bare.cache);

  /* Last, because sets leave the heap in disorder. */
  compare("set", (side){overwrite, &ours, all, 1}, (side){overwrite, &floor, all, 1}, rounds, CALLS / 4, "floor");
  ours.close(ours.cache);
  return 0;
}
