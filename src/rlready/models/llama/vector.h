/* Vectors of the machine that compiles this, products of small matrices, and the exponential.

   Matrices are row-major, with strides in elements.  What is a multiple of LANES is said where it is asked for. */

#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define ACROSS 4 /* vectors in a row of a tile */
#elif defined(__AVX__)
#define LANES 8
#define ACROSS 2
#else
#define LANES 4
#define ACROSS 4
#endif
#define DOWN 6 /* rows of a tile: with its DOWN * ACROSS sums the registers are full */

#define INLINE static inline __attribute__((always_inline))

INLINE long smaller(long a, long b) { return a < b ? a : b; }
INLINE long whole(long n) { return (n + LANES - 1) / LANES * LANES; } /* up to whole vectors */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef vec anywhere __attribute__((aligned(4), may_alias)); /* a vector at any address */

INLINE vec load(const float *at) { return *(const anywhere *)at; }
INLINE void store(float *at, vec x) { *(anywhere *)at = x; }
INLINE vec all(float x) { return x - (vec){0}; }
INLINE vec choose(ivec where, vec yes, vec no) { return (vec)(((ivec)yes & where) | ((ivec)no & ~where)); }
INLINE vec larger(vec a, vec b) { return choose(a > b, a, b); }

/* The second half of every 2 n lanes in place of the first. */
#if !__has_builtin(__builtin_shufflevector)
INLINE vec folded(vec x, int n) {
  vec y;
  for (int i = 0; i < LANES; i++) y[i] = x[i ^ n];
  return y;
}
#elif LANES == 16
#define folded(x, n) \
  __builtin_shufflevector(x, x, 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n, 4 ^ n, 5 ^ n, 6 ^ n, 7 ^ n, 8 ^ n, 9 ^ n, 10 ^ n, 11 ^ n, \
                          12 ^ n, 13 ^ n, 14 ^ n, 15 ^ n)
#elif LANES == 8
#define folded(x, n) __builtin_shufflevector(x, x, 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n, 4 ^ n, 5 ^ n, 6 ^ n, 7 ^ n)
#else
#define folded(x, n) __builtin_shufflevector(x, x, 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n)
#endif

INLINE float total(vec x) {
#if LANES == 16
  x += folded(x, 8);
#endif
#if LANES >= 8
  x += folded(x, 4);
#endif
  x += folded(x, 2);
  x += folded(x, 1);
  return x[0];
}

INLINE float largest(vec x) {
  float most = x[0];
  for (int i = 1; i < LANES; i++) most = x[i] > most ? x[i] : most;
  return most;
}

/* e^x within 2 units in the last place up to 88; 0 below -87, where floats lose precision; NaN stays. */
INLINE vec exp_of(vec x) {
  vec y = choose(x > 88.0f, all(88.0f), x);
  vec n = (y * 1.44269504f + 12582912.0f) - 12582912.0f; /* to the nearest whole number */
  vec r = (y - n * 0.693359375f) + n * 2.12194440e-4f;   /* log 2 in two parts */
  vec p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = (p * r + 1.0f) * r + 1.0f;
  vec power = (vec)((__builtin_convertvector(n, ivec) + 127) << 23);
  return choose(x < -87.0f, all(0.0f), p * power);
}

/* In place of n scores, up to whole vectors, what a softmax weighs them by, but for the factor that makes the sum 1:
   that sum is returned, and the largest score put into top. */
INLINE float soften(float *scores, long n, float *top) {
  vec most = all(-INFINITY), sum = {0};
  for (long j = n; j < whole(n); j++) scores[j] = -INFINITY;
  for (long j = 0; j < n; j += LANES) most = larger(load(scores + j), most);
  *top = largest(most);
  for (long j = 0; j < n; j += LANES) {
    vec e = exp_of(load(scores + j) - *top);
    store(scores + j, e);
    sum += e;
  }
  return total(sum);
}

/* c (down x across vectors) = or += a (down x depth) b; a has strides for both of its directions. */
INLINE void tile(const int down, const int across, long depth, const float *a, long a_row, long a_col, const float *b,
                 long b_row, float *c, long c_row, int add) {
  vec sum[DOWN][ACROSS];
#pragma GCC unroll 8
  for (int i = 0; i < down; i++)
#pragma GCC unroll 8
    for (int j = 0; j < across; j++) sum[i][j] = add ? load(c + i * c_row + j * LANES) : all(0.0f);
  for (long k = 0; k < depth; k++) {
    vec row[ACROSS];
#pragma GCC unroll 8
    for (int j = 0; j < across; j++) row[j] = load(b + k * b_row + j * LANES);
#pragma GCC unroll 8
    for (int i = 0; i < down; i++) {
      vec factor = all(a[i * a_row + k * a_col]);
#pragma GCC unroll 8
      for (int j = 0; j < across; j++) sum[i][j] += factor * row[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < down; i++)
#pragma GCC unroll 8
    for (int j = 0; j < across; j++) store(c + i * c_row + j * LANES, sum[i][j]);
}

INLINE void tiles(const int across, long m, long depth, const float *a, long a_row, long a_col, const float *b,
                  long b_row, float *c, long c_row, int add) {
  long i = 0;
  for (; i + DOWN <= m; i += DOWN)
    tile(DOWN, across, depth, a + i * a_row, a_row, a_col, b, b_row, c + i * c_row, c_row, add);
  a += i * a_row, c += i * c_row;
  switch (m - i) {
  case 5: tile(5, across, depth, a, a_row, a_col, b, b_row, c, c_row, add); break;
  case 4: tile(4, across, depth, a, a_row, a_col, b, b_row, c, c_row, add); break;
  case 3: tile(3, across, depth, a, a_row, a_col, b, b_row, c, c_row, add); break;
  case 2: tile(2, across, depth, a, a_row, a_col, b, b_row, c, c_row, add); break;
  case 1: tile(1, across, depth, a, a_row, a_col, b, b_row, c, c_row, add); break;
  }
}

/* c (m x n) = or += a (m x depth) b (depth x n); n a multiple of LANES. */
static inline void product(long m, long n, long depth, const float *a, long a_row, long a_col, const float *b,
                           long b_row, float *c, long c_row, int add) {
  long j = 0;
  for (; j + ACROSS * LANES <= n; j += ACROSS * LANES)
    tiles(ACROSS, m, depth, a, a_row, a_col, b + j, b_row, c + j, c_row, add);
  for (; j < n; j += LANES) tiles(1, m, depth, a, a_row, a_col, b + j, b_row, c + j, c_row, add);
}

#define DEPTH 384 /* of what is laid out at a time */
#define HEIGHT 96 /* rows that stay near while what is laid out passes by */

void lay_out(long n, long depth, const float *b, long b_row, long b_col, float *panels);
void pass(long m, long n, long depth, const float *a, long a_row, long a_col, const float *panels, float *strips,
          float *c, long c_row, int add);

int gated_forward(long n, const float *gate, const float *up, float *y);
int gated_backward(long n, const float *gate, const float *up, const float *grad, float *to_gate, float *to_up);

/* Room for so many floats from the start of a cache line, until the thread's next kernel; NULL where there is none. */
float *workspace(long floats);
