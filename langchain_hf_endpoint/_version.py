"""The version, in one place: read by the build and by ``langchain_hf_endpoint.__version__``."""

__version__ = "0.1.0"
