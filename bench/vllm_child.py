"""vLLM as a child process: `vllm_child.py MODEL DTYPE ROWS BLOCK`; JSON commands in, seconds and tokens out."""

import json
import os
import sys
import time

# one process, no network, one thread per core, no busy waiting
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "4",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": str(os.cpu_count()),
    "OMP_WAIT_POLICY": "PASSIVE",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def main(model: str, dtype: str, rows: int, block: int) -> None:
    """``block``: tokens of a block of keys and values; 0 leaves it to vLLM."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # vLLM's own output must not mix with the results
    from vllm import LLM, SamplingParams

    size = {"block_size": block} if block else {}
    llm = LLM(model=model, dtype=dtype, max_model_len=1024, max_num_seqs=rows, seed=0, **size)
    print("{}", file=answers)
    for line in sys.stdin:
        command = json.loads(line)
        wanted = SamplingParams(
            n=command["samples"],
            temperature=1.0,
            max_tokens=command["response"],
            stop_token_ids=command["stop"],
            ignore_eos=True,
            detokenize=False,
        )
        prompts = [{"prompt_token_ids": ids} for ids in command["prompts"]]
        begun = time.perf_counter()
        done = llm.generate(prompts, wanted, use_tqdm=False)
        seconds = time.perf_counter() - begun
        tokens = sum(len(o.token_ids) for request in done for o in request.outputs)
        print(json.dumps({"seconds": seconds, "work": tokens}), file=answers)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
