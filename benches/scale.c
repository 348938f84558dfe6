/* One point of a curve: what a zero-copy hit costs with so many threads, bytes in a value, entries, or bytes in a key,
 * beside the floor. Usage: scale WHAT NUMBER [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rounds.h"

/* What a point has that is not the one of its curve. */
static size_t threads = 1, value_bytes = 7000, entries = 100000, key_bytes = KEY_LENGTH;

static char *keys;

static void zero_copy(const subject *on, const uint32_t *draws, size_t calls) {
  for (size_t i = 0; i < calls; i++) {
    const tc_value *value;
    if (on->get(on->cache, keys + draws[i] * (key_bytes + 1), key_bytes, &value) != TC_OK) abort();
    on->release(value);
  }
}

/* Each begins with its number and is as long as asked for. */
static void make_long_keys(void) {
  keys = malloc(entries * (key_bytes + 1));
  for (size_t i = 0; i < entries; i++) {
    char key[KEY_STRIDE], *at = keys + i * (key_bytes + 1);
    write_key(i, key);
    for (size_t j = 0; j < key_bytes; j++) at[j] = key[j % KEY_LENGTH];
    at[key_bytes] = 0;
  }
}

static void fill(const subject *on) {
  static const tc_set_options options = TC_SET_OPTIONS;
  char *value = calloc(1, value_bytes);
  for (size_t i = 0; i < entries; i++) {
    uint64_t version;
    must(on->set(on->cache, keys + i * (key_bytes + 1), key_bytes, value, value_bytes, &options, &version), "fill");
  }
  free(value);
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  size_t number = strtoul(arguments[2], NULL, 10), rounds = count > 3 ? strtoul(arguments[3], NULL, 10) : 7;
  if (number < 1 || rounds < 1 || rounds > MAX_ROUNDS) return 2;
  /* Of very many entries nobody has the memory for large ones. */
  if (!strcmp(arguments[1], "threads")) threads = number;
  else if (!strcmp(arguments[1], "hot_threads")) threads = number, entries = 1000;
  else if (!strcmp(arguments[1], "value_bytes")) value_bytes = number, entries = 10000;
  else if (!strcmp(arguments[1], "entries")) entries = number, value_bytes = 100;
  else if (!strcmp(arguments[1], "key_bytes")) key_bytes = number, entries = 10000;
  else return 2;

  make_long_keys();
  uint32_t *draws = zipf_draws(entries, DRAWS, 1);
  subject floor = open_floor(), ours = open_tokencache((value_bytes + key_bytes + 512) * entries * 5 / 4 + (1 << 20));
  fill(&floor);
  fill(&ours);
  compare(arguments[1], (side){zero_copy, &ours, draws, threads}, (side){zero_copy, &floor, draws, threads}, rounds,
          (1 << 19) / threads, "floor");
  ours.close(ours.cache);
  return 0;
}
