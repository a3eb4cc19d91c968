"""The same five questions, asked through a Hugging Face inference endpoint of yours.

    export HF_ENDPOINT_URL=https://….endpoints.huggingface.cloud
    export HF_TOKEN=hf_…
    python examples/inference_endpoint.py

The token is read from the environment where a request is sent, and only for Hugging Face's own
hosts over https; for any other host pass ``api_key=``.
"""

from __future__ import annotations

import os
import sys

from quickstart import QUESTIONS, ask, index_the_book

from langchain_hf_endpoint import HFEndpointEmbeddings, HFEndpointError, InferenceEndpoint


def main() -> int:
    url = os.environ.get("HF_ENDPOINT_URL")
    if not url:
        print("Set HF_ENDPOINT_URL to the URL of your endpoint, and HF_TOKEN.", file=sys.stderr)
        return 2
    try:
        endpoint = InferenceEndpoint.from_config(
            task_type="text_embedding",
            inference_id="hugging-face-embeddings",
            inference_config={
                "service": "hugging_face",
                "service_settings": {"url": url, "rate_limit": {"requests_per_minute": 3000}},
                "chunking_settings": {"strategy": "sentence", "max_chunking_size": 250},
            },
        )
        print(endpoint.describe(), "\n")
        store = index_the_book(HFEndpointEmbeddings(endpoint=endpoint, show_progress_bar=True))
        for question in QUESTIONS:
            ask(store, question)
    except HFEndpointError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
