/* The least that a read like ours costs: the same two commands, 64 pairs in a pipeline of one hiredis connection, whose
 * answers nobody keeps. Usage: redis_pipe PORT [READS] */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "redis.h"

enum { IN_FLIGHT = 64 };

static redisContext *connection;
static char *keys;

static void ask(uint64_t *state) {
  const char *key = keys + next_random(state) % ENTRIES * KEY_STRIDE;
  redisAppendCommand(connection, "HMGET %b absexp sldexp data ver", key, (size_t)KEY_LENGTH);
  redisAppendCommand(connection, "PTTL %b", key, (size_t)KEY_LENGTH);
}

static void hear(size_t elements) {
  redisReply *reply;
  if (redisGetReply(connection, (void **)&reply) != REDIS_OK || reply->elements != elements) {
    fprintf(stderr, "hiredis: %s\n", connection->err ? connection->errstr : "another answer than an entry");
    exit(2);
  }
  freeReplyObject(reply);
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: redis_pipe PORT [READS]\n"), 2;
  long reads = count > 2 ? atol(arguments[2]) : 200000;
  keys = make_keys(ENTRIES);
  subject redis = open_redis(arguments[1]);
  fill(&redis, keys);
  must(redis.close(redis.cache), "tc_close");
  connection = redisConnect("127.0.0.1", atoi(arguments[1]));
  if (!connection || connection->err) return fprintf(stderr, "hiredis: no connection\n"), 2;

  uint64_t state = 0;
  double began = now_ns(), cpu_began = cpu_ns();
  for (size_t i = 0; i < IN_FLIGHT; i++) ask(&state);
  /* One answer, one question: as many are in flight all the time. */
  for (long i = 0; i < reads; i++) {
    hear(4);
    hear(0);
    if (i + IN_FLIGHT < reads) ask(&state);
  }
  report("reads", reads / (now_ns() - began) * 1e9, "a second, %d in flight", IN_FLIGHT);
  report("cpu", (cpu_ns() - cpu_began) / 1e3 / reads, "µs of CPU for each");
  redisFree(connection);
}
