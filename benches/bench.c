#define _GNU_SOURCE
#include "bench.h"

#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(2);
}

static void *library(const char *variable, const char *otherwise) {
  const char *path = getenv(variable);
  /* Bound at once, so that no first call pays for finding its symbols. */
  void *handle = dlopen(path ? path : otherwise, RTLD_NOW | RTLD_LOCAL);
  if (!handle) fail("dlopen", dlerror());
  return handle;
}

void *tokencache_symbol(const char *name) {
  static void *handle;
  if (!handle) handle = library("TOKENCACHE_LIBRARY", "target/release/libtokencache.so");
  void *symbol = dlsym(handle, name);
  if (!symbol) fail(name, "not in the library");
  return symbol;
}

void *floor_symbol(const char *name) {
  static void *handle;
  if (!handle) handle = library("TOKENCACHE_FLOOR", "target/release/libtokencache_floor.so");
  void *symbol = dlsym(handle, name);
  if (!symbol) fail(name, "not in the floor");
  return symbol;
}

subject open_document(const char *document) {
  subject opened = {.get = tokencache_symbol("tc_get"),
                    .get_async = tokencache_symbol("tc_get_async"),
                    .release = tokencache_symbol("tc_value_release"),
                    .get_into = tokencache_symbol("tc_get_into"),
                    .set = tokencache_symbol("tc_set"),
                    .close = tokencache_symbol("tc_close")};
  tc_status (*open)(uint32_t, const char *, size_t, tc_cache **) = tokencache_symbol("tc_open");
  must(open(TC_ABI_VERSION, document, strlen(document), &opened.cache), "tc_open");
  return opened;
}

subject open_tokencache(uint64_t capacity_bytes) {
  if (!capacity_bytes) return open_document("{\"version\": 1}");
  char document[200];
  snprintf(document, sizeof document, "{\"version\": 1, \"l1\": {\"capacity_bytes\": %llu}}",
           (unsigned long long)capacity_bytes);
  return open_document(document);
}

subject open_floor(void) {
  tc_cache *(*open)(void) = floor_symbol("floor_open");
  return (subject){.cache = open(),
                   .get = floor_symbol("floor_get"),
                   .release = floor_symbol("floor_value_release"),
                   .set = floor_symbol("floor_set")};
}

static void *peer_symbol(const char *name, const char *what) {
  static void *handle;
  if (!handle) handle = library("TOKENCACHE_PEERS", "target/release/libtokencache_peers.so");
  char symbol[64];
  snprintf(symbol, sizeof symbol, "%s_%s", name, what);
  void *found = dlsym(handle, symbol);
  if (!found) fail(symbol, "not among the peers");
  return found;
}

subject open_peer(const char *name, uint64_t capacity_bytes) {
  tc_cache *(*open)(uint64_t) = peer_symbol(name, "open");
  return (subject){.cache = open(capacity_bytes),
                   .get = peer_symbol(name, "get"),
                   .release = peer_symbol("peer", "value_release"),
                   .set = peer_symbol(name, "set"),
                   .close = peer_symbol(name, "close")};
}

void must(tc_status status, const char *what) {
  if (status == TC_OK) return;
  const char *(*name)(int32_t) = tokencache_symbol("tc_status_name");
  const char *(*last)(void) = tokencache_symbol("tc_last_error");
  fprintf(stderr, "%s: %s, %s\n", what, name(status), last());
  exit(2);
}

tc_status set(const subject *to, const char *key, const void *data, size_t len) {
  static const tc_set_options options = TC_SET_OPTIONS;
  uint64_t version;
  return to->set(to->cache, key, KEY_LENGTH, data, len, &options, &version);
}

uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

void write_key(uint64_t number, char key[KEY_STRIDE]) {
  static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  uint64_t state = number, bits = 0;
  unsigned left = 0;
  for (size_t i = 0; i < KEY_LENGTH; i++) {
    key[i] = form[i];
    if (form[i] != 'x') continue;
    if (left == 0) bits = next_random(&state), left = 16;
    key[i] = "0123456789abcdef"[bits & 15];
    bits >>= 4, left--;
  }
  key[KEY_LENGTH] = 0;
}

char *make_keys(size_t count) {
  char *keys = malloc(count * KEY_STRIDE);
  for (size_t i = 0; i < count; i++) write_key(i, keys + i * KEY_STRIDE);
  return keys;
}

uint32_t *zipf_draws(size_t entries, size_t count, uint64_t seed) {
  double *cumulative = malloc(entries * sizeof *cumulative), sum = 0;
  uint32_t *number_of_rank = malloc(entries * sizeof *number_of_rank);
  for (size_t i = 0; i < entries; i++) {
    cumulative[i] = sum += pow(i + 1.0, -0.99);
    size_t other = next_random(&seed) % (i + 1);
    number_of_rank[i] = number_of_rank[other];
    number_of_rank[other] = i;
  }
  uint32_t *draws = malloc(count * sizeof *draws);
  for (size_t i = 0; i < count; i++) {
    double at = (next_random(&seed) >> 11) * 0x1p-53 * sum;
    size_t low = 0, high = entries - 1;
    while (low < high) {
      size_t middle = (low + high) / 2;
      if (cumulative[middle] < at) low = middle + 1;
      else high = middle;
    }
    draws[i] = number_of_rank[low];
  }
  free(cumulative);
  free(number_of_rank);
  return draws;
}

static double ns_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

double now_ns(void) { return ns_of(CLOCK_MONOTONIC); }

double cpu_ns(void) { return ns_of(CLOCK_PROCESS_CPUTIME_ID); }

static int by_size(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

double median(const double *values, size_t count) {
  double sorted[count];
  memcpy(sorted, values, sizeof sorted);
  qsort(sorted, count, sizeof *sorted, by_size);
  return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

void report(const char *row, double figure, const char *remark, ...) {
  va_list arguments;
  va_start(arguments, remark);
  printf("%s\t%.6g\t", row, figure);
  vprintf(remark, arguments);
  printf("\n");
  fflush(stdout);
  va_end(arguments);
}
