/* Products of matrices of any size, and the room that all kernels work in. */

#include "vector.h"

#define DEPTH 384 /* of what is laid out at a time */
#define HEIGHT 96 /* rows of a that stay near while all of b passes by */

float *workspace(long floats) {
  static __thread float *room; /* kept: what is freed and taken again would be cleared by the system again */
  static __thread long size;
  if (floats > size) {
    free(room);
    room = aligned_alloc(64, (size_t)(floats * 4 + 63) / 64 * 64);
    size = room ? floats : 0;
  }
  return room;
}

/* c (m, n) = or += a (m, depth) b (depth, n), strides of a and b in both directions, one of which is 1; n a multiple of LANES.

   b is laid out in panels as wide as a tile, and a, where its rows do not lie in memory, in strips as high as one.
   Returns 0, or 1 where memory is lacking. */
int multiply(long m, long n, long depth, const float *a, long a_row, long a_col, const float *b, long b_row,
             long b_col, float *c, long c_row, long add) {
  const long across = ACROSS * LANES;
  float *panels = workspace(DEPTH * (n + HEIGHT)), *strips = panels + DEPTH * n;
  if (!panels) return 1;
  for (long k0 = 0; k0 < depth; k0 += DEPTH) {
    long k = depth - k0 < DEPTH ? depth - k0 : DEPTH;
    for (long j0 = 0; j0 < n; j0 += across) {
      long wide = n - j0 < across ? n - j0 : across;
      const float *from = b + k0 * b_row + j0 * b_col;
      float *to = panels + j0 * k;
      if (b_col == 1)
        for (long i = 0; i < k; i++) memcpy(to + i * wide, from + i * b_row, sizeof(float) * wide);
      else
        for (long i0 = 0; i0 < k; i0 += LANES)
          for (long j = 0; j < wide; j++)
            for (long i = i0; i < k && i < i0 + LANES; i++) to[i * wide + j] = from[i * b_row + j * b_col];
    }
    for (long i0 = 0; i0 < m; i0 += HEIGHT) {
      long high = m - i0 < HEIGHT ? m - i0 : HEIGHT;
      const float *rows = a + i0 * a_row + k0 * a_col;
      for (long i = 0; a_col != 1 && i < k; i++) {
        const float *row = rows + i * a_col;
        float *to = strips + i * DOWN;
        long j = 0;
        for (; j + DOWN <= high; j += DOWN) memcpy(to + j * k, row + j, sizeof(float) * DOWN);
        memcpy(to + j * k, row + j, sizeof(float) * (high - j));
      }
      for (long j0 = 0; j0 < n; j0 += across) {
        long wide = n - j0 < across ? n - j0 : across;
        const float *panel = panels + j0 * k;
        float *out = c + i0 * c_row + j0;
        if (a_col == 1)
          product(high, wide, k, rows, a_row, 1, panel, wide, out, c_row, add || k0);
        else
          for (long i = 0; i < high; i += DOWN)
            product(high - i < DOWN ? high - i : DOWN, wide, k, strips + i * k, 1, DOWN, panel, wide, out + i * c_row,
                    c_row, add || k0);
      }
    }
  }
  return 0;
}
