/* What an entry takes in memory beyond its key and value. Usage: footprint VALUE_BYTES */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum { ENTRIES = 100000, LONGEST = 1 << 16, ROOM = 160 };

static double resident_bytes(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%*d %ld", &pages) != 1) abort();
  fclose(file);
  return (double)pages * sysconf(_SC_PAGESIZE);
}

/* What malloc has handed out, its own words beside each piece included; cells of heads and keys are not its. */
static double heap_bytes(void) {
  struct mallinfo2 info = mallinfo2();
  return (double)info.uordblks + (double)info.hblkhd;
}

static double stat_of_l1(const subject *cache, const char *name) {
  tc_status (*stats)(tc_cache *, const tc_value **) = tokencache_symbol("tc_stats");
  const tc_value *json;
  must(stats(cache->cache, &json), "tc_stats");
  char text[json->len + 1], member[64];
  memcpy(text, json->data, json->len);
  text[json->len] = 0;
  cache->release(json);
  snprintf(member, sizeof member, "\"%s\":", name);
  char *l1 = strstr(text, "\"l1\":"), *found = l1 ? strstr(l1, member) : NULL;
  if (!found) abort();
  return strtod(found + strlen(member), NULL);
}

int main(int count, char **arguments) {
  static char value[LONGEST];
  size_t value_bytes = count == 2 ? strtoul(arguments[1], NULL, 10) : 0;
  if (value_bytes < 1 || value_bytes > LONGEST) return fprintf(stderr, "usage: footprint VALUE_BYTES\n"), 2;
  memset(value, 'v', sizeof value);
  size_t known = KEY_LENGTH + value_bytes;
  char *keys = make_keys(ENTRIES);
  /* What the library takes once, whoever opens how many caches, is no part of an entry. */
  subject first = open_tokencache(1 << 20);
  must(set(&first, keys, value, value_bytes), "tc_set");
  must(first.close(first.cache), "tc_close");
  double heap = heap_bytes(), resident = resident_bytes();
  subject cache = open_tokencache((known + ROOM) * ENTRIES);
  for (size_t i = 0; i < ENTRIES; i++) must(set(&cache, keys + i * KEY_STRIDE, value, value_bytes), "tc_set");
  heap = heap_bytes() - heap, resident = resident_bytes() - resident;

  double entries = stat_of_l1(&cache, "entries"), accounted = stat_of_l1(&cache, "bytes") / entries - known;
  char row[64];
  snprintf(row, sizeof row, "footprint_%zu", value_bytes);
  report(row, resident / entries - known, "resident; of malloc %.0f, tc_stats accounts for %.0f; %.0f entries",
         heap / entries - known, accounted, entries);
  cache.close(cache.cache);
  return 0;
}
