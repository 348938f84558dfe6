/* Another process's change: from the answer that its writer gets to the moment when our L1 no longer serves what was
 * there before. The writer is a child; this process reads other keys of L2 meanwhile, over the same link. With `stock`
 * the writer is a client of Redis that knows nothing of us. Usage: redis_coherence PORT [WRITES] [stock] */
#include <hiredis/hiredis.h>
#include <sched.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { VALUE = 7000, KEYS = 64, MAX_WRITES = 200000 };

/* What both processes see. */
typedef struct {
  _Atomic uint64_t wanted, written;
  _Atomic double answered_ns;
} board;

static board *shared;
static const char *port;
static char *keys;
static char data[VALUE];
static atomic_bool is_over;

static tc_status (*peek)(tc_cache *, const char *, size_t, const tc_value **);

static subject open_shared(void) {
  char document[256];
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:%s\", \"key_prefix\": \"b:\"},"
           " \"encryption\": {\"algorithm\": \"none\"}, \"resilience\": {\"deadline_ms\": 60000}}", port);
  return open_document(document);
}

static int by_size(const void *one, const void *other) {
  double a = *(const double *)one, b = *(const double *)other;
  return (a > b) - (a < b);
}

static const char *key_of(uint64_t write) { return keys + write % KEYS * KEY_STRIDE; }

static void write_all(uint64_t writes, bool is_stock) {
  subject ours = {0};
  redisContext *stock = NULL;
  if (is_stock) {
    stock = redisConnect("127.0.0.1", atoi(port));
  } else {
    ours = open_shared();
  }
  for (uint64_t i = 1; i <= writes; i++) {
    while (atomic_load(&shared->wanted) < i) sched_yield();
    memcpy(data, &i, sizeof i);
    if (is_stock) {
      freeReplyObject(redisCommand(stock, "HSET b:%s absexp -1 sldexp -1 data %b", key_of(i), data, (size_t)VALUE));
    } else {
      must(ours.set(ours.cache, key_of(i), KEY_LENGTH, data, VALUE, NULL, NULL), "tc_set");
    }
    atomic_store(&shared->answered_ns, now_ns());
    atomic_store(&shared->written, i);
  }
  _exit(0);
}

/* Reads of L2 by another thread, over the same link. */
static void *load(void *cache) {
  subject *ours = cache;
  char key[KEY_STRIDE];
  for (uint64_t i = 0; !atomic_load(&is_over); i++) {
    const tc_value *value = NULL;
    write_key(1000000 + i, key);
    ours->get(ours->cache, key, KEY_LENGTH, &value);
    ours->release(value);
  }
  return NULL;
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: redis_coherence PORT [WRITES] [stock]\n"), 2;
  port = arguments[1];
  uint64_t writes = count > 2 ? strtoull(arguments[2], NULL, 10) : 5000, lost = 0;
  bool is_stock = count > 3;
  if (writes < 1 || writes > MAX_WRITES) return fprintf(stderr, "1 … %d writes\n", MAX_WRITES), 2;
  keys = make_keys(KEYS);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t writer = fork();
  if (writer == 0) write_all(writes, is_stock);

  subject ours = open_shared();
  peek = tokencache_symbol("tc_peek");
  for (size_t i = 0; i < KEYS; i++) must(set(&ours, keys + i * KEY_STRIDE, data, VALUE), "tc_set");
  redisContext *bare = redisConnect("127.0.0.1", atoi(port));
  pthread_t reader;
  pthread_create(&reader, NULL, load, &ours);

  double *late_us = malloc(writes * sizeof *late_us), *set_us = malloc(writes * sizeof *set_us);
  for (uint64_t i = 1; i <= writes; i++) {
    const tc_value *value = NULL;
    must(ours.get(ours.cache, key_of(i), KEY_LENGTH, &value), "tc_get");
    ours.release(value);
    atomic_store(&shared->wanted, i);
    double gone = 0, limit = now_ns() + 5e9;
    while (gone == 0 && now_ns() < limit) {
      if (peek(ours.cache, key_of(i), KEY_LENGTH, &value) == TC_OK) {
        ours.release(value);
        sched_yield();
      } else {
        gone = now_ns();
      }
    }
    if (gone == 0) lost++;
    while (atomic_load(&shared->written) < i) sched_yield();
    late_us[i - 1] = gone == 0 ? 5e6 : (gone - atomic_load(&shared->answered_ns)) / 1e3;
    double began = now_ns();
    freeReplyObject(redisCommand(bare, "SET b:__bare %b", data, (size_t)VALUE));
    set_us[i - 1] = (now_ns() - began) / 1e3;
  }
  atomic_store(&is_over, true);
  pthread_join(reader, NULL);
  waitpid(writer, NULL, 0);
  qsort(late_us, writes, sizeof *late_us, by_size);
  double trip = median(set_us, writes), p50 = late_us[writes / 2], p99 = late_us[writes * 99 / 100];
  const char *who = is_stock ? "a stock writer" : "ours";
  report(is_stock ? "heard_stock_p50" : "heard_p50", p50 / trip, "%.0f µs after the answer to %s; SET %.0f µs", p50, who, trip);
  report(is_stock ? "heard_stock_p99" : "heard_p99", p99 / trip, "%.0f µs; %llu of %llu never heard", p99,
         (unsigned long long)lost, (unsigned long long)writes);
  must(ours.close(ours.cache), "tc_close");
  return lost != 0;
}
