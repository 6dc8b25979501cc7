/* One new token a row: attention over [shared prompt | own cache], and the draw of the next. */

#include "vector.h"

#define ROWS 32  /* rows at a time: their scores stay near */
#define TOGETHER 8 /* columns of the cache read beside each other, each from one end of memory to the other */

static float dot(long d, const float *a, const float *b) {
  vec sum = {0};
  for (long i = 0; i < d; i += LANES) sum += load(a + i) * load(b + i);
  return total(sum);
}

/* From qkv (B, H + 2K, D), queries scaled already, mixed (B, H, D); column `at` of the cache (T, B, K, D) is written.

   turns (B, D): cos and sin of every pair of neighbouring numbers in turn.  valid (B, at + 1) and prompt_valid (P, L):
   which columns are no holes; a row's own new one always counts.  Prompts: keys (P, K, D, ahead), values (P, K, L, D),
   that of a row by owner (B,); L and ahead are 0 where there are none.  D and ahead are multiples of LANES.  Returns 0,
   or 1 where memory is lacking. */
int decode_attention(long b, long heads, long kv_heads, long d, float *qkv, const float *turns, float *keys,
                     float *values, long at, const uint8_t *valid, const float *prompt_keys,
                     const float *prompt_values, const uint8_t *prompt_valid, const int64_t *owner, long length,
                     long ahead, float *mixed) {
  long group = heads / kv_heads, of_row = (heads + 2 * kv_heads) * d, column = b * kv_heads * d;
  long line = ahead + whole(at + 1); /* of scores: those of the prompt, then a row's own */
  float *scores = workspace(ROWS * heads * (line + 1)), *shares = scores + ROWS * heads * line;
  if (!scores) return 1;
  for (long row = 0; row < b; row++) {
    float *q = qkv + row * of_row, *k = q + heads * d, *v = k + kv_heads * d;
    for (long h = 0; h < heads + kv_heads; h++)
      for (long i = 0; i < d; i += 2) {
        float x = q[h * d + i], y = q[h * d + i + 1], c = turns[row * d + i], s = turns[row * d + i + 1];
        q[h * d + i] = x * c - y * s;
        q[h * d + i + 1] = x * s + y * c;
      }
    memcpy(keys + at * column + row * kv_heads * d, k, sizeof(float) * kv_heads * d);
    memcpy(values + at * column + row * kv_heads * d, v, sizeof(float) * kv_heads * d);
  }
  for (long first = 0; first < b; first += ROWS) {
    long end = smaller(first + ROWS, b);
#define SCORES(row, h) (scores + (((row) - first) * heads + (h)) * line)
#define MIXED(row, h) (mixed + ((row) * heads + (h)) * d)
    for (long t = 0; t <= at; t += TOGETHER)
      for (long row = first; row < end; row++)
        for (long h = 0; h < heads; h++)
          for (long j = t; j < smaller(t + TOGETHER, at + 1); j++) {
            const float *key = keys + j * column + (row * kv_heads + h / group) * d;
            int hole = j < at && !valid[row * (at + 1) + j];
            SCORES(row, h)[ahead + j] = hole ? -INFINITY : dot(d, qkv + row * of_row + h * d, key);
          }
    for (long row = first, next; length && row < end; row = next) { /* rows of one prompt */
      for (next = row + 1; next < end && owner[next] == owner[row];) next++;
      for (long h = 0; h < heads; h++)
        product(next - row, ahead, d, qkv + row * of_row + h * d, of_row, 1,
                prompt_keys + (owner[row] * kv_heads + h / group) * d * ahead, ahead, SCORES(row, h), heads * line, 0);
      for (long j = 0; j < ahead; j++)
        if (j >= length || !prompt_valid[owner[row] * length + j])
          for (long i = row * heads; i < next * heads; i++) SCORES(0, i)[j] = -INFINITY;
    }
    for (long i = first * heads; i < end * heads; i++) {
      float *weights = SCORES(0, i);
      for (long j = ahead + at + 1; j < line; j++) weights[j] = -INFINITY;
      vec most = all(-INFINITY), sum = {0};
      for (long j = 0; j < line; j += LANES) most = larger(load(weights + j), most);
      float top = largest(most);
      for (long j = 0; j < line; j += LANES) {
        vec e = exp_of(load(weights + j) - top);
        store(weights + j, e);
        sum += e;
      }
      shares[i - first * heads] = 1.0f / total(sum);
    }
    for (long row = first, next; row < end; row = next) {
      for (next = row + 1; next < end && length && owner[next] == owner[row];) next++;
      for (long h = 0; h < heads; h++) {
        const float *of_prompt = length ? prompt_values + (owner[row] * kv_heads + h / group) * length * d : NULL;
        product(next - row, d, length, SCORES(row, h), heads * line, 1, of_prompt, d, MIXED(row, h), heads * d, 0);
      }
    }
    for (long t = 0; t <= at; t += TOGETHER)
      for (long row = first; row < end; row++)
        for (long g = 0; g < kv_heads; g++)
          product(group, d, smaller(TOGETHER, at + 1 - t), SCORES(row, g * group) + ahead + t, line, 1,
                  values + t * column + (row * kv_heads + g) * d, column, MIXED(row, g * group), d, 1);
    for (long i = first * heads; i < end * heads; i++)
      for (long j = 0; j < d; j++) mixed[i * d + j] *= shares[i - first * heads];
  }
  return 0;
}

/* Inverse CDF in double precision: of every row of logits (B, V) the first token whose cumulative probability exceeds
   the row's uniform number, and its log-probability.  Returns 0, or 1 where memory is lacking. */
int draw(long b, long vocabulary, const float *logits, float temperature, const double *uniforms, int64_t *tokens,
         float *logprobs) {
  long padded = whole(vocabulary);
  float *scaled = workspace(2 * padded + 2 * padded / LANES), *weights = scaled + padded;
  if (!scaled) return 1;
  double *ends = (double *)(weights + padded); /* cumulative weight at the end of every vector */
  for (long row = 0; row < b; row++, logits += vocabulary) {
    vec most = all(-INFINITY);
    for (long j = 0; j < vocabulary; j++) scaled[j] = logits[j] / temperature;
    for (long j = vocabulary; j < padded; j++) scaled[j] = -INFINITY;
    for (long j = 0; j < padded; j += LANES) most = larger(load(scaled + j), most);
    float top = largest(most);
    double sum = 0;
    for (long j = 0; j < padded; j += LANES) {
      vec e = exp_of(load(scaled + j) - top);
      store(weights + j, e);
      ends[j / LANES] = sum += total(e);
    }
    double reached = 0, wanted = uniforms[row] * sum;
    long token = 0;
    while (token + LANES < padded && !(ends[token / LANES] > wanted)) token += LANES;
    if (token) reached = ends[token / LANES - 1];
    while (token < vocabulary - 1 && !((reached += weights[token]) > wanted)) token++;
    tokens[row] = token;
    logprobs[row] = scaled[token] - top - (float)log(sum);
  }
  return 0;
}
