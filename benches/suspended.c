/* The time of a call that the open circuit answers, beside that of a hit, taken in turns. L2 is a port that nobody
 * listens on; what is hit is kept in this process alone. Usage: suspended [ROUNDS [FOLDER for a journal file]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { ENTRIES = 100000, VALUE = 7000, DRAWS = 1 << 20, CALLS = 1 << 16, MAX_ROUNDS = 101 };

static subject on;
static char *keys;
static uint32_t *draws;

static void keep_here(const char *key) {
  static char value[VALUE];
  memset(value, 'v', sizeof value);
  tc_set_options options = TC_SET_OPTIONS;
  options.flags = TC_LOCAL_ONLY;
  must(on.set(on.cache, key, KEY_LENGTH, value, sizeof value, &options, NULL), "fill");
}

static const char *key_of(size_t number) { return keys + number * KEY_STRIDE; }

/* ns of a hit, released. */
static double hit(size_t first) {
  double start = now_ns();
  for (size_t i = 0; i < CALLS; i++) {
    const tc_value *value;
    if (on.get(on.cache, key_of(draws[(first + i) % DRAWS]), KEY_LENGTH, &value) != TC_OK) abort();
    on.release(value);
  }
  return (now_ns() - start) / CALLS;
}

/* ns of a read that nobody can answer. */
static double suspended(size_t first) {
  double start = now_ns();
  for (size_t i = 0; i < CALLS; i++) {
    const tc_value *value;
    const char *key = key_of(ENTRIES + draws[(first + i) % DRAWS]);
    if (on.get(on.cache, key, KEY_LENGTH, &value) != TC_L2_SUSPENDED) abort();
  }
  return (now_ns() - start) / CALLS;
}

int main(int count, char **arguments) {
  size_t rounds = count > 1 ? strtoul(arguments[1], NULL, 10) : 9;
  if (rounds < 1 || rounds > MAX_ROUNDS) return 2;
  keys = make_keys(2 * ENTRIES);
  draws = zipf_draws(ENTRIES, DRAWS, 1);
  bool has_file = count > 2;
  char document[1000], journal[500] = "";
  if (has_file) snprintf(journal, sizeof journal, ", \"journal_path\": \"%s/owed.db\"", arguments[2]);
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l1\": {\"capacity_bytes\": 1073741824}, \"logging\": {\"to\": \"none\"}, "
           "\"l2\": {\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:1\"}, "
           "\"encryption\": {\"algorithm\": \"none\"}, \"resilience\": {\"circuit_failures\": 1%s}}",
           journal);
  on = open_document(document);
  for (size_t i = 0; i < ENTRIES; i++) keep_here(key_of(i));
  const tc_value *value;
  while (on.get(on.cache, key_of(ENTRIES), KEY_LENGTH, &value) != TC_L2_SUSPENDED) continue;
  hit(0);
  suspended(0);
  double hits[MAX_ROUNDS], suspensions[MAX_ROUNDS], ratios[MAX_ROUNDS];
  for (size_t i = 0; i < rounds; i++) {
    hits[i] = hit(i * CALLS);
    suspensions[i] = suspended(i * CALLS);
    ratios[i] = suspensions[i] / hits[i];
  }
  report(has_file ? "suspended_file" : "suspended", median(ratios, rounds), "%.0f ns, a hit %.0f ns", median(suspensions, rounds),
         median(hits, rounds));
  must(on.close(on.cache), "tc_close");
}
