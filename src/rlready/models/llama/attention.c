/* Causal attention over packed tokens, each segment behind the prompt it shares, rotary positions included.

   Nothing is padded and nothing above the diagonal is computed, but for a block's own triangle.  Queries (Q, H, D),
   keys and values (N, K, D), cos and sin (N, D / 2); D a multiple of LANES.  A segment attends to all of its prompt, and
   to its own tokens up to the query; only its last `num_queries` tokens are queries. */

#include "vector.h"

#define BLOCK 12 /* queries at a time: few, for the triangle is waste; many, for keys are read once a block */

typedef struct {
  int64_t begin, length;               /* own tokens */
  int64_t first, num_queries;           /* queries: rows of the table of queries */
  int64_t prompt_begin, prompt_length; /* 0 long where there is none */
} Segment;

typedef struct {
  long heads, kv_heads, width;
  const float *q, *k, *v, *cos, *sin;
  float scale;
} Tokens;

/* Of any segment, in whole vectors. */
static long most_keys(long segments, const Segment *segment) {
  long most = 0;
  for (const Segment *p = segment; p < segment + segments; p++)
    if (p->prompt_length + p->length > most) most = p->prompt_length + p->length;
  return whole(most);
}

static void turn(long d, const float *x, const float *cos, const float *sin, float by, float *y) {
  long half = d / 2;
  for (long i = 0; i < half; i++) {
    float a = x[i], b = x[i + half];
    y[i] = (a * cos[i] - b * sin[i]) * by;
    y[i + half] = (b * cos[i] + a * sin[i]) * by;
  }
}

/* The transpose of `turn`; added to y, or put there. */
static void turn_back(long d, const float *x, const float *cos, const float *sin, float by, int add, float *y) {
  long half = d / 2;
  for (long i = 0; i < half; i++) {
    float a = x[i], b = x[i + half];
    float first = (a * cos[i] + b * sin[i]) * by, second = (b * cos[i] - a * sin[i]) * by;
    y[i] = add ? y[i] + first : first;
    y[i + half] = add ? y[i + half] + second : second;
  }
}

/* Turned keys of `n` tokens from `begin`, as rows if wanted, and as columns from `at` on. */
static void read_keys(const Tokens *t, long g, long begin, long n, long at, long stride, float *rows, float *columns) {
  long d = t->width, half = d / 2;
  float turned[d];
  for (long j = 0; j < n; j++) {
    long token = begin + j;
    float *row = rows ? rows + (at + j) * d : turned;
    turn(d, t->k + (token * t->kv_heads + g) * d, t->cos + token * half, t->sin + token * half, 1.0f, row);
    for (long i = 0; i < d; i++) columns[i * stride + at + j] = row[i];
  }
}

static void read_values(const Tokens *t, long g, long begin, long n, long at, long stride, float *columns) {
  long d = t->width;
  for (long j = 0; j < n; j++) {
    const float *row = t->v + ((begin + j) * t->kv_heads + g) * d;
    for (long i = 0; i < d; i++) columns[i * stride + at + j] = row[i];
  }
}

/* Turned and scaled queries of a block, and their scores with the first `seen` keys. */
static void score(const Tokens *t, const Segment *p, long h, long from, long m, long seen, long stride,
                  const float *columns, float *queries, float *scores) {
  long d = t->width, half = d / 2;
  for (long i = 0; i < m; i++) {
    long token = p->begin + p->length - p->num_queries + from + i;
    const float *q = t->q + ((p->first + from + i) * t->heads + h) * d;
    turn(d, q, t->cos + token * half, t->sin + token * half, t->scale, queries + i * d);
  }
  product(m, whole(seen), d, queries, d, 1, columns, stride, scores, stride, 0);
}

/* mixed (Q, H, D) and, for the gradient, log-sums (Q, H).  Returns 0, or 1 where memory is lacking. */
int attention_forward(long segments, const Segment *segment, long heads, long kv_heads, long width, const float *q,
                      const float *k, const float *v, const float *cos, const float *sin, float scale, float *mixed,
                      float *sums) {
  Tokens t = {heads, kv_heads, width, q, k, v, cos, sin, scale};
  long d = width, group = heads / kv_heads, stride = most_keys(segments, segment);
  float *columns = workspace(d * stride + BLOCK * (stride + d));
  if (!columns) return 1;
  float *scores = columns + d * stride, *queries = scores + BLOCK * stride;
  memset(columns, 0, sizeof(float) * d * stride);
  for (long g = 0; g < kv_heads; g++) {
    const Segment *last = NULL; /* whose prompt's keys lie there */
    for (const Segment *p = segment; p < segment + segments; p++) {
      if (!p->num_queries) continue;
      if (!last || last->prompt_begin != p->prompt_begin || last->prompt_length != p->prompt_length)
        read_keys(&t, g, p->prompt_begin, p->prompt_length, 0, stride, NULL, columns);
      last = p;
      read_keys(&t, g, p->begin, p->length, p->prompt_length, stride, NULL, columns);
      for (long h = g * group; h < (g + 1) * group; h++)
        for (long from = 0; from < p->num_queries; from += BLOCK) {
          long m = smaller(p->num_queries - from, BLOCK);
          long before = p->length - p->num_queries + from; /* own tokens before the block */
          long seen = p->prompt_length + before + m;
          float shares[BLOCK], *out = mixed + ((p->first + from) * heads + h) * d;
          score(&t, p, h, from, m, seen, stride, columns, queries, scores);
          for (long i = 0; i < m; i++) {
            float *row = scores + i * stride, top;
            long own = p->prompt_length + before + i + 1;
            float sum = soften(row, own, &top);
            for (long j = whole(own); j < seen; j++) row[j] = 0;
            shares[i] = 1.0f / sum;
            sums[(p->first + from + i) * heads + h] = top + logf(sum);
          }
          const float *of_prompt = v + (p->prompt_begin * kv_heads + g) * d;
          const float *of_own = v + (p->begin * kv_heads + g) * d;
          product(m, d, p->prompt_length, scores, stride, 1, of_prompt, kv_heads * d, out, heads * d, 0);
          product(m, d, before + m, scores + p->prompt_length, stride, 1, of_own, kv_heads * d, out, heads * d, 1);
          for (long i = 0; i < m; i++)
            for (long j = 0; j < d; j++) out[i * heads * d + j] *= shares[i];
        }
    }
  }
  return 0;
}

