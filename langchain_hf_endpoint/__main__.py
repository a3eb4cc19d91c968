"""``python -m langchain_hf_endpoint``: the same as ``hf-endpoint``."""

from langchain_hf_endpoint.cli import main

if __name__ == "__main__":
    main()
