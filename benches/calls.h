/* The calls that hit.c and peers.c make on both sides: 100,000 entries of 7,000 bytes. */
#ifndef CALLS_H
#define CALLS_H
#include "rounds.h"

enum { ENTRIES = 100000, VALUE = 7000 };

/* ENTRIES of them, made by `fill`. */
extern char *keys;

/* Stores all entries. */
void fill(const subject *on);
void must_hold_everything(const subject *on);

/* A hit and its release; the same, and each cache line of the value read; and a set over what is there: each a `work`. */
void zero_copy(const subject *on, const uint32_t *draws, size_t calls);
void read_all(const subject *on, const uint32_t *draws, size_t calls);
void overwrite(const subject *on, const uint32_t *draws, size_t calls);
#endif
