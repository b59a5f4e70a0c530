"""The same decision from a program: what to paste."""

import json
from urllib.parse import urlsplit

import streamlit as st

from core.domain import UserId


def model_name(alpha: float) -> str:
    """What a program names as its model to be routed at this alpha."""
    return f"prefroute:{alpha:g}" if alpha else "prefroute"


def show_snippets(user: UserId, prompt: str, alpha: float) -> None:
    """For curl and the official client, with this prompt, this person and this setting."""
    parts = urlsplit(st.context.url or "http://127.0.0.1:8501")
    base = f"{parts.scheme}://{parts.netloc}/v1"
    st.caption(
        "This server speaks OpenAI's protocol under `/v1`. `user` names whose taste decides; the number after "
        "`prefroute:` is the setting of the slider. PREFROUTE_KEY holds an API key of this server, where it asks for "
        "one."
    )
    st.code(curl(base, user, prompt, alpha), language="bash", wrap_lines=True)
    st.code(python(base, user, prompt, alpha), language="python", wrap_lines=True)


def curl(base: str, user: UserId, prompt: str, alpha: float) -> str:
    """A shell command; the words of the prompt are quoted so that no shell takes them for its own."""
    body = {"model": model_name(alpha), "user": user, "messages": [{"role": "user", "content": prompt}]}
    quoted = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return (
        f"curl {base}/chat/completions \\\n"
        '  -H "Authorization: Bearer $PREFROUTE_KEY" -H "Content-Type: application/json" \\\n'
        f"  -d '{quoted}'"
    )


def python(base: str, user: UserId, prompt: str, alpha: float) -> str:
    """A script for the `openai` package."""
    return (
        "import os\n"
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{base}", api_key=os.environ.get("PREFROUTE_KEY", "none"))\n'
        "answer = client.chat.completions.create(\n"
        f'    model="{model_name(alpha)}",\n'
        f"    user={json.dumps(user, ensure_ascii=False)},\n"
        f'    messages=[{{"role": "user", "content": {json.dumps(prompt, ensure_ascii=False)}}}],\n'
        ")\n"
        "print(answer.choices[0].message.content)"
    )
