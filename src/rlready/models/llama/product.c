/* Products of matrices of any size, and the room that all kernels work in. */

#include "vector.h"

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

/* Lay out b (depth, n), of at most DEPTH rows, in panels as wide as a tile, one behind the other. */
void lay_out(long n, long depth, const float *b, long b_row, long b_col, float *panels) {
  for (long j0 = 0; j0 < n; j0 += ACROSS * LANES) {
    long wide = smaller(n - j0, ACROSS * LANES);
    const float *from = b + j0 * b_col;
    float *to = panels + j0 * depth;
    if (b_col == 1)
      for (long i = 0; i < depth; i++) memcpy(to + i * wide, from + i * b_row, sizeof(float) * wide);
    else
      for (long i0 = 0; i0 < depth; i0 += LANES)
        for (long j = 0; j < wide; j++)
          for (long i = i0; i < smaller(depth, i0 + LANES); i++) to[i * wide + j] = from[i * b_row + j * b_col];
  }
}

/* c (m, n) = or += a (m, depth) times what was laid out; rows of a that do not lie in memory are, in strips as high as
   a tile, of HEIGHT * depth floats. */
void pass(long m, long n, long depth, const float *a, long a_row, long a_col, const float *panels, float *strips,
          float *c, long c_row, int add) {
  for (long i0 = 0; i0 < m; i0 += HEIGHT) {
    long high = smaller(m - i0, HEIGHT);
    const float *rows = a + i0 * a_row;
    for (long i = 0; a_col != 1 && i < depth; i++) {
      const float *row = rows + i * a_col;
      float *to = strips + i * DOWN;
      long j = 0;
      for (; j + DOWN <= high; j += DOWN) memcpy(to + j * depth, row + j, sizeof(float) * DOWN);
      memcpy(to + j * depth, row + j, sizeof(float) * (high - j));
    }
    for (long j0 = 0; j0 < n; j0 += ACROSS * LANES) {
      long wide = smaller(n - j0, ACROSS * LANES);
      const float *panel = panels + j0 * depth;
      float *out = c + i0 * c_row + j0;
      if (a_col == 1)
        product(high, wide, depth, rows, a_row, 1, panel, wide, out, c_row, add);
      else
        for (long i = 0; i < high; i += DOWN)
          product(smaller(high - i, DOWN), wide, depth, strips + i * depth, 1, DOWN, panel, wide, out + i * c_row,
                  c_row, add);
    }
  }
}

/* c (m, n) = or += a (m, depth) b (depth, n), strides of a and b in both directions, one of which is 1; n a multiple of
   LANES.  Returns 0, or 1 where memory is lacking. */
int multiply(long m, long n, long depth, const float *a, long a_row, long a_col, const float *b, long b_row,
             long b_col, float *c, long c_row, long add) {
  float *panels = workspace(DEPTH * (n + HEIGHT)), *strips = panels + DEPTH * n;
  if (!panels) return 1;
  for (long k = 0; k < depth; k += DEPTH) {
    long some = smaller(depth - k, DEPTH);
    lay_out(n, some, b + k * b_row, b_row, b_col, panels);
    pass(m, n, some, a + k * a_col, a_row, a_col, panels, strips, c, c_row, add || k);
  }
  return 0;
}
