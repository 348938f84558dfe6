/* What a journal file costs while nothing is owed: reads and sets of SQLite without L1, with a journal file and with one
 * in memory, in turns. Usage: journal [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { ENTRIES = 200, VALUE = 2000, MAX_ROUNDS = 101 };

static char *keys, value[VALUE];

static subject open_in(const char *folder, const char *name, bool has_file) {
  char document[1000], journal[300] = "";
  if (has_file) snprintf(journal, sizeof journal, ", \"resilience\": {\"journal_path\": \"%s/%s.owed\"}", folder, name);
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l1\": {\"enabled\": false}, \"l2\": {\"kind\": \"sqlite\", \"path\": \"%s/%s.db\"}, "
           "\"encryption\": {\"algorithm\": \"none\"}%s}",
           folder, name, journal);
  return open_document(document);
}

/* µs of a read, released. */
static double read_all(const subject *on) {
  double start = now_ns();
  for (size_t i = 0; i < ENTRIES; i++) {
    const tc_value *found;
    must(on->get(on->cache, keys + i * KEY_STRIDE, KEY_LENGTH, &found), "get");
    on->release(found);
  }
  return (now_ns() - start) / ENTRIES / 1e3;
}

/* µs of a set. */
static double set_all(const subject *on) {
  double start = now_ns();
  for (size_t i = 0; i < ENTRIES; i++) must(set(on, keys + i * KEY_STRIDE, value, sizeof value), "set");
  return (now_ns() - start) / ENTRIES / 1e3;
}

static void compare(const char *row, double (*work)(const subject *), const subject *file, const subject *memory,
                    size_t rounds) {
  double with[MAX_ROUNDS], without[MAX_ROUNDS], ratios[MAX_ROUNDS];
  for (size_t i = 0; i < rounds; i++) {
    with[i] = work(file);
    without[i] = work(memory);
    ratios[i] = with[i] / without[i];
  }
  report(row, median(ratios, rounds), "%.1f µs, in memory %.1f µs", median(with, rounds), median(without, rounds));
}

int main(int count, char **arguments) {
  size_t rounds = count > 1 ? strtoul(arguments[1], NULL, 10) : 21;
  char folder[] = "/tmp/tokencache-journal-XXXXXX", command[64];
  if (rounds < 1 || rounds > MAX_ROUNDS || !mkdtemp(folder)) return 2;
  keys = make_keys(ENTRIES);
  memset(value, 'v', sizeof value);
  subject file = open_in(folder, "file", true), memory = open_in(folder, "memory", false);
  set_all(&file);
  set_all(&memory);
  compare("journal_get", read_all, &file, &memory, rounds);
  compare("journal_set", set_all, &file, &memory, rounds);
  file.close(file.cache);
  memory.close(memory.cache);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command) == 0 ? 0 : 2;
}
