/* A hit and a set of L1 beside those of another cache. Usage: peers NAME [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>

#include "calls.h"

enum { CALLS = 1 << 17 };

static void beside(const char *what, const char *name, side ours, side theirs, size_t rounds, size_t calls) {
  char row[64];
  snprintf(row, sizeof row, "%s_%s", what, name);
  compare(row, ours, theirs, rounds, calls, name);
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: peers NAME [ROUNDS]\n"), 2;
  const char *name = arguments[1];
  size_t rounds = count > 2 ? strtoul(arguments[2], NULL, 10) : 9;
  if (rounds < 1 || rounds > MAX_ROUNDS) return 2;
  uint32_t *draws = zipf_draws(ENTRIES, DRAWS, 1);

  subject ours = open_tokencache(1 << 30), theirs = open_peer(name, 1 << 30);
  fill(&theirs);
  must_hold_everything(&theirs);
  fill(&ours);
  must_hold_everything(&ours);
  for (int threads = 1; threads <= 2; threads++)
    beside(threads == 1 ? "hit_1" : "hit_2", name, (side){zero_copy, &ours, draws, threads},
           (side){zero_copy, &theirs, draws, threads}, rounds, CALLS);
  /* Last, because sets leave the heap in disorder. */
  beside("set", name, (side){overwrite, &ours, draws, 1}, (side){overwrite, &theirs, draws, 1}, rounds, CALLS / 4);
  ours.close(ours.cache);
  theirs.close(theirs.cache);
  return 0;
}
