"""One question to the model through the gateway, streamed; run where the cluster's addresses are reachable.

usage: python -m e2e.demo.ask BASE_URL HOST MODEL QUESTION
"""

from __future__ import annotations

import sys
import time

from openai import OpenAI


def main(base_url: str, host: str, model: str, question: str) -> None:
    client = OpenAI(base_url=f"{base_url}/v1", api_key="none", default_headers={"Host": host}, timeout=120)
    started = time.monotonic()
    first: float | None = None
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        max_tokens=48,
        temperature=0,
        stream=True,
    )
    for chunk in stream:
        text = chunk.choices[0].delta.content if chunk.choices else None
        if text:
            first = first or time.monotonic()
            print(text, end="", flush=True)
    print()
    if first is None:
        sys.exit("the model's stream ended without a token")
    print(f"first token after {first - started:.1f} s, all after {time.monotonic() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:5])
