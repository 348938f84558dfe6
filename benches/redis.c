#include "redis.h"

#include <stdio.h>
#include <string.h>

subject open_redis(const char *port) {
  char document[300];
  /* With so long a deadline a stall of the machine shows as time, and does not end the run. */
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l1\": {\"enabled\": false}, "
           "\"l2\": {\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:%s/0\"}, "
           "\"encryption\": {\"algorithm\": \"none\"}, \"resilience\": {\"deadline_ms\": 20000}}",
           port);
  return open_document(document);
}

void fill(const subject *on, const char *keys) {
  const tc_value *value;
  /* Filled in this order, so that the last one says that all are there. */
  if (on->get(on->cache, keys + (ENTRIES - 1) * KEY_STRIDE, KEY_LENGTH, &value) == TC_OK) {
    on->release(value);
    return;
  }
  char data[VALUE];
  memset(data, 'v', sizeof data);
  for (size_t i = 0; i < ENTRIES; i++) must(set(on, keys + i * KEY_STRIDE, data, sizeof data), "tc_set");
}
