/* The time of L1, as ratios: in every round both sides run the same keys one after the other, and the ratio is taken
 * inside the round, so that a machine which slows down slows down both. Usage: hit [ROUNDS] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { ENTRIES = 100000, HOT = 1000, VALUE = 7000, DRAWS = 1 << 21, CALLS = 1 << 18, MAX_ROUNDS = 101 };

static char *keys;

/* Calls made with the keys that `draws` names. */
typedef void work(const subject *on, const uint32_t *draws, size_t calls);

static void zero_copy(const subject *on, const uint32_t *draws, size_t calls) {
  for (size_t i = 0; i < calls; i++) {
    const tc_value *value;
    if (on->get(on->cache, keys + draws[i] * KEY_STRIDE, KEY_LENGTH, &value) != TC_OK) abort();
    if (value->len != VALUE) abort();
    on->release(value);
  }
}

static void copy(const subject *on, const uint32_t *draws, size_t calls) {
  static _Thread_local char buffer[VALUE];
  for (size_t i = 0; i < calls; i++) {
    size_t len;
    if (on->get_into(on->cache, keys + draws[i] * KEY_STRIDE, KEY_LENGTH, buffer, sizeof buffer, &len)) abort();
  }
}

static void overwrite(const subject *on, const uint32_t *draws, size_t calls) {
  static char value[VALUE];
  memset(value, 'v', sizeof value);
  for (size_t i = 0; i < calls; i++)
    if (set(on, keys + draws[i] * KEY_STRIDE, value, sizeof value) != TC_OK) abort();
}

typedef struct {
  work *what;
  const subject *on;
  const uint32_t *draws;
  int threads;
} side;

typedef struct {
  const side *of;
  size_t first, calls;
  pthread_barrier_t *start;
  double ns;
} turn;

static void *take_turn(void *argument) {
  turn *mine = argument;
  pthread_barrier_wait(mine->start);
  double start = now_ns();
  mine->of->what(mine->of->on, mine->of->draws + mine->first, mine->calls);
  mine->ns = now_ns() - start;
  return NULL;
}

/* What a call costs the thread that makes it. */
static double ns_per_call(const side *of, size_t round, size_t calls) {
  pthread_t ids[of->threads];
  turn turns[of->threads];
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, of->threads);
  double ns = 0;
  for (int i = 0; i < of->threads; i++) {
    turns[i] = (turn){of, (round * of->threads + i) * calls % DRAWS, calls, &start, 0};
    pthread_create(&ids[i], NULL, take_turn, &turns[i]);
  }
  for (int i = 0; i < of->threads; i++) {
    pthread_join(ids[i], NULL);
    ns += turns[i].ns;
  }
  pthread_barrier_destroy(&start);
  return ns / calls / of->threads;
}

static void compare(const char *row, side ours, side floor, size_t rounds, size_t calls, const char *unit) {
  double ours_ns[MAX_ROUNDS], floor_ns[MAX_ROUNDS], ratios[MAX_ROUNDS];
  ns_per_call(&ours, 0, calls);
  ns_per_call(&floor, 0, calls);
  for (size_t i = 0; i < rounds; i++) {
    bool floor_first = i % 2;
    if (floor_first) floor_ns[i] = ns_per_call(&floor, i, calls);
    ours_ns[i] = ns_per_call(&ours, i, calls);
    if (!floor_first) floor_ns[i] = ns_per_call(&floor, i, calls);
    ratios[i] = ours_ns[i] / floor_ns[i];
  }
  report(row, median(ratios, rounds), "%.0f ns, %s %.0f ns", median(ours_ns, rounds), unit, median(floor_ns, rounds));
}

static void fill(const subject *on) {
  static char value[VALUE];
  memset(value, 'v', sizeof value);
  for (size_t i = 0; i < ENTRIES; i++) must(set(on, keys + i * KEY_STRIDE, value, sizeof value), "fill");
}

static void must_hold_everything(const subject *on) {
  for (size_t i = 0; i < ENTRIES; i++) {
    const tc_value *value;
    must(on->get(on->cache, keys + i * KEY_STRIDE, KEY_LENGTH, &value), "an entry that fits is not in L1");
    on->release(value);
  }
}

int main(int count, char **arguments) {
  size_t rounds = count > 1 ? strtoul(arguments[1], NULL, 10) : 9;
  if (rounds < 1 || rounds > MAX_ROUNDS) return 2;
  keys = make_keys(ENTRIES);
  uint32_t *all = zipf_draws(ENTRIES, DRAWS, 1), *hot = zipf_draws(HOT, DRAWS, 2);
  uint32_t *one = calloc(DRAWS, sizeof *one);

  subject floor = open_floor(), ours = open_tokencache(1 << 30);
  fill(&floor);
  fill(&ours);
  must_hold_everything(&ours);

  for (int threads = 1; threads <= 2; threads++)
    compare(threads == 1 ? "hit_1" : "hit_2", (side){zero_copy, &ours, all, threads},
            (side){zero_copy, &floor, all, threads}, rounds, CALLS, "floor");
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
