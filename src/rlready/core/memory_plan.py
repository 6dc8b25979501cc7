"""How much memory a job needs, and how long it takes, computed from the shape of the model and stated constants.

`rlready doctor` and ``docs/scale.md`` use these formulas.  They count what grows with the model, the batch and the
lengths: weights, gradients, AdamW's moments, keys and values, activations and logits.  Bytes throughout; a *token* is
one position of one sequence.  Times are rooflines (Williams et al. 2009): the larger of arithmetic over the speed of
matrix products and bytes over the speed of memory, divided by the share of it that is reached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Job = Literal["sampling", "sft", "rl"]

MASTER, GRADIENT, MOMENTS = 4, 4, 8  # bytes of a trained weight: all are in float32
ROWS = 256  # most rows that the built-in engine decodes at once
CACHE_SHARE = 2  # keys and values may have 1 / CACHE_SHARE of a GPU's free memory
CPU_CACHE = 4 << 30  # and so many bytes of a CPU's
GPU_LOGITS, CPU_LOGITS = 16, 1 << 30  # what is kept of logits: a part of a GPU's memory, bytes on a CPU
GPU_CHUNK, CPU_CHUNK = 128, 1 << 26  # a chunk of logits in float32, of which three are alive in the backward pass
PROCESS = 0.7 * 2**30  # the interpreter and its libraries, in main memory
TEMPORARY = 1.05  # what is not counted: on an H200 the peak of an RL step was 4 % above the sum of what is
# bytes of a token and layer that the backward pass needs, for every number in the residual stream, in the queries, in
# the keys or values, and in the MLP: counted in the passes of Llama and Qwen3 (a test counts them again), or, compiled,
# what remains if norms, rotations and activations are computed again
KEPT = {"fast": (16, 12, 12, 8), "float32": (24, 16, 16, 16), "bfloat16": (26, 10, 10, 8), "compiled": (8, 6, 6, 4)}
FORWARD, BACKWARD = 2, 4  # operations of a weight and token; the half of the backward pass is for gradients of weights
# shares of the measured speeds that are reached, on a GPU and on a CPU: sampling, of copying and of matrix products,
# and an update, of matrix products
READING, MULTIPLYING, UPDATING = (0.5, 0.8), (0.5, 0.5), (0.5, 0.7)
THREAD_GRADIENTS = 1 << 29  # the learner for CPUs runs several threads up to so many numbers in all their gradients
THREAD_TOKENS = 4096  # and then each has a micro-batch of at most so many tokens


@dataclass(frozen=True)
class Shape:
    """What memory and time depend on; ``hidden``, ``query``, ``key`` and ``mlp`` are numbers per token in a layer.

    ``linear`` is the sum of inputs and outputs over the linear layers of all layers, which a LoRA adapter of rank 1 has
    as weights.
    """

    parameters: int
    layers: int
    hidden: int
    query: int
    key: int
    mlp: int
    vocabulary: int

    @property
    def linear(self) -> int:
        h, q, k, m = self.hidden, self.query, self.key, self.mlp
        return self.layers * (2 * (h + q) + 2 * (h + k) + 3 * (h + m))


@dataclass(frozen=True)
class Machine:
    """A device: ``memory`` in bytes, matrix products in FLOP/s in the precision used, copied bytes per second.

    ``compiles``: layers are compiled, as on a GPU with Triton.  ``threads`` are those of a CPU.
    """

    memory: int
    flops: float
    bandwidth: float
    gpu: bool
    compiles: bool = True
    threads: int = 1


@dataclass(frozen=True)
class Work:
    """One step: ``prompts`` with ``samples`` responses in all, lengths in tokens.  SFT has one response a prompt."""

    prompts: int
    samples: int
    prompt_tokens: int
    response_tokens: int

    @property
    def tokens(self) -> int:
        """All of them, those of a prompt once for each of its samples."""
        return self.samples * (self.prompt_tokens + self.response_tokens)


@dataclass(frozen=True)
class Recipe:
    """How a job computes; ``shards`` is the number of GPUs that FSDP divides the trained weights over.

    ``fast``: the model is of the Llama family, whose decoder and learner for processors share prompts.
    """

    job: Job
    bfloat16: bool
    lora_r: int = 0
    gradient_checkpointing: bool = False
    microbatch: int = 16384
    shards: int = 1
    fast: bool = True

    def fast_learner(self, machine: Machine) -> bool:
        """Whether the learner for CPUs is used, which shares the prompt of a group."""
        return self.fast and not machine.gpu and not self.bfloat16 and not self.gradient_checkpointing

    @property
    def width(self) -> int:
        """Bytes of a weight that is sampled from, and of a key or value."""
        return 2 if self.bfloat16 else 4


@dataclass(frozen=True)
class Memory:
    """Bytes on one device; ``cache`` and what an update needs are not there at the same time."""

    weights: float
    gradients: float
    moments: float
    copy: float
    activations: float
    logits: float
    process: float
    cache: float = 0.0

    @property
    def peak(self) -> float:
        update = self.gradients + self.activations + self.logits
        return self.process + TEMPORARY * (self.weights + self.moments + self.copy + max(self.cache, update))


def memory_of(shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> Memory:
    """What a job needs on each device.

    Training needs 16 bytes a trained weight, which FSDP shards, or those of a LoRA adapter beside a frozen base.  What
    samples has a copy of all weights: in bfloat16 beside float32 ones that learn, with a LoRA adapter added to the
    base, or, on a CPU, laid out for its products.
    """
    p, width = shape.parameters, recipe.width
    frozen = p * width if recipe.lora_r or recipe.job == "sampling" else 0
    trained = 0.0 if recipe.job == "sampling" else (recipe.lora_r * shape.linear or p) / recipe.shards
    rounded = recipe.job == "rl" and recipe.bfloat16 and not recipe.lora_r
    copied = rounded or (recipe.fast and (recipe.job == "rl" or (recipe.job == "sampling" and not machine.gpu)))
    held = Memory(
        weights=frozen + MASTER * trained,
        gradients=GRADIENT * trained * _gradients_of(shape, recipe, machine),
        moments=MOMENTS * trained,
        copy=p * width if copied else 0,
        activations=_activations(shape, work, recipe, machine) if trained else 0,
        logits=_logits(shape, work, recipe, machine) if trained else 0,
        process=0 if machine.gpu else PROCESS,
    )
    return held if recipe.job == "sft" else replace(held, cache=_cache(shape, work, recipe, machine, held))


def _shares(shape: Shape, recipe: Recipe, machine: Machine) -> int:
    """Parts into which the learner for CPUs divides a micro-batch: as many as threads could compute in parallel."""
    several = recipe.fast_learner(machine) and machine.threads * shape.parameters <= THREAD_GRADIENTS
    return machine.threads if several else 1


def _learners(shape: Shape, recipe: Recipe, machine: Machine) -> int:
    """Threads that compute gradients in parallel; adapters are switched for all threads, so they have one."""
    return 1 if recipe.lora_r else _shares(shape, recipe, machine)


def _gradients_of(shape: Shape, recipe: Recipe, machine: Machine) -> int:
    """How many gradients there are: the learner for CPUs adds those of a micro-batch to a sum, in each thread."""
    return 2 * _learners(shape, recipe, machine) if recipe.fast_learner(machine) else 1


def _fed_at_once(shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> int:
    """Tokens of the micro-batches that are computed at a time; a sequence is never divided."""
    shares = _shares(shape, recipe, machine)
    most = min(recipe.microbatch // shares, THREAD_TOKENS) if shares > 1 else recipe.microbatch
    most = max(most, work.prompt_tokens + work.response_tokens)
    return min(work.tokens, most * _learners(shape, recipe, machine))


def rows_at_once(shape: Shape, work: Work, recipe: Recipe, machine: Machine, held: Memory) -> int:
    """How many responses are decoded at once, with ``held`` in memory; at least one."""
    free = (machine.memory - held.weights - held.moments - held.copy) / CACHE_SHARE if machine.gpu else CPU_CACHE
    longest = work.prompt_tokens + work.response_tokens
    return max(1, min(work.samples, ROWS, int(free / (longest * cache_of_token(shape, recipe)))))


def cache_of_token(shape: Shape, recipe: Recipe) -> int:
    """Bytes of the keys and values of one token in all layers."""
    return 2 * shape.layers * shape.key * recipe.width


def _cache(shape: Shape, work: Work, recipe: Recipe, machine: Machine, held: Memory) -> float:
    """Keys and values of the responses, and of the prompts, which their samples share in the fast decoder."""
    rows = rows_at_once(shape, work, recipe, machine, held)
    prompts = math.ceil(rows * work.prompts / work.samples) if recipe.fast else rows
    tokens = rows * work.response_tokens + prompts * work.prompt_tokens
    return tokens * cache_of_token(shape, recipe)


def _activations(shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> float:
    """What the backward pass of a micro-batch needs; weights that autocast has rounded are among it."""
    kind = "bfloat16" if recipe.bfloat16 else "fast" if recipe.fast_learner(machine) else "float32"
    if recipe.bfloat16 and machine.compiles and not recipe.lora_r and recipe.shards == 1:
        kind = "compiled"  # neither under FSDP nor with an adapter
    numbers = (shape.hidden, shape.query, shape.key, shape.mlp)
    of_layer = sum(each * count for each, count in zip(KEPT[kind], numbers, strict=True))
    layers: float = shape.layers * of_layer
    if recipe.gradient_checkpointing:  # the inputs of all layers, in float32, and one layer
        layers = shape.layers * 4 * shape.hidden + of_layer
    rounded = 2 * shape.parameters if recipe.bfloat16 and not recipe.lora_r else 0
    return _fed_at_once(shape, work, recipe, machine) * layers + rounded


def _logits(shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> float:
    """Logits of the tokens in the loss, as far as they are kept, and the chunks that are computed at a time."""
    share = work.response_tokens / (work.prompt_tokens + work.response_tokens)
    scored = _fed_at_once(shape, work, recipe, machine) * share
    kept = machine.memory / GPU_LOGITS if machine.gpu else CPU_LOGITS
    chunk = machine.memory / GPU_CHUNK if machine.gpu else CPU_CHUNK
    all_of_them = scored * shape.vocabulary * recipe.width
    return (all_of_them if all_of_them <= kept else 0) + 3 * min(chunk, 4 * scored * shape.vocabulary)


def step_seconds(shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> float:
    """Of one step of a job; RL samples, then updates."""
    sampling = 0.0 if recipe.job == "sft" else sampling_seconds(shape, work, recipe, machine)
    return sampling + (0.0 if recipe.job == "sampling" else update_seconds(shape, work, recipe, machine))


def sampling_seconds(shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> float:
    """Of drawing all responses: in a step every row reads its cache, and all rows together read the weights."""
    rows = rows_at_once(shape, work, recipe, machine, memory_of(shape, work, recipe, machine))
    read = work.prompt_tokens + work.response_tokens / 2
    step = recipe.width * shape.parameters + rows * read * cache_of_token(shape, recipe)
    on_cpu = not machine.gpu
    reading = step / machine.bandwidth / READING[on_cpu]
    multiplying = FORWARD * shape.parameters * rows / machine.flops / MULTIPLYING[on_cpu]
    return math.ceil(work.samples / rows) * work.response_tokens * max(reading, multiplying)


def update_seconds(shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> float:
    """Of a forward and a backward pass over all tokens; attention is counted by halves, as it is causal."""
    passes = FORWARD + (BACKWARD / 2 if recipe.lora_r else BACKWARD) + FORWARD * recipe.gradient_checkpointing
    attention = 2 * shape.layers * shape.query * (work.prompt_tokens + work.response_tokens) / 2
    shared = work.prompts * work.prompt_tokens + work.samples * work.response_tokens
    tokens = shared if recipe.fast_learner(machine) else work.tokens
    return tokens * passes * (shape.parameters + attention) / machine.flops / UPDATING[not machine.gpu]