/* Gradients to q, and, added to what is there, to k and v.  Returns 0, or 1 where memory is lacking. */
int attention_backward(long segments, const Segment *segment, long heads, long kv_heads, long width, const float *q,
                       const float *k, const float *v, const float *cos, const float *sin, float scale,
                       const float *mixed, const float *sums, const float *grad, float *to_q, float *to_k,
                       float *to_v) {
  Tokens t = {heads, kv_heads, width, q, k, v, cos, sin, scale};
  long d = width, half = d / 2, group = heads / kv_heads, of_token = kv_heads * d, stride = most_keys(segments, segment);
  float *keys = workspace(4 * d * stride + BLOCK * (2 * stride + 2 * d));
  if (!keys) return 1;
  float *values = keys + d * stride, *rows = values + d * stride, *to_rows = rows + d * stride;
  float *weights = to_rows + d * stride, *slopes = weights + BLOCK * stride;
  float *queries = slopes + BLOCK * stride, *to_queries = queries + BLOCK * d;
  memset(keys, 0, sizeof(float) * 2 * d * stride);
  for (long g = 0; g < kv_heads; g++) {
    const Segment *last = NULL;
    for (const Segment *p = segment; p < segment + segments; p++) {
      long ahead = p->prompt_length, length = ahead + p->length;
      if (!p->num_queries) continue;
      if (!last || last->prompt_begin != p->prompt_begin || last->prompt_length != ahead) {
        read_keys(&t, g, p->prompt_begin, ahead, 0, stride, rows, keys);
        read_values(&t, g, p->prompt_begin, ahead, 0, stride, values);
      }
      last = p;
      read_keys(&t, g, p->begin, p->length, ahead, stride, rows, keys);
      read_values(&t, g, p->begin, p->length, ahead, stride, values);
      memset(to_rows, 0, sizeof(float) * length * d);
      float *to_prompt = to_v + p->prompt_begin * of_token + g * d, *to_own = to_v + p->begin * of_token + g * d;
      for (long h = g * group; h < (g + 1) * group; h++)
        for (long from = 0; from < p->num_queries; from += BLOCK) {
          long m = smaller(p->num_queries - from, BLOCK);
          long before = p->length - p->num_queries + from, seen = ahead + before + m;
          long at = ((p->first + from) * heads + h) * d, line = heads * d;
          score(&t, p, h, from, m, seen, stride, keys, queries, weights);
          product(m, whole(seen), d, grad + at, line, 1, values, stride, slopes, stride, 0);
          for (long i = 0; i < m; i++) {
            float *w = weights + i * stride, *s = slopes + i * stride, log_sum = sums[at / d + i * heads];
            long own = ahead + before + i + 1;
            vec dot = {0};
            for (long j = 0; j < d; j += LANES) dot += load(grad + at + i * line + j) * load(mixed + at + i * line + j);
            float mean = total(dot);
            for (long j = own; j < whole(own); j++) w[j] = -INFINITY;
            for (long j = 0; j < own; j += LANES) {
              vec share = exp_of(load(w + j) - log_sum);
              store(w + j, share);
              store(s + j, share * (load(s + j) - mean));
            }
            for (long j = whole(own); j < seen; j++) w[j] = s[j] = 0;
          }
          product(ahead, d, m, weights, 1, stride, grad + at, line, to_prompt, of_token, 1);
          product(before + m, d, m, weights + ahead, 1, stride, grad + at, line, to_own, of_token, 1);
          product(seen, d, m, slopes, 1, stride, queries, d, to_rows, d, 1);
          product(m, d, seen, slopes, stride, 1, rows, d, to_queries, d, 0);
          for (long i = 0; i < m; i++) {
            long token = p->begin + before + i;
            const float *c = cos + token * half, *s = sin + token * half;
            turn_back(d, to_queries + i * d, c, s, scale, 0, to_q + at + i * line);
          }
        }
      for (long j = 0; j < length; j++) {
        long token = j < ahead ? p->prompt_begin + j : p->begin + j - ahead;
        turn_back(d, to_rows + j * d, cos + token * half, sin + token * half, 1.0f, 1, to_k + token * of_token + g * d);
      }
    }
  }
  return 0;
}
