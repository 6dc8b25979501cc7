/* The gated MLP of a layer by blocks of rows, so that what is between its products stays near.

   y = (silu(x G^T) * x U^T) D^T with x (N, W), G and U (H, W), D (W, H); W and H multiples of LANES. */

#include "vector.h"

/* A whole b (depth, n), laid out a DEPTH after another. */
static float *lay_out_all(long n, long depth, const float *b, long b_row, long b_col, float *to) {
  for (long k = 0; k < depth; k += DEPTH)
    lay_out(n, smaller(depth - k, DEPTH), b + k * b_row, b_row, b_col, to + k * n);
  return to;
}

static void pass_all(long m, long n, long depth, const float *a, const float *laid_out, float *c, int add) {
  for (long k = 0; k < depth; k += DEPTH)
    pass(m, n, smaller(depth - k, DEPTH), a + k, depth, 1, laid_out + k * n, NULL, c, n, add || k);
}

/* y, and what the gradient needs: gate and up (N, H). */
int mlp_forward(long n, long w, long h, const float *x, const float *of_gate, const float *of_up, const float *of_down,
                float *gate, float *up, float *y) {
  float *room = workspace(h * (3 * w + HEIGHT)), *opened = room + 3 * h * w;
  if (!room) return 1;
  float *to_gate = lay_out_all(h, w, of_gate, 1, w, room), *to_up = lay_out_all(h, w, of_up, 1, w, room + h * w);
  float *down = lay_out_all(w, h, of_down, 1, h, room + 2 * h * w);
  for (long i = 0; i < n; i += HEIGHT) {
    long m = smaller(n - i, HEIGHT);
    pass_all(m, h, w, x + i * w, to_gate, gate + i * h, 0);
    pass_all(m, h, w, x + i * w, to_up, up + i * h, 0);
    gated_forward(m * h, gate + i * h, up + i * h, opened);
    pass_all(m, w, h, opened, down, y + i * w, 0);
  }
  return 0;
}

/* Gradients to x, and, added to what is there, to the weights. */
int mlp_backward(long n, long w, long h, const float *x, const float *of_gate, const float *of_up,
                 const float *of_down, const float *gate, const float *up, const float *grad, float *to_x,
                 float *to_gate, float *to_up, float *to_down) {
  float *room = workspace(3 * h * w + HEIGHT * (4 * h + (h > w ? h : w) + HEIGHT));
  if (!room) return 1;
  float *slope = room + 3 * h * w, *gates = slope + HEIGHT * h, *ups = gates + HEIGHT * h, *opened = ups + HEIGHT * h;
  float *strips = opened + HEIGHT * h, *panels = strips + HEIGHT * HEIGHT;
  float *down = lay_out_all(h, w, of_down, h, 1, room), *back = lay_out_all(w, h, of_gate, w, 1, room + h * w);
  float *back_up = lay_out_all(w, h, of_up, w, 1, room + 2 * h * w);
  for (long i = 0; i < n; i += HEIGHT) {
    long m = smaller(n - i, HEIGHT);
    const float *rows = x + i * w, *grads = grad + i * w;
    pass_all(m, h, w, grads, down, slope, 0);
    gated_forward(m * h, gate + i * h, up + i * h, opened);
    gated_backward(m * h, gate + i * h, up + i * h, slope, gates, ups);
    lay_out(h, m, opened, h, 1, panels);
    pass(w, h, m, grads, 1, w, panels, strips, to_down, h, 1);
    lay_out(w, m, rows, w, 1, panels);
    pass(h, w, m, gates, 1, h, panels, strips, to_gate, w, 1);
    pass(h, w, m, ups, 1, h, panels, strips, to_up, w, 1);
    pass_all(m, w, h, gates, back, to_x + i * w, 0);
    pass_all(m, w, h, ups, back_up, to_x + i * w, 1);
  }
  return 0;
}
