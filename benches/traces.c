#include "traces.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { SEED = 1 };

static uint32_t *zipf(size_t count) { return zipf_draws(TRACE_ENTRIES, count, SEED); }

static uint32_t *scan(size_t count) {
  enum { BETWEEN = 100000, BURST = 30000 };
  uint32_t *keys = zipf(count), *all = malloc(count * sizeof *all);
  uint32_t once = TRACE_ENTRIES;
  for (size_t i = 0, drawn = 0; i < count; i++) all[i] = i % (BETWEEN + BURST) < BETWEEN ? keys[drawn++] : once++;
  free(keys);
  return all;
}

static uint32_t *shift(size_t count) {
  enum { PERIOD = 250000 };
  uint32_t *all = malloc(count * sizeof *all);
  for (size_t first = 0; first < count; first += PERIOD) {
    size_t length = count - first < PERIOD ? count - first : PERIOD;
    /* Another seed gives the same ranks to other keys. */
    uint32_t *keys = zipf_draws(TRACE_ENTRIES, length, SEED + first);
    memcpy(all + first, keys, length * sizeof *all);
    free(keys);
  }
  return all;
}

static uint32_t *sessions(size_t count, bool is_uniform) {
  enum { ACTIVE = 4000, REQUESTS = 30 };
  uint64_t random = SEED;
  uint32_t *all = malloc(count * sizeof *all), *users = zipf(count + ACTIVE), active[ACTIVE];
  size_t arrived = 0;
  for (size_t i = 0; is_uniform && i < count + ACTIVE; i++) users[i] = next_random(&random) % TRACE_ENTRIES;
  while (arrived < ACTIVE) active[arrived] = users[arrived], arrived++;
  for (size_t i = 0; i < count; i++) {
    size_t at = next_random(&random) % ACTIVE;
    all[i] = active[at];
    if (next_random(&random) % REQUESTS == 0) active[at] = users[arrived++];
  }
  free(users);
  return all;
}

uint32_t *trace(const char *name, size_t count) {
  if (!strcmp(name, "zipf")) return zipf(count);
  if (!strcmp(name, "scan")) return scan(count);
  if (!strcmp(name, "shift")) return shift(count);
  if (!strcmp(name, "sessions")) return sessions(count, false);
  if (!strcmp(name, "sessions_uniform")) return sessions(count, true);
  return NULL;
}
