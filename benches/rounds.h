/* The same calls on two sides: in every round both run the same keys one after the other, and the ratio is taken inside
 * the round, so that a machine which slows down slows down both. */
#ifndef ROUNDS_H
#define ROUNDS_H
#include "bench.h"

enum { DRAWS = 1 << 21, MAX_ROUNDS = 101 };

/* Calls made with the keys that `draws` names. */
typedef void work(const subject *on, const uint32_t *draws, size_t calls);

typedef struct {
  work *what;
  const subject *on;
  const uint32_t *draws;
  int threads;
} side;

/* One row: the median of the ratios. Each thread of a side makes `calls` in each round. */
void compare(const char *row, side ours, side floor, size_t rounds, size_t calls, const char *unit);
#endif
