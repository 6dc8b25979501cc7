/* One new token a row: attention over [shared prompt | own cache], and the draw of the next. */

#include "vector.h"

typedef struct {
  long n;                     /* keys */
  const float *keys, *values; /* (n, D) */
  const uint8_t *valid;       /* (n,) */
} Part;

static float score(long d, const float *q, Part part, float *scores) {
  float top = -INFINITY;
  for (long j = 0; j < part.n; j++) {
    vec sum = {0};
    const float *key = part.keys + j * d;
    for (long i = 0; i < d; i += LANES) sum += load(q + i) * load(key + i);
    float s = total(sum);
    scores[j] = s = part.valid[j] ? s : -INFINITY;
    top = s > top ? s : top;
  }
  return top;
}

/* From qkv (B, H + 2K, D), queries scaled already, mixed (B, H, D); column `at` of the cache (B, K, room, D) is written.

   turns (B, D): cos and sin of every pair of neighbouring numbers in turn.  valid (B, valid_row) and prompt_valid
   (P, L): which columns are no holes; a row's own new one always counts.  prompts (P, K, L, D), that of a row by owner
   (B,); L is 0 where there are none.  D a multiple of LANES.  Returns 0, or 1 where memory is lacking. */
int decode_attention(long b, long heads, long kv_heads, long d, float *qkv, const float *turns, float *keys,
                     float *values, long room, long at, const uint8_t *valid, long valid_row, const float *prompt_keys,
                     const float *prompt_values, const uint8_t *prompt_valid, const int64_t *owner, long length,
                     float *mixed) {
  long group = heads / kv_heads, padded = (length + at + 1 + LANES - 1) / LANES * LANES;
  float *scores = room_for(group * padded), shares[group];
  uint8_t *seen = malloc(at + 1);
  if (!scores || !seen) return free(scores), free(seen), 1;
  for (long row = 0; row < b; row++, qkv += (heads + 2 * kv_heads) * d, turns += d) {
    for (long h = 0; h < heads + kv_heads; h++)
      for (long i = 0; i < d; i += 2) {
        float x = qkv[h * d + i], y = qkv[h * d + i + 1], c = turns[i], s = turns[i + 1];
        qkv[h * d + i] = x * c - y * s;
        qkv[h * d + i + 1] = x * s + y * c;
      }
    memcpy(seen, valid + row * valid_row, at);
    seen[at] = 1;
    for (long g = 0; g < kv_heads; g++) {
      long own = (row * kv_heads + g) * room * d, of_prompt = length ? (owner[row] * kv_heads + g) * length * d : 0;
      memcpy(keys + own + at * d, qkv + (heads + g) * d, sizeof(float) * d);
      memcpy(values + own + at * d, qkv + (heads + kv_heads + g) * d, sizeof(float) * d);
      Part ours = {at + 1, keys + own, values + own, seen}, shared = {0};
      if (length)
        shared = (Part){length, prompt_keys + of_prompt, prompt_values + of_prompt, prompt_valid + owner[row] * length};
      for (long h = 0; h < group; h++) {
        const float *q = qkv + (g * group + h) * d;
        float *line = scores + h * padded, first = score(d, q, shared, line);
        float second = score(d, q, ours, line + length), top = first > second ? first : second;
        for (long j = length + at + 1; j < padded; j++) line[j] = -INFINITY;
        vec sum = {0};
        for (long j = 0; j < padded; j += LANES) {
          vec e = exp_of(load(line + j) - top);
          store(line + j, e);
          sum += e;
        }
        shares[h] = 1.0f / total(sum);
      }
      float *out = mixed + (row * heads + g * group) * d;
      product(group, d, length, scores, padded, 1, shared.values, d, out, d, 0);
      product(group, d, at + 1, scores + length, padded, 1, ours.values, d, out, d, 1);
      for (long h = 0; h < group; h++)
        for (long i = 0; i < d; i++) out[h * d + i] *= shares[h];
    }
  }
  free(scores), free(seen);
  return 0;
}

/* Inverse CDF in double precision: of every row of logits (B, V) the first token whose cumulative probability exceeds
   the row's uniform number, and its log-probability.  Returns 0, or 1 where memory is lacking. */
int draw(long b, long vocabulary, const float *logits, float temperature, const double *uniforms, int64_t *tokens,
         float *logprobs) {
  long padded = (vocabulary + LANES - 1) / LANES * LANES;
  float *scaled = room_for(2 * padded), *weights = scaled + padded;
  double *ends = malloc(sizeof(double) * padded / LANES); /* cumulative weight at the end of every vector */
  if (!scaled || !ends) return free(scaled), free(ends), 1;
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
  free(scaled), free(ends);
  return 0;
}
