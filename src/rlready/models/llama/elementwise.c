/* What stands between a layer's products: RMS norm with the residual before it, and the gated product. */

#include "vector.h"

/* sum (N, D) = x + more, where there is more; y = weight * sum / rms(sum); scale (N,) = 1 / rms.  D in LANES. */
int norm_forward(long n, long d, const float *x, const float *more, const float *weight, float eps, float *sum,
                  float *y, float *scale) {
  for (long i = 0; i < n; i++, x += d, y += d) {
    const float *row = x;
    vec squares = {0};
    for (long j = 0; j < d; j += LANES) {
      vec v = load(x + j);
      if (more) store(sum + j, v += load(more + j));
      squares += v * v;
    }
    if (more) row = sum, sum += d, more += d;
    float factor = scale[i] = 1.0f / sqrtf(total(squares) / (float)d + eps);
    for (long j = 0; j < d; j += LANES) store(y + j, load(row + j) * factor * load(weight + j));
  }
  return 0;
}

/* into (N, D) = gradient to sum, what comes to it past the norm (beside) added; to_weight (D,) is added to. */
int norm_backward(long n, long d, const float *sum, const float *weight, const float *scale, const float *grad,
                   const float *beside, float *into, float *to_weight) {
  for (long i = 0; i < n; i++, sum += d, grad += d, into += d) {
    vec dot = {0};
    float factor = scale[i];
    for (long j = 0; j < d; j += LANES) {
      vec part = load(grad + j) * load(sum + j);
      dot += part * load(weight + j);
      store(to_weight + j, load(to_weight + j) + part * factor);
    }
    float along = total(dot) * factor * factor * factor / (float)d;
    for (long j = 0; j < d; j += LANES) {
      vec g = load(grad + j) * load(weight + j) * factor - load(sum + j) * along;
      store(into + j, beside ? g + load(beside + j) : g);
    }
    if (beside) beside += d;
  }
  return 0;
}

/* silu(gate) * up, over n numbers. */
int gated_forward(long n, const float *gate, const float *up, float *y) {
  long i = 0;
  for (; i + LANES <= n; i += LANES) {
    vec g = load(gate + i);
    store(y + i, g / (1.0f + exp_of(-g)) * load(up + i));
  }
  for (; i < n; i++) y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
  return 0;
}

int gated_backward(long n, const float *gate, const float *up, const float *grad, float *to_gate, float *to_up) {
  long i = 0;
  for (; i + LANES <= n; i += LANES) {
    vec g = load(gate + i), d = load(grad + i), s = 1.0f / (1.0f + exp_of(-g));
    store(to_up + i, d * g * s);
    store(to_gate + i, d * load(up + i) * s * (1.0f + g * (1.0f - s)));
  }
  for (; i < n; i++) {
    float s = 1.0f / (1.0f + expf(-gate[i]));
    to_up[i] = grad[i] * gate[i] * s;
    to_gate[i] = grad[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s));
  }
  return 0;
}
