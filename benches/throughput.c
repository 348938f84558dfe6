/* Reads of 1,000 hot entries by wall clock, with 2 to 16 threads: whether more threads get less done.
 * Usage: throughput [ROUNDS [SLICE_MS]] */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rounds.h"

/* Two threads stand there twice: the second beside the first is what the machine does to the figure. */
enum { ENTRIES = 1000, VALUE = 7000, AT_ONCE = 64, STEPS = 5, MOST_THREADS = 16 };
static const size_t threads_of[STEPS] = {2, 2, 4, 8, MOST_THREADS};

static char *keys;
static uint32_t *draws;
static unsigned slice_ms = 25;
static atomic_bool is_over;

typedef struct {
  const subject *on;
  pthread_barrier_t *start;
  size_t first, reads;
} reader;

static void *read_until_told(void *argument) {
  reader *mine = argument;
  const subject *on = mine->on;
  pthread_barrier_wait(mine->start);
  for (size_t at = mine->first; !atomic_load_explicit(&is_over, memory_order_relaxed); at += AT_ONCE) {
    for (size_t i = 0; i < AT_ONCE; i++) {
      const tc_value *value;
      if (on->get(on->cache, keys + draws[(at + i) % DRAWS] * KEY_STRIDE, KEY_LENGTH, &value) != TC_OK) abort();
      on->release(value);
    }
    mine->reads += AT_ONCE;
  }
  return NULL;
}

/* Reads of all threads together, in a second of the wall's clock, and in a second of processor time. */
typedef struct {
  double per_second, per_cpu_second;
} rate;

static rate read_for_a_slice(const subject *on, size_t threads) {
  pthread_t ids[MOST_THREADS];
  reader readers[MOST_THREADS];
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, threads + 1);
  atomic_store(&is_over, false);
  for (size_t i = 0; i < threads; i++) {
    readers[i] = (reader){on, &start, i * (DRAWS / MOST_THREADS), 0};
    pthread_create(&ids[i], NULL, read_until_told, &readers[i]);
  }
  pthread_barrier_wait(&start);
  double began = now_ns(), cpu_began = cpu_ns(), reads = 0;
  nanosleep(&(struct timespec){.tv_nsec = slice_ms * 1000000L}, NULL);
  atomic_store(&is_over, true);
  double ns = now_ns() - began, ns_of_cpu = cpu_ns() - cpu_began;
  for (size_t i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    reads += readers[i].reads;
  }
  pthread_barrier_destroy(&start);
  return (rate){reads / ns * 1e9, reads / ns_of_cpu * 1e9};
}

/* Of each number of threads and each round; and the same beside two threads in that round. */
typedef struct {
  subject on;
  double per_second[STEPS][MAX_ROUNDS], beside_two[STEPS][MAX_ROUNDS], cpu_beside_two[STEPS][MAX_ROUNDS];
} seen;

static void fill(const subject *on) {
  static char value[VALUE];
  for (size_t i = 0; i < ENTRIES; i++) must(set(on, keys + i * KEY_STRIDE, value, sizeof value), "fill");
}

/* Each round begins with another number of threads, so that none always comes after the same one. */
static void measure(seen *side, size_t round) {
  rate rates[STEPS];
  for (size_t i = 0; i < STEPS; i++) {
    size_t step = (round + i) % STEPS;
    rates[step] = read_for_a_slice(&side->on, threads_of[step]);
  }
  for (size_t step = 0; step < STEPS; step++) {
    side->per_second[step][round] = rates[step].per_second;
    side->beside_two[step][round] = rates[step].per_second / rates[0].per_second;
    side->cpu_beside_two[step][round] = rates[step].per_cpu_second / rates[0].per_cpu_second;
  }
}

/* The least of 4, 8 and 16 threads beside 2. */
static double worst(double beside_two[STEPS][MAX_ROUNDS], size_t rounds) {
  double least = INFINITY;
  for (size_t step = 2; step < STEPS; step++) least = fmin(least, median(beside_two[step], rounds));
  return least;
}

int main(int count, char **arguments) {
  static seen ours, floor;
  size_t rounds = count > 1 ? strtoul(arguments[1], NULL, 10) : 15;
  if (rounds < 1 || rounds > MAX_ROUNDS) return 2;
  if (count > 2) slice_ms = strtoul(arguments[2], NULL, 10);
  keys = make_keys(ENTRIES);
  draws = zipf_draws(ENTRIES, DRAWS, 2);
  ours.on = open_tokencache(1 << 27), floor.on = open_floor();
  fill(&ours.on);
  fill(&floor.on);
  read_for_a_slice(&ours.on, MOST_THREADS);
  read_for_a_slice(&floor.on, MOST_THREADS);
  for (size_t round = 0; round < rounds; round++) {
    measure(&ours, round);
    measure(&floor, round);
  }
  report("throughput", worst(ours.beside_two, rounds),
         "%.0f M with 2, 2 again × %.2f, 4 × %.2f, 8 × %.2f, 16 × %.2f; by processor time worst × %.2f; the floor: 2 "
         "again × %.2f, worst × %.2f, × %.2f",
         median(ours.per_second[0], rounds) / 1e6, median(ours.beside_two[1], rounds),
         median(ours.beside_two[2], rounds), median(ours.beside_two[3], rounds), median(ours.beside_two[4], rounds),
         worst(ours.cpu_beside_two, rounds), median(floor.beside_two[1], rounds), worst(floor.beside_two, rounds),
         worst(floor.cpu_beside_two, rounds));
  ours.on.close(ours.on.cache);
  return 0;
}
