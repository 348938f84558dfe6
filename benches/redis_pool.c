/* Blocking gets of 32 threads: through tc_get over its one link, and through a pool of 8 synchronous connections, which
 * is what a service does without this library. In every round both read the same keys for equally long.
 * Usage: redis_pool PORT [ROUNDS] [SECONDS of each side] */
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis.h"

enum { THREADS = 32, CONNECTIONS = 8, MAX_ROUNDS = 101, MAX_SAMPLES = 1 << 18 };

static subject redis;
static char *keys;

/* Idle connections, and those who wait for one. */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t returned;
  redisContext *idle[CONNECTIONS];
  size_t count;
} pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, 0};

static redisContext *take(void) {
  pthread_mutex_lock(&pool.lock);
  while (pool.count == 0) pthread_cond_wait(&pool.returned, &pool.lock);
  redisContext *taken = pool.idle[--pool.count];
  pthread_mutex_unlock(&pool.lock);
  return taken;
}

static void give_back(redisContext *connection) {
  pthread_mutex_lock(&pool.lock);
  pool.idle[pool.count++] = connection;
  pthread_mutex_unlock(&pool.lock);
  pthread_cond_signal(&pool.returned);
}

static void get_pooled(const char *key) {
  redisContext *connection = take();
  redisAppendCommand(connection, "HMGET %b absexp sldexp data ver", key, (size_t)KEY_LENGTH);
  redisAppendCommand(connection, "PTTL %b", key, (size_t)KEY_LENGTH);
  redisReply *fields, *end;
  bool answered = redisGetReply(connection, (void **)&fields) == REDIS_OK &&
                  redisGetReply(connection, (void **)&end) == REDIS_OK;
  if (!answered || fields->elements != 4 || fields->element[2]->len != VALUE) {
    fprintf(stderr, "hiredis: %s\n", answered ? "another answer than an entry" : connection->errstr);
    exit(2);
  }
  give_back(connection);
  freeReplyObject(fields);
  freeReplyObject(end);
}

static void get_ours(const char *key) {
  const tc_value *value;
  must(redis.get(redis.cache, key, KEY_LENGTH, &value), "tc_get");
  if (value->len != VALUE) abort();
  redis.release(value);
}

static void (*get)(const char *key);
static pthread_barrier_t together;
static double until;

typedef struct {
  pthread_t thread;
  uint64_t state;
  size_t count;
  float *times;
} worker;

static void *work(void *argument) {
  worker *me = argument;
  pthread_barrier_wait(&together);
  for (double began = now_ns(); began < until && me->count < MAX_SAMPLES;) {
    get(keys + next_random(&me->state) % ENTRIES * KEY_STRIDE);
    double ended = now_ns();
    me->times[me->count++] = ended - began;
    began = ended;
  }
  return NULL;
}

static int by_time(const void *a, const void *b) {
  float left = *(const float *)a, right = *(const float *)b;
  return (left > right) - (left < right);
}

typedef struct {
  double a_second, cpu, p50, p99;
} figures;

static figures measure(void (*with)(const char *), double seconds) {
  static worker workers[THREADS];
  get = with;
  pthread_barrier_init(&together, NULL, THREADS + 1);
  for (size_t i = 0; i < THREADS; i++) {
    if (!workers[i].times) workers[i].times = malloc(MAX_SAMPLES * sizeof(float));
    workers[i].state = i * 1000003, workers[i].count = 0;
    pthread_create(&workers[i].thread, NULL, work, &workers[i]);
  }
  double began = now_ns(), cpu_began = cpu_ns();
  until = began + seconds * 1e9;
  pthread_barrier_wait(&together);
  static float times[THREADS * MAX_SAMPLES];
  size_t count = 0;
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    memcpy(times + count, workers[i].times, workers[i].count * sizeof *times);
    count += workers[i].count;
  }
  double took = now_ns() - began, cpu = cpu_ns() - cpu_began;
  pthread_barrier_destroy(&together);
  qsort(times, count, sizeof *times, by_time);
  return (figures){count / took * 1e9, cpu / 1e3 / count, times[count / 2] / 1e3, times[count / 100 * 99] / 1e3};
}

static double median_of(const figures *rounds, size_t count, size_t member) {
  double values[MAX_ROUNDS];
  for (size_t i = 0; i < count; i++) values[i] = *(const double *)((const char *)&rounds[i] + member);
  return median(values, count);
}

#define MEDIAN(of, member) median_of(of, rounds, offsetof(figures, member))

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: redis_pool PORT [ROUNDS] [SECONDS]\n"), 2;
  size_t rounds = count > 2 ? atoi(arguments[2]) : 7;
  if (rounds < 1 || rounds > MAX_ROUNDS) return fprintf(stderr, "1 … %d rounds\n", MAX_ROUNDS), 2;
  double seconds = count > 3 ? atof(arguments[3]) : 1;
  redis = open_redis(arguments[1]);
  keys = make_keys(ENTRIES);
  fill(&redis, keys);
  for (size_t i = 0; i < CONNECTIONS; i++) {
    redisContext *connection = redisConnect("127.0.0.1", atoi(arguments[1]));
    if (!connection || connection->err) return fprintf(stderr, "hiredis: no connection\n"), 2;
    give_back(connection);
  }
  measure(get_ours, 0.1);
  measure(get_pooled, 0.1);

  figures ours[MAX_ROUNDS], pooled[MAX_ROUNDS];
  double throughput[MAX_ROUNDS], tail[MAX_ROUNDS];
  for (size_t i = 0; i < rounds; i++) {
    ours[i] = measure(get_ours, seconds);
    pooled[i] = measure(get_pooled, seconds);
    throughput[i] = ours[i].a_second / pooled[i].a_second;
    tail[i] = ours[i].p99 / pooled[i].p99;
  }
  report("pool_throughput", median(throughput, rounds),
         "%.0f gets a second, the pool's %.0f; p50 %.0f and %.0f µs, CPU of one %.1f and %.1f µs",
         MEDIAN(ours, a_second), MEDIAN(pooled, a_second), MEDIAN(ours, p50), MEDIAN(pooled, p50), MEDIAN(ours, cpu),
         MEDIAN(pooled, cpu));
  report("pool_tail", median(tail, rounds), "%.0f µs, the pool's %.0f µs", MEDIAN(ours, p99), MEDIAN(pooled, p99));
  must(redis.close(redis.cache), "tc_close");
}
