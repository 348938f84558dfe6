/* What a write costs the server when caches hear of it: its CPU for a stock write of 7,000 bytes, by how many caches are
 * open. Usage: redis_trackers PORT [WRITES] */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { VALUE = 7000, KEYS = 1000, PIPELINE = 50, MAX_CACHES = 64 };

static redisContext *server;
static char *keys, data[VALUE];

static double cpu_us(void) {
  redisReply *info = redisCommand(server, "INFO cpu");
  double user = 0, kernel = 0;
  sscanf(strstr(info->str, "used_cpu_user:"), "used_cpu_user:%lf", &user);
  sscanf(strstr(info->str, "used_cpu_sys:"), "used_cpu_sys:%lf", &kernel);
  freeReplyObject(info);
  return (user + kernel) * 1e6;
}

static double write_us(uint64_t writes) {
  double before = cpu_us();
  for (uint64_t i = 0; i < writes; i += PIPELINE) {
    for (int j = 0; j < PIPELINE; j++)
      redisAppendCommand(server, "HSET b:%s absexp -1 sldexp -1 data %b", keys + (i + j) % KEYS * KEY_STRIDE, data, (size_t)VALUE);
    for (int j = 0; j < PIPELINE; j++) {
      redisReply *reply;
      redisGetReply(server, (void **)&reply);
      freeReplyObject(reply);
    }
  }
  return (cpu_us() - before) / writes;
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: redis_trackers PORT [WRITES]\n"), 2;
  uint64_t writes = count > 2 ? strtoull(arguments[2], NULL, 10) : 20000;
  keys = make_keys(KEYS);
  server = redisConnect("127.0.0.1", atoi(arguments[1]));
  char document[256];
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:%s\", \"key_prefix\": \"b:\","
           " \"require_at_open\": true}, \"encryption\": {\"algorithm\": \"none\"}, \"resilience\": {\"deadline_ms\": 60000}}",
           arguments[1]);
  static subject caches[MAX_CACHES];
  write_us(writes);
  double none = write_us(writes), eight = 0;
  for (int i = 0; i < MAX_CACHES; i++) {
    caches[i] = open_document(document);
    if (i == 7) eight = write_us(writes);
  }
  double all = write_us(writes);
  report("trackers", (all - none) / MAX_CACHES, "a write %.1f µs; %.1f with 8 caches, %.1f with %d", none, eight, all, MAX_CACHES);
  for (int i = 0; i < MAX_CACHES; i++) must(caches[i].close(caches[i].cache), "tc_close");
}
