#!/usr/bin/env bash
# The first hour of a newcomer: 40 commands as they are typed, each with its exit code and a sentence that must appear.
# RLREADY names the command (default: rlready), PYTHON an interpreter with TRL: `make test-oracle` runs this.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
RLREADY=${RLREADY:-rlready} PYTHON=${PYTHON:-python}
export OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 COLUMNS=100
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
PYTHONPATH=$here $PYTHON "$here/oracle/first_hour_inputs.py" . >make.log 2>&1 || { cat make.log; exit 1; }
rm make.log

count=0 failed=0
t() { # t CODE SENTENCE COMMAND...: what is printed to either stream, on one line, must hold SENTENCE
  local code=$1 sentence=$2 said got
  shift 2
  count=$((count + 1))
  said=$("$@" 2>&1 </dev/null)
  got=$?
  said=$(tr -s '\n ' ' ' <<<"$said")
  if [[ $got == "$code" && $said == *"$sentence"* && ($said != *Traceback* || $sentence == *Traceback*) ]]; then
    echo "ok $count: ${*:1:9}"
  else
    failed=$((failed + 1))
    printf 'FAILED %s: %s\n  exit code %s, expected %s; expected: %s\n  %s\n' \
      $count "$*" $got "$code" "$sentence" "${said:0:1500}"
  fi
}
rr() { $RLREADY "$@"; }
stopped() { timeout --preserve-status -s INT "$1" $RLREADY "${@:2}"; } # Ctrl-C after so many seconds

# looking around
t 0 "readiness" rr --help
t 0 "Number of RL steps" rr rl --help
t 2 "did you mean readiness?" rr readyness outputs/checkpoint-80
t 0 "thinks no" rr show --template outputs/checkpoint-240
# which checkpoint should RL start from?
small=(samples=8 max_answer_tokens=8)
t 2 "problems" rr readiness outputs/checkpoint-80 outputs/checkpoint-160
t 2 "problms.jsonl" rr readiness outputs/checkpoint-* problems=problms.jsonl "${small[@]}"
t 2 "no such folder" rr readiness output/checkpoint-240 problems=problems.jsonl "${small[@]}"
t 2 "sample" rr readiness outputs/checkpoint-* problems=problems.jsonl heldout=heldout.jsonl sampels=8
t 0 "checkpoint-" rr readiness outputs/checkpoint-* problems=problems.jsonl heldout=heldout.jsonl "${small[@]}" --out runs/ready
t 0 "checkpoint-" rr readiness outputs/checkpoint-* problems=problems.csv heldout=heldout.jsonl "${small[@]}" # a new folder
t 0 "runs/readiness-2" rr readiness outputs/checkpoint-* problems=problems.parquet heldout=heldout.jsonl "${small[@]}"
t 0 "checkpoint-" rr readiness outputs/checkpoint-* problems=problems.jsonl heldout=heldout.jsonl "${small[@]}" --out runs/ready
t 2 "--overwrite" rr readiness outputs/checkpoint-* problems=problems.jsonl heldout=heldout.jsonl "${small[@]}" seed=1 --out runs/ready
t 0 "checkpoint-" rr readiness outputs/checkpoint-* problems=problems.jsonl heldout=heldout.jsonl "${small[@]}" seed=1 --out runs/ready --overwrite
t 0 "from at least 3 SFT recipes" rr predict runs/ready --out runs/predict
t 0 "pass@1" rr readiness base problems=problems.jsonl "${small[@]}" --out runs/base
t 0 "pass@1" rr readiness thinker/checkpoint-* problems=problems.jsonl "${small[@]}" thinking_budget=16 --out runs/thinker
# a verifier of one's own
t 0 "pass@1" rr readiness outputs/checkpoint-240 "problems=problems.jsonl?verifier=verify:exact" "${small[@]}"
t 2 "minus_one" rr readiness outputs/checkpoint-240 "problems=problems.jsonl?verifier=verify:minus_one" "${small[@]}"
t 0 "pass@1" rr readiness outputs/checkpoint-240 "problems=problems.jsonl?verifier=verify:trl_reward&threshold=0.5" "${small[@]}"
t 0 "pass@1" rr readiness outputs/checkpoint-240 "problems=problems.jsonl?verifier=verify:compute_score&threshold=0.5" "${small[@]}"
t 2 "Traceback (most recent call last)" rr readiness outputs/checkpoint-240 "problems=problems.jsonl?verifier=verify:broken" "${small[@]}"
# RL from the pick
rl=(model=outputs/checkpoint-240 problems=problems.jsonl prompts_per_step=8 group_size=4 max_answer_tokens=8 eval_every=2)
t 2 "rl --help" rr rl num_generatons=4
t 2 "use kl_coef" rr rl "${rl[@]}" validation=dev.jsonl beta=0.04
t 2 "device=cpu" rr rl "${rl[@]}" validation=dev.jsonl device=cuda
t 2 "prompts_per_step" rr rl "${rl[@]}" validation=dev.jsonl prompts-per-step=64
t 2 "learning_rate" rr rl "${rl[@]}" validation=dev.jsonl learning_rate=-1
t 0 "validation" rr rl "${rl[@]}" steps=2 # split from the problems
t 0 "overlap" rr rl "${rl[@]}" validation=problems.jsonl steps=2 --out runs/same
t 130 "--out runs/long" stopped 12 rl "${rl[@]}" validation=dev.jsonl steps=2000 patience=2000 --out runs/long
t 0 "validation accuracy" rr rl "${rl[@]}" validation=dev.jsonl steps=4 --out runs/rl4
t 0 "validation accuracy" rr rl --model thinker/checkpoint-40 --problems problems.jsonl --validation dev.jsonl --steps 2 \
  --thinking-budget 16 --max-answer-tokens 8 --prompts-per-step 8 --group-size 4 --out runs/rl-thinker
# SFT from one's own rows
t 0 "held-out loss" rr sft model=base rows=train.jsonl heldout=heldout.jsonl delimiters="<think>,</think>" epochs=1 --out runs/sft
t 2 "rows" rr sft model=base
t 2 "column" rr sft model=base rows=problems.jsonl?response=reply heldout=heldout.jsonl
# what it gained
t 0 "accuracy" rr evaluate outputs/checkpoint-240 runs/rl4/checkpoints/step-4 problems=test.jsonl max_answer_tokens=8 --out runs/eval
t 2 "test.json" rr evaluate outputs/checkpoint-240 problems=test.json
t 0 "runs/eval" rr show runs/ready runs/rl4 runs/eval
t 0 "report.html" rr report runs/eval
t 2 "runs/nosuch" rr report runs/nosuch
# the form of a conference
t 0 "NeurIPS" rr checklist runs/rl4 runs/eval

echo "$count commands, $failed failed"
[[ $failed == 0 ]]
