/* The time of the seal by hand, with the copy into a tc_value that comes with it. Rounds of sealing and of opening take
 * turns, each too short for the kernel to give the core to somebody else, and a figure is the median of its rounds.
 * Usage: seal [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { VALUE = 7000, CALLS = 200, MAX_ROUNDS = 2001 };

typedef tc_status seal_fn(tc_cache *, const char *, size_t, const void *, size_t, const tc_value **);

static subject on;
static seal_fn *protect_fn, *unprotect_fn;
static char key[KEY_STRIDE];

static const tc_value *protect(const char *value) {
  const tc_value *envelope;
  must(protect_fn(on.cache, key, KEY_LENGTH, value, VALUE, &envelope), "tc_protect");
  return envelope;
}

static const tc_value *unprotect(const tc_value *envelope) {
  const tc_value *value;
  must(unprotect_fn(on.cache, key, KEY_LENGTH, envelope->data, envelope->len, &value), "tc_unprotect");
  return value;
}

/* µs of a call. */
static double seal_all(const char *value) {
  double start = now_ns();
  for (int i = 0; i < CALLS; i++) on.release(protect(value));
  return (now_ns() - start) / CALLS / 1000;
}

static double open_all(const tc_value *envelope) {
  double start = now_ns();
  for (int i = 0; i < CALLS; i++) on.release(unprotect(envelope));
  return (now_ns() - start) / CALLS / 1000;
}

static double least(const double *values, int count) {
  double least = values[0];
  for (int i = 1; i < count; i++)
    if (values[i] < least) least = values[i];
  return least;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1001;
  if (rounds < 1 || rounds > MAX_ROUNDS) return 2;
  /* A key that anybody can read here. */
  on = open_document("{\"version\": 1, \"encryption\": {\"algorithm\": \"aes-256-gcm\", \"keyring\": {\"version\": 1, "
                     "\"keys\": [{\"state\": \"active\", \"material\": \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}]}}}");
  protect_fn = (seal_fn *)tokencache_symbol("tc_protect");
  unprotect_fn = (seal_fn *)tokencache_symbol("tc_unprotect");
  static char value[VALUE];
  uint64_t random = 1;
  for (size_t i = 0; i < VALUE; i++) value[i] = (char)('A' + next_random(&random) % 26);
  write_key(1, key);
  const tc_value *envelope = protect(value), *opened = unprotect(envelope);
  if (opened->len != VALUE || memcmp(opened->data, value, VALUE) != 0) abort();
  double seals[MAX_ROUNDS], opens[MAX_ROUNDS];
  for (int round = 0; round < rounds; round++) {
    seals[round] = seal_all(value);
    opens[round] = open_all(envelope);
  }
  report("seal", median(seals, (size_t)rounds), "fastest of %d rounds %.2f", rounds, least(seals, rounds));
  report("open", median(opens, (size_t)rounds), "fastest of %d rounds %.2f", rounds, least(opens, rounds));
  report("seal_overhead", (double)(envelope->len - VALUE), "an envelope less its value");
  on.release(opened);
  on.release(envelope);
  must(on.close(on.cache), "tc_close");
}
