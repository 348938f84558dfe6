/* What L1 promises of new writes: every one is readable right after it was set, and the newest ones, an eighth of the
 * capacity in bytes of key and value, stay readable though nobody read them.
 * Usage: admission TRIALS, or admission large */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { SHORTEST = 6500, LONGEST = 7500, LARGEST = 1 << 20, MAX_STREAM = 20000, READS = 8 };

static subject cache;
static uint64_t capacity, random_state, next_fresh;
/* Keys 0 … residents - 1 fill the cache and, where it is hot, are read all the time. */
static uint64_t residents;
static char bytes[LARGEST];

static size_t length(void) { return SHORTEST + next_random(&random_state) % (LONGEST - SHORTEST + 1); }

static void put(uint64_t number, uint64_t stamp, size_t len) {
  char key[KEY_STRIDE];
  write_key(number, key);
  memcpy(bytes, &stamp, sizeof stamp);
  must(set(&cache, key, bytes, len), "tc_set");
}

/* Whether the entry is there; with a stamp, whether it is the value of that write. */
static bool is_readable(uint64_t number, const uint64_t *stamp) {
  char key[KEY_STRIDE];
  const tc_value *value;
  write_key(number, key);
  tc_status status = cache.get(cache.cache, key, KEY_LENGTH, &value);
  if (status == TC_NOT_FOUND) return false;
  must(status, "tc_get");
  bool is_it = !stamp || memcmp(value->data, stamp, sizeof *stamp) == 0;
  cache.release(value);
  return is_it;
}

static void read_residents(int times) {
  for (int i = 0; i < times; i++)
    for (uint64_t number = 0; number < residents; number++) is_readable(number, NULL);
}

static void open_full(uint64_t capacity_bytes, bool is_hot, uint64_t seed) {
  cache = open_tokencache(capacity_bytes);
  capacity = capacity_bytes ? capacity_bytes : 67108864;
  random_state = seed;
  next_fresh = 1ull << 40;
  residents = capacity * 6 / 5 / ((SHORTEST + LONGEST) / 2 + KEY_LENGTH);
  for (int pass = 0; pass < (is_hot ? 3 : 1); pass++) {
    for (uint64_t number = 0; number < residents; number++)
      if (!is_hot || !is_readable(number, NULL)) put(number, 0, length());
    if (is_hot) read_residents(READS);
  }
}

static void close_cache(void) { cache.close(cache.cache); }

typedef enum { FRESH, OVERWRITES, GHOSTS, MIXED } kind;
typedef struct {
  uint64_t number, stamp;
  size_t len;
} write_made;

/* The key of the write at `share` (0 … 1) of the stream. Those that are no fresh keys come first, because a write that
 * is not followed by others has nothing to fear. */
static uint64_t choose(kind what, double share, double turn, uint64_t *overwritten, uint64_t *ghost) {
  if (what == MIXED) what = next_random(&random_state) % 3, turn = 2;
  if (what == OVERWRITES && share < turn) return (*overwritten)++;
  if (what == GHOSTS && share < turn) return (*ghost)++;
  return next_fresh++;
}

/* Keys that were here and have been evicted since, without being read. */
static uint64_t make_ghosts(size_t count, bool is_hot) {
  uint64_t first = next_fresh;
  for (size_t i = 0; i < count; i++) put(next_fresh++, 0, length());
  for (size_t i = 0; i < residents / 2; i++) put(next_fresh++, 0, length());
  if (is_hot) read_residents(2);
  return first;
}

typedef struct {
  size_t written, lost, worst;
} outcome;

