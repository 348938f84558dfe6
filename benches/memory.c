/* How far resident memory grows over the limit of L1 while threads set unique tokens without end.
 * Usage: memory THREADS SETS */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { LIMIT = 10000000, SHORTEST = 6500, LONGEST = 7500 };

static subject cache;
static pthread_barrier_t ready, start;
static size_t sets_each;

static void *store(void *argument) {
  uint64_t thread = (uint64_t)(uintptr_t)argument, random = thread;
  char key[KEY_STRIDE], value[LONGEST];
  memset(value, 'v', sizeof value);
  pthread_barrier_wait(&ready);
  pthread_barrier_wait(&start);
  for (size_t i = 0; i < sets_each; i++) {
    write_key(thread << 40 | i, key);
    size_t len = SHORTEST + next_random(&random) % (LONGEST - SHORTEST + 1);
    must(set(&cache, key, value, len), "tc_set");
  }
  return NULL;
}

/* Bytes, from a line of /proc/self/status. */
static double memory(const char *name) {
  char line[256];
  double kib = -1;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status))
    if (strncmp(line, name, strlen(name)) == 0) kib = strtod(line + strlen(name), NULL);
  if (kib < 0) abort();
  fclose(status);
  return kib * 1024;
}

static void forget_the_peak(void) {
  FILE *file = fopen("/proc/self/clear_refs", "w");
  if (!file || fputs("5", file) < 0 || fclose(file) != 0) fprintf(stderr, "the peak could not be reset\n");
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  size_t threads = strtoul(arguments[1], NULL, 10), sets = strtoul(arguments[2], NULL, 10);
  if (threads < 1 || threads > 64) return 2;
  sets_each = sets / threads;

  cache = open_tokencache(LIMIT);
  pthread_barrier_init(&ready, NULL, threads + 1);
  pthread_barrier_init(&start, NULL, threads + 1);
  pthread_t ids[threads];
  for (size_t i = 0; i < threads; i++) pthread_create(&ids[i], NULL, store, (void *)(uintptr_t)(i + 1));
  pthread_barrier_wait(&ready);
  forget_the_peak();
  double before = memory("VmRSS:"), begin = now_ns();
  pthread_barrier_wait(&start);
  for (size_t i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  double ns = now_ns() - begin, grown = memory("VmHWM:") - before;

  const char *row = threads == 1 ? "memory_1" : "memory_4";
  /* The 4 MB that every bar allows are taken off, so that the figure is the factor. */
  report(row, (grown - 4e6) / LIMIT, "+%.2f MB over a limit of %.0f MB, %.0f ns a set", grown / 1e6, LIMIT / 1e6,
         ns / sets);
  cache.close(cache.cache);
  return 0;
}
