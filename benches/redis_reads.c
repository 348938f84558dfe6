/* Reads of Redis through tc_get_async with 64 in flight: each completion starts the next read.
 * Usage: redis_reads PORT [READS] */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "redis.h"

enum { IN_FLIGHT = 64 };

static subject redis;
static char *keys;
static atomic_long left, under_way;
static sem_t idle;

/* One of the 64, with draws of its own. */
typedef struct {
  uint64_t state;
} chain;

static void read_next(chain *chain);

static void heard(void *user_data, const tc_result *result) {
  if (result->status != TC_OK || result->value->len != VALUE) {
    fprintf(stderr, "tc_get_async: %d, %s\n", result->status, result->message);
    exit(2);
  }
  read_next(user_data);
}

static void read_next(chain *chain) {
  if (atomic_fetch_sub_explicit(&left, 1, memory_order_relaxed) <= 0) {
    if (atomic_fetch_sub(&under_way, 1) == 1) sem_post(&idle);
    return;
  }
  const char *key = keys + next_random(&chain->state) % ENTRIES * KEY_STRIDE;
  must(redis.get_async(redis.cache, key, KEY_LENGTH, heard, chain), "tc_get_async");
}

static void make(long reads) {
  static chain chains[IN_FLIGHT];
  atomic_store(&left, reads);
  atomic_store(&under_way, IN_FLIGHT);
  for (size_t i = 0; i < IN_FLIGHT; i++) {
    chains[i].state = i * 1000003;
    read_next(&chains[i]);
  }
  sem_wait(&idle);
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: redis_reads PORT [READS]\n"), 2;
  long reads = count > 2 ? atol(arguments[2]) : 200000;
  redis = open_redis(arguments[1]);
  keys = make_keys(ENTRIES);
  fill(&redis, keys);
  sem_init(&idle, 0, 0);
  make(reads / 10);
  double began = now_ns(), cpu_began = cpu_ns();
  make(reads);
  report("reads", reads / (now_ns() - began) * 1e9, "a second, %d in flight", IN_FLIGHT);
  report("cpu", (cpu_ns() - cpu_began) / 1e3 / reads, "µs of CPU for each");
  must(redis.close(redis.cache), "tc_close");
}