static void trial(kind what, bool is_hot, uint64_t capacity_bytes, uint64_t seed, outcome *sum) {
  static write_made writes[MAX_STREAM];
  open_full(capacity_bytes, is_hot, seed);
  size_t eighth = capacity / 8, expected = eighth / ((SHORTEST + LONGEST) / 2 + KEY_LENGTH), made = 0;
  uint64_t ghost = what == FRESH || what == OVERWRITES ? 0 : make_ghosts(expected, is_hot);
  /* Of a cold cache's residents the first have been evicted; the oldest that are left are the next to go. */
  uint64_t overwritten = is_hot        ? next_random(&random_state) % (residents / 2)
                         : what == MIXED ? residents * 85 / 100
                                         : residents * 3 / 10;
  double turn = (1 + next_random(&random_state) % 9) / 10.0;

  size_t sum_bytes = 0, len;
  while (len = length(), sum_bytes + len + KEY_LENGTH <= eighth && made < MAX_STREAM) {
    uint64_t number = choose(what, (double)sum_bytes / eighth, turn, &overwritten, &ghost);
    writes[made] = (write_made){number, 1 + made, len};
    put(number, 1 + made, len);
    sum_bytes += len + KEY_LENGTH, made++;
    /* A hot cache stays hot: its residents, the new writes excepted, are read on. */
    for (int i = 0; is_hot && i < 2; i++) {
      uint64_t other = next_random(&random_state) % residents;
      bool is_new = false;
      for (size_t j = 0; j < made && !is_new; j++) is_new = writes[j].number == other;
      if (!is_new) is_readable(other, NULL);
    }
  }
  size_t lost = 0;
  for (size_t i = 0; i < made; i++) lost += !is_readable(writes[i].number, &writes[i].stamp);
  sum->written += made;
  sum->lost += lost;
  if (lost > sum->worst) sum->worst = lost;
  close_cache();
}

static void newest(const char *row, kind what, bool is_hot, size_t trials) {
  static const uint64_t capacities[] = {10000000, 67108864};
  outcome sum = {0};
  for (size_t i = 0; i < trials; i++)
    for (size_t j = 0; j < sizeof capacities / sizeof *capacities; j++)
      trial(what, is_hot, capacities[j], 1000 * i + j, &sum);
  report(row, 100.0 * (sum.written - sum.lost) / sum.written, "%zu of %zu lost in %zu trials of 10 MB and 64 MiB, worst %zu",
         sum.lost, sum.written, trials, sum.worst);
}

static void at_once(size_t writes) {
  size_t lost = 0;
  open_full(0, true, 7);
  for (size_t i = 0; i < writes; i++) {
    uint64_t number = next_fresh++, stamp = 1 + i;
    put(number, stamp, length());
    lost += !is_readable(number, &stamp);
  }
  close_cache();
  report("at_once", 100.0 * (writes - lost) / writes, "%zu of %zu lost, into a full hot cache of 64 MiB", lost, writes);
}

static void large(void) {
  uint64_t stamp = 1;
  size_t readable = 0, tries = 0;
  for (int is_full = 0; is_full < 2; is_full++) {
    if (is_full) open_full(0, true, 9);
    else cache = open_tokencache(0), next_fresh = 1ull << 40;
    for (int i = 0; i < 32; i++, tries++) {
      put(next_fresh, stamp, LARGEST);
      readable += is_readable(next_fresh++, &stamp);
    }
    close_cache();
  }
  report("large", 100.0 * readable / tries, "1 MiB at the default sizes, into an empty and a full hot cache");
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  memset(bytes, 'v', sizeof bytes);
  if (strcmp(arguments[1], "large") == 0) return large(), 0;
  size_t trials = strtoul(arguments[1], NULL, 10);
  if (trials < 1) return 2;
  at_once(20000);
  static const char *const names[] = {"fresh", "overwrites", "ghosts", "mixed"};
  for (int is_hot = 0; is_hot < 2; is_hot++)
    for (kind what = FRESH; what <= MIXED; what++) {
      char row[40];
      snprintf(row, sizeof row, "newest_%s_%s", is_hot ? "hot" : "cold", names[what]);
      newest(row, what, is_hot, trials);
    }
  return 0;
}
