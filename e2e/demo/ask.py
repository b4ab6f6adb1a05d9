"""One question to the model through the gateway, answered token by token."""

from __future__ import annotations

import time

from openai import OpenAI

from e2e.progress import console


def stream(base_url: str, host: str, model: str, question: str) -> None:
    """Print the answer as it comes. Raises RuntimeError when the stream ends without a token."""
    client = OpenAI(base_url=f"{base_url}/v1", api_key="none", default_headers={"Host": host}, timeout=120)
    started = time.monotonic()
    first: float | None = None
    chunks = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        max_tokens=48,
        temperature=0,
        stream=True,
    )
    for chunk in chunks:
        text = chunk.choices[0].delta.content if chunk.choices else None
        if text:
            first = first or time.monotonic()
            print(text, end="", flush=True)
    print()
    if first is None:
        raise RuntimeError("the model's stream ended without a token")
    console.print(
        f"first token after {first - started:.1f} s, all after {time.monotonic() - started:.1f} s", style="dim"
    )
