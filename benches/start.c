/* What it takes to begin, with so many sets owed to an L2 that is away, or so many entries in a SQLite file and none in L1.
 * Usage: start owed|warm NUMBER FOLDER. Prints the ms of tc_open, the µs of the first read and of each further one, and the
 * MiB that it takes */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static char document[1000];

static double resident_mib(void) {
  long size = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2) abort();
  fclose(file);
  return resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

/* Nobody listens on port 1. The file is what is measured, so nothing is to end while it grows. */
static void describe_owed(const char *folder) {
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l1\": {\"enabled\": false}, \"l2\": {\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:1\", "
           "\"write\": \"behind\"}, \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"}, "
           "\"resilience\": {\"journal_path\": \"%s/owed\", \"journal_max_entries\": 10000000, "
           "\"journal_max_bytes\": 10000000000, \"close_ms\": 0}}",
           folder);
}

static void describe_warm(const char *folder) {
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l1\": {\"capacity_bytes\": 300000000}, \"l2\": {\"kind\": \"sqlite\", \"path\": \"%s/warm\", "
           "\"capacity_bytes\": 16000000000}, \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"}}",
           folder);
}

/* Those that are read back, spread over all. */
static size_t chosen(size_t number, size_t of, size_t entries) { return number * (entries / of); }

static void read_back(const subject *from, const char *keys, size_t number, size_t of, size_t entries) {
  const tc_value *value;
  const char *key = keys + chosen(number, of, entries) * KEY_STRIDE;
  tc_status status = from->get(from->cache, key, KEY_LENGTH, &value);
  if (status != TC_DEGRADED) must(status, "a read of what is there");
  from->release(value);
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  bool is_owed = !strcmp(arguments[1], "owed");
  size_t entries = strtoul(arguments[2], NULL, 10);
  if (entries < 1) return 2;
  (is_owed ? describe_owed : describe_warm)(arguments[3]);
  static char bytes[2000];
  size_t value_bytes = is_owed ? 100 : sizeof bytes, reads = entries < 10000 ? entries : 10000;
  char *keys = make_keys(entries);

  subject before = open_document(document);
  for (size_t i = 0; i < entries; i++) {
    tc_status status = set(&before, keys + i * KEY_STRIDE, bytes, value_bytes);
    if (status != TC_DEGRADED) must(status, "a set");
  }
  before.close(before.cache);

  double mib = resident_mib(), begun = now_ns();
  subject after = open_document(document);
  double opened = now_ns();
  read_back(&after, keys, 0, reads, entries);
  double first = now_ns();
  for (size_t i = 1; i < reads; i++) read_back(&after, keys, i, reads, entries);
  double others = now_ns();
  printf("%.3f\t%.1f\t%.2f\t%.1f\n", (opened - begun) / 1e6, (first - opened) / 1e3,
         reads > 1 ? (others - first) / 1e3 / (reads - 1) : 0, resident_mib() - mib);
  after.close(after.cache);
  return 0;
}
