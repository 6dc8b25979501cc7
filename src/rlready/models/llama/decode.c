/* One new token a row: attention over [shared prompt | own cache], and the draw of the next. */

#include "vector.h"

#define ROWS 32    /* at a time: their scores stay near */
#define TOGETHER 8 /* columns of the cache that are read beside each other, each of them from end to end */

typedef struct {
  long heads, kv_heads, group, width;
  long first, end;       /* these rows of the batch */
  long of_row, of_column; /* floats of a row of q, k and v, and of a column of the cache */
  long at;               /* the new column of the cache */
  long length, ahead;    /* columns of the prompt, and with zeros up to whole vectors */
  long line;             /* scores of a query: those with the prompt, then those with the row's own */
  const float *qkv, *keys, *values, *prompt_keys, *prompt_values;
  const uint8_t *valid, *prompt_valid;
  const int64_t *owner;
  float *scores, *mixed;
} Step;

static float *scores_of(const Step *s, long row, long h) {
  return s->scores + ((row - s->first) * s->heads + h) * s->line;
}

static const float *query(const Step *s, long row, long h) { return s->qkv + row * s->of_row + h * s->width; }

/* Where the neighbours of a row end that share its prompt. */
static long run_of(const Step *s, long row) {
  long next = row + 1;
  while (next < s->end && s->owner[next] == s->owner[row]) next++;
  return next;
}

static float dot(long d, const float *a, const float *b) {
  vec sum = {0};
  for (long i = 0; i < d; i += LANES) sum += load(a + i) * load(b + i);
  return total(sum);
}

static void score_own(const Step *s) {
  for (long t = 0; t <= s->at; t += TOGETHER)
    for (long row = s->first; row < s->end; row++)
      for (long h = 0; h < s->heads; h++)
        for (long j = t; j < smaller(t + TOGETHER, s->at + 1); j++) {
          const float *key = s->keys + j * s->of_column + (row * s->kv_heads + h / s->group) * s->width;
          int hole = j < s->at && !s->valid[row * (s->at + 1) + j];
          scores_of(s, row, h)[s->ahead + j] = hole ? -INFINITY : dot(s->width, query(s, row, h), key);
        }
}

static void score_prompts(const Step *s) {
  for (long row = s->first, next; s->length && row < s->end; row = next) {
    long prompt = s->owner[row];
    next = run_of(s, row);
    for (long h = 0; h < s->heads; h++)
      product(next - row, s->ahead, s->width, query(s, row, h), s->of_row, 1,
              s->prompt_keys + (prompt * s->kv_heads + h / s->group) * s->width * s->ahead, s->ahead,
              scores_of(s, row, h), s->heads * s->line, 0);
    for (long j = 0; j < s->ahead; j++)
      if (j >= s->length || !s->prompt_valid[prompt * s->length + j])
        for (long i = 0; i < (next - row) * s->heads; i++) scores_of(s, row, i)[j] = -INFINITY;
  }
}

static void mix(const Step *s, const float *shares) {
  long d = s->width, begin = s->first * s->heads * d, size = (s->end - s->first) * s->heads * d;
  memset(s->mixed + begin, 0, sizeof(float) * size);
  for (long row = s->first, next; s->length && row < s->end; row = next) {
    next = run_of(s, row);
    for (long h = 0; h < s->heads; h++)
      product(next - row, d, s->length, scores_of(s, row, h), s->heads * s->line, 1,
              s->prompt_values + (s->owner[row] * s->kv_heads + h / s->group) * s->length * d, d,
              s->mixed + (row * s->heads + h) * d, s->heads * d, 0);
  }
  for (long t = 0; t <= s->at; t += TOGETHER)
    for (long row = s->first; row < s->end; row++)
      for (long g = 0; g < s->kv_heads; g++)
        product(s->group, d, smaller(TOGETHER, s->at + 1 - t), scores_of(s, row, g * s->group) + s->ahead + t, s->line,
                1, s->values + t * s->of_column + (row * s->kv_heads + g) * d, s->of_column,
                s->mixed + (row * s->heads + g * s->group) * d, d, 1);
  for (long i = 0; i < size; i++) s->mixed[begin + i] *= shares[i / d];
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
  long of_row = (heads + 2 * kv_heads) * d, of_key = kv_heads * d, line = ahead + whole(at + 1);
  float *scores = workspace(ROWS * heads * (line + 1)), *shares = scores + ROWS * heads * line;
  if (!scores) return 1;
  for (long row = 0; row < b; row++, turns += d) {
    float *q = qkv + row * of_row, *k = q + heads * d;
    for (float *head = q; head < k + of_key; head += d)
      for (long i = 0; i < d; i += 2) {
        float x = head[i], y = head[i + 1];
        head[i] = x * turns[i] - y * turns[i + 1];
        head[i + 1] = x * turns[i + 1] + y * turns[i];
      }
    memcpy(keys + (at * b + row) * of_key, k, sizeof(float) * of_key);
    memcpy(values + (at * b + row) * of_key, k + of_key, sizeof(float) * of_key);
  }
  for (long first = 0; first < b; first += ROWS) {
    Step s = {.heads = heads, .kv_heads = kv_heads, .group = heads / kv_heads, .width = d, .first = first,
              .end = smaller(first + ROWS, b), .of_row = of_row, .of_column = b * of_key, .at = at, .length = length,
              .ahead = ahead, .line = line, .qkv = qkv, .keys = keys, .values = values, .prompt_keys = prompt_keys,
              .prompt_values = prompt_values, .valid = valid, .prompt_valid = prompt_valid, .owner = owner,
              .scores = scores, .mixed = mixed};
    score_own(&s);
    score_prompts(&s);
    for (long i = 0; i < (s.end - first) * heads; i++) {
      float top;
      shares[i] = 1.0f / soften(scores_of(&s, first, i), ahead + at + 1, &top);
    }
    mix(&s, shares);
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
